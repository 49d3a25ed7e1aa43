/**
 * The test's end of the stand-in for Fwpuclnt.dll (test/winsock/double): what the six
 * functions do, and what was asked of them. `npm run test:winsock` puts it in the place of the
 * system's library; the same process loads it here a second time, so both ends share its state.
 */
import { type LibraryHandle, loadKoffi } from '../../lib/koffi.js'

/** For `t.test(name, { skip: noDouble }, …)`: why tests that need the double cannot run here. */
export const noDouble: string | false =
  process.env.WINSOCK_DOUBLE === 'true'
    ? false
    : 'needs the double of Fwpuclnt.dll: npm run test:winsock'

export type WinsockFunction =
  | 'WSASetSocketSecurity'
  | 'WSAQuerySocketSecurity'
  | 'WSASetSocketPeerTargetName'
  | 'WSADeleteSocketPeerTargetName'
  | 'WSAImpersonateSocketPeer'
  | 'WSARevertImpersonation'

type LibuvFunction = 'bind' | 'listen' | 'connect' | 'ConnectEx' | 'WSASend' | 'WSASendTo'

type Mode =
  | 'default'
  | 'succeed'
  | 'fail'
  | 'pend'
  | 'pendFail'
  | 'never'
  | 'stuck'
  | 'block'
  | 'pretend'

/**
 * - `default`: as documented; at once
 * - `succeed`: the same, but WSAImpersonateSocketPeer accepts overlapped sockets, which the
 *   documentation rules out
 * - `fail`: returns `error` at once
 * - `pend`: WSA_IO_PENDING, then success after `delay`; `pendFail`: then `error`
 * - `never`: WSA_IO_PENDING, until it is cancelled or the socket closed
 * - `stuck`: the same, but CancelIoEx does not end it
 * - `block`: the call itself takes `delay`
 * - `pretend`: returns success and does nothing
 *
 * What breaks a precondition fails with the documented error before any of these.
 */
export interface Behaviour {
  readonly mode: Mode
  /** Milliseconds. */
  readonly delay?: number
  /** A number of Winsock. Wine can tell only the common ones by an OVERLAPPED ('pendFail'). */
  readonly error?: number
  /** For so many calls that meet the preconditions; then 'default' again. Otherwise for all. */
  readonly times?: number
}

/** What happened, in order. */
export interface Call {
  /**
   * `complete`: an operation that has pended is done; from here its memory is the caller's. `libuv`:
   * what Node does with its sockets, the unsecured ones too, where watch() asked for it.
   */
  readonly phase: 'call' | 'complete' | 'libuv'
  /** Of secured sockets closesocket is here too, and of pending operations CancelIoEx. */
  readonly function: WinsockFunction | 'closesocket' | 'CancelIoEx' | LibuvFunction
  readonly socket: number
  /** The number of the thread that called or completed. */
  readonly thread: number
  /** 2: AF_INET, 23: AF_INET6. */
  readonly family: number
  /** 1: SOCK_STREAM, 2: SOCK_DGRAM. */
  readonly type: number
  readonly bound: boolean
  readonly connected: boolean
  /** WSASetSocketSecurity has been called for this socket; during that call too. */
  readonly secured: boolean
  /** The socket was made with WSA_FLAG_OVERLAPPED. */
  readonly socketOverlapped: boolean
  /** An OVERLAPPED was given. */
  readonly overlapped: boolean
  /** The lowest bit of its hEvent is set: no completion port hears of it. */
  readonly lowBit: boolean
  /** A completion routine was given. */
  readonly routine: boolean
  /** What was given, in hex: the settings, the name, the template, the address. */
  readonly bytes?: string
  /** Of what was given; of what libuv sends: of all its buffers. */
  readonly length: number
  /** The port that libuv binds to, connects to or sends to. */
  readonly port?: number
  readonly mode: Mode
  /** 0 or -1. Of CancelIoEx: whether it ended something. */
  readonly result: number
  /** A number of Winsock; 997 where it pends. */
  readonly error: number
  /** Of `complete`: what was given is not what it was. */
  readonly inputChanged: boolean
}

export interface Answers {
  /** SOCKET_INFO_CONNECTION_…: 1 secured, 2 encrypted, 4 impersonated. Default 3. */
  readonly flags?: number
  readonly mmSaId?: bigint
  readonly qmSaId?: bigint
  readonly negotiationWinerr?: number
  /** Whether the peer's user or machine is known, by a token. Default true. */
  readonly userToken?: boolean
  readonly machineToken?: boolean
  /** What a query without a buffer returns for a stream: WSAEMSGSIZE 10040 (default) or WSAEFAULT 10014. */
  readonly probeError?: number
}

let loaded: ReturnType<typeof load> | undefined

/** The double in this process; loads it. Its memory of sockets lasts, all else begins anew by reset(). */
export function winsockDouble(): ReturnType<typeof load> {
  loaded ??= load()
  return loaded
}

function load() {
  const library: LibraryHandle = loadKoffi().load('C:\\windows\\system32\\fwpuclnt.dll')
  const behave = library.func(
    'int double_behave(const char *function, const char *mode, int delay, int error, int times)',
  )
  const setAnswers = library.func(
    'void double_answers(uint32_t flags, uint64_t mm, uint64_t qm, uint32_t error, int user, int machine, int probe)',
  )
  const answerFor = library.func('void double_answer_for(int port, uint32_t flags, int error)')
  const takeText = library.func('const char *double_take_log()')
  const release = library.func('void double_release(int cancelled)')
  const number = (name: string) => library.func(`int ${name}()`) as () => number
  const impersonating = number('double_impersonating')

  return {
    /** How the function behaves from now on. */
    behave(name: WinsockFunction, { mode, delay = 0, error = 10022, times = -1 }: Behaviour): void {
      if (behave(name, mode, delay, error, times) === 0) return
      throw new Error(`the double cannot do this: ${name}, ${mode}, error ${error}`)
    },

    /** What WSAQuerySocketSecurity says of secured sockets; of others it says 0, always. */
    answers({ flags = 3, mmSaId = 1n, qmSaId = 2n, ...more }: Answers): void {
      const { negotiationWinerr = 0, userToken = true, machineToken = true } = more
      const { probeError = 10040 } = more
      setAnswers(flags, mmSaId, qmSaId, negotiationWinerr, +userToken, +machineToken, probeError)
    },

    /** What it says of peers with that port instead: the flags, or an error. */
    answerFor(port: number, { flags = 3, error = 0 }: { flags?: number; error?: number }): void {
      answerFor(port, flags, error)
    },

    /** Everything since the last time. */
    takeLog(): Call[] {
      const lines = (takeText() as string).split('\n').filter(line => line !== '')
      return lines.map(line => JSON.parse(line) as Call)
    },

    /** Until reset() the log has what libuv does, too: it binds, listens, connects and sends. */
    watch: library.func('void double_watch()') as () => void,

    /** How many operations have pended and not completed. */
    outstanding: number('double_outstanding'),

    /** Completes all of them, also those that are stuck. */
    release({ cancelled = false } = {}): void {
      release(+cancelled)
    },

    /** How many of the tokens that queries gave are not closed yet, and how many were given ever. */
    openTokens: number('double_open_tokens'),
    givenTokens: number('double_given_tokens'),

    /** How many handles this process has open. */
    handles: number('double_handles'),

    /** Whether this thread runs as somebody else. */
    impersonating: (): boolean => impersonating() === 1,

    /** Default behaviour and answers, and an empty log. */
    reset: library.func('void double_reset()') as () => void,
  }
}

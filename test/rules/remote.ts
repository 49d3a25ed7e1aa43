/**
 * Servers and peers on another host, as the table of rules knows them: what only real hosts can show
 * has no server in its own process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { SocketSecurityError, type SocketSecurityErrorDetails } from '../../src/model/errors.js'
import { event } from '../support/events.js'
import type {
  ClearBehaviour,
  ClearPeer,
  Endpoint,
  ServerEndpoint,
  ServerOptions,
} from './subject.js'

export interface Call {
  readonly id: number
  readonly object: number
  readonly method: string
  readonly args: readonly unknown[]
}
export interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
}
/** What a test reads without waiting. */
export interface State {
  readonly heard?: string
  readonly insecure?: number | boolean
  readonly listening?: boolean
  readonly contacts?: number
  readonly received?: Uint8Array
  readonly port?: number
}

export type RemoteKind = 'stream' | 'datagram'

/** A server there. Settings that are wrong in themselves are thrown here, at once, by `check`. */
export function remoteServer(
  t: Test,
  kind: RemoteKind,
  options: ServerOptions,
  check: (options: ServerOptions) => void,
): ServerEndpoint {
  check(options)
  const server = remoteObject(t, `${kind} server`, options)
  return {
    setSecurity(settings) {
      const done = server.call('setSecurity', settings) as Promise<void>
      // As of a socket: who does not await it hears of it by listen().
      done.catch(() => {})
      return done
    },
    listen: options => server.call('listen', options) as Promise<number>,
    listenForeign: () => server.call('listenForeign') as Promise<void>,
    get listening() {
      return server.state.listening ?? false
    },
    async accepted() {
      const object = nextObject()
      await server.call('accepted', object)
      return remoteEndpoint(object)
    },
    async refused() {
      return revived((await server.call('refused')) as Answer['error'])
    },
    get heard() {
      return server.state.heard ?? ''
    },
    get insecure() {
      return Number(server.state.insecure ?? 0)
    },
    close: () => server.call('close') as Promise<void>,
  }
}

/** A peer there that knows no security. */
export async function remotePeer(
  t: Test,
  kind: RemoteKind,
  behaviour: ClearBehaviour,
): Promise<ClearPeer> {
  const peer = remoteObject(t, `${kind} peer`, behaviour)
  await peer.made
  const received = () => Buffer.from(peer.state.received ?? [])
  return {
    get port() {
      return peer.state.port ?? 0
    },
    get contacts() {
      return peer.state.contacts ?? 0
    },
    get received() {
      return received()
    },
    contacted: () => peer.call('contacted') as Promise<void>,
    receives: text => peer.call('receives', text) as Promise<void>,
    close: () => peer.call('close') as Promise<void>,
  }
}

function remoteEndpoint(object: number): Endpoint {
  const state = () => states.get(object) ?? {}
  const ask = (method: string, ...args: unknown[]) => call(object, method, args) as Promise<never>
  return {
    setSecurity: settings => ask('setSecurity', settings),
    setPeerTargetName: name => ask('setPeerTargetName', name),
    deletePeerTargetName: () => ask('deletePeerTargetName'),
    querySecurity: () => ask('querySecurity'),
    impersonatePeer() {
      throw new Error('a function cannot be sent to another process')
    },
    get secured() {
      return ask('secured')
    },
    connect: port => ask('connect', port),
    connectForeign: path => ask('connectForeign', path),
    send: text => void ask('send', text),
    get heard() {
      return state().heard ?? ''
    },
    hears: length => ask('hears', length),
    get insecure() {
      return state().insecure === true
    },
    destroy: () => ask('destroy'),
    close: () => ask('close'),
    closed: () => ask('closed'),
  }
}

/** What setPolicy() takes, there too, from the next call on. */
export function setRemotePolicy(policy: unknown): void {
  call(0, 'policy', [policy instanceof Error ? { broken: policy.message } : policy]).catch(() => {})
}

interface RemoteObject {
  readonly made: Promise<unknown>
  readonly state: State
  call(method: string, ...args: unknown[]): Promise<unknown>
}

/** Ends with the test. */
function remoteObject(t: Test, kind: string, argument: unknown): RemoteObject {
  const object = nextObject()
  const made = call(object, 'create', [kind, argument])
  made.catch(() => {})
  t.teardown(() => call(object, 'release', []))
  return {
    made,
    get state() {
      return states.get(object) ?? {}
    },
    async call(method, ...args) {
      await made
      return call(object, method, args)
    },
  }
}

let host: ChildProcess | undefined
let objects = 0
let calls = 0
let waiting = 0
const answers = new EventEmitter().setMaxListeners(0)
const states = new Map<number, State>()

function nextObject(): number {
  objects += 1
  return objects
}

async function call(object: number, method: string, args: readonly unknown[]): Promise<unknown> {
  calls += 1
  const id = calls
  const process = running()
  waiting += 1
  process.channel?.ref()
  try {
    const answered = event(answers, String(id), 60_000)
    process.send({ id, object, method, args } satisfies Call)
    const [{ error, result }] = (await answered) as [Answer]
    if (error) throw revived(error)
    return result
  } finally {
    waiting -= 1
    if (waiting === 0) process.channel?.unref()
  }
}

/** The process on host b; it lives as long as this one, and keeps it no longer than a call. */
function running(): ChildProcess {
  if (host) return host
  const program = fileURLToPath(new URL('./remote-program.ts', import.meta.url))
  // There, the daemon of that host is where one usually is: no setting says so.
  const ofHost = 'mount --bind /run/b/charon.vici /run/charon.vici && exec "$@"'
  const node = [process.execPath, ...process.execArgv, program]
  host = spawn('on', ['b', 'sh', '-c', ofHost, 'sh', ...node], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  })
  host.unref()
  host.on('message', (message: Answer | { object: number; state: State }) => {
    if ('state' in message) states.set(message.object, message.state)
    else answers.emit(String(message.id), message)
  })
  process.on('exit', () => host?.kill('SIGKILL'))
  return host
}

function revived(told: Answer['error']): Error {
  const { message, ...details } = told ?? { message: 'no error' }
  const { code, ...others } = details as { code?: string } & SocketSecurityErrorDetails
  if (code === undefined) return Object.assign(new Error(message), others)
  return new SocketSecurityError(code as never, message, others)
}

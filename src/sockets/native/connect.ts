/**
 * Native mode: the SecureSocket is a plain socket of the operating system whose packets the system
 * secures.
 *
 * The addresses are found first, and a secured socket is prepared for each. In the very call that
 * connects, Node's handle opens the one of that address: so every attempt of autoSelectFamily has
 * its own, and a handle without one refuses. When it is connected, the system is asked what secures
 * it, and only then Node hears of it: 'connect' never fires, and nothing is read or written, before.
 */
import dns from 'node:dns'
import { isIP, type Socket, type TcpNetConnectOpts } from 'node:net'
import { unsupportedFamily } from '../../model/lifecycle.js'
import { peerText } from '../../model/peer-text.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { nativeTimeout } from '../../providers/native/verification.js'
import type { Connection, NativeProvider } from '../../providers/provider.js'
import { internals, netSocket, type TcpHandle } from '../net-internals.js'
import { tellSecured } from '../story.js'
import { stateOf } from '../stream-state.js'
import { now } from '../stream-stats.js'
import { type Attempts, armHandle, exchanged } from './attempt.js'
import { PreparedSockets } from './prepared-sockets.js'

export interface NativeConnectRequest {
  readonly provider: NativeProvider
  readonly options: TcpNetConnectOpts
  readonly settings: ParsedSettings
  readonly targetName: TargetName
  /** The application set the name itself. */
  readonly targetNameSet: boolean
}

/** A negotiation takes longer than the 250 ms that Node gives an attempt, and must not be cut off. */
const MINIMUM_ATTEMPT_TIMEOUT = 10_000
/** Addresses of each family that are prepared and tried. */
const MAX_ADDRESSES = 4

/**
 * Connects `socket` with the provider's security under it.
 * @throws what node:net throws for its own options; SocketSecurityError EAFNOSUPPORT where a handle
 * is there already
 */
export function connectNative(socket: Socket, request: NativeConnectRequest): void {
  const { provider, settings, targetName, targetNameSet } = request
  const { localAddress, localPort, ...options } = nodeOptions(request)
  const state = stateOf(socket)
  // Node would connect it, and nobody has secured it.
  if (state.handle !== null) throw unsupportedFamily('a handle that exists already')
  const prepared = new PreparedSockets()
  let cancelled = false
  let securedHandle: object | undefined

  const { host = 'localhost' } = options
  const literal = isIP(host) !== 0
  const attempts: Attempts = {
    settings,
    prepared,
    port: Number(options.port),
    isCancelled: () => cancelled,
    holds: handle => state.handle === handle,
    refused: error => {
      state.outcome = error
    },
    asks: (peer, isWanted) =>
      limit(peer, 'the system did not say what secures the connection', isWanted),
    secured,
    failed: fail,
  }
  state.armHandle = handle => armHandle(handle, attempts)
  // Node checks its options and makes the handle, and waits for an address that never comes. In
  // brackets an address is one that must be looked up.
  connect({
    ...request.options,
    ...(literal ? { host: `[${host}]` } : {}),
    ...(typeof (options.lookup ?? dns.lookup) === 'function' ? { lookup: never } : {}),
  })
  internals(socket)._host = null
  state.dial = { cancel }
  // Before the application's own listeners, which may destroy the socket.
  socket.prependListener('connectionAttempt', onAttempt)
  socket.prependOnceListener('connect', onConnect)

  if (literal) {
    prepare([{ address: host, family: isIP(host) }], () => connect(options))
  } else {
    connect({ ...options, lookup: lookUp as typeof dns.lookup })
  }

  function connect(nodeOptions: TcpNetConnectOpts): void {
    try {
      netSocket.connect.call(socket, nodeOptions)
    } catch (error) {
      cancel()
      // As if connect() had not been called.
      ;(state.handle as Partial<TcpHandle> | null)?.close?.()
      internals(socket)._handle = null
      throw error
    }
  }

  /** Answers Node when the sockets are prepared. */
  function lookUp(name: string, wanted: dns.LookupOptions, answer: LookupAnswer): void {
    const find = (options.lookup ?? dns.lookup) as Lookup
    let answered = false
    find(name, wanted, (error, found, family) => {
      if (cancelled || answered) return
      answered = true
      if (error) {
        answer(error, found, family)
        return
      }
      const addresses = Array.isArray(found)
        ? worthTrying(found as Address[])
        : [{ address: found as string, family: family as number }]
      prepare(addresses, () => answer(null, Array.isArray(found) ? addresses : found, family))
    })
  }

  function prepare(addresses: readonly Address[], ready: () => void): void {
    const peer = peerText(host, Number(options.port))
    limit(peer, 'no socket could be secured')
    const all = addresses
      .filter(({ address, family }) => isIP(address) === family)
      .map(({ address, family }) =>
        prepared.prepare(address, signal =>
          provider.openSocket({
            address,
            port: Number(options.port),
            family: family as 4 | 6,
            localAddress,
            localPort,
            settings,
            targetName,
            targetNameSet,
            signal,
          }),
        ),
      )
    Promise.all(all).then(() => {
      if (cancelled) return
      unlimit()
      const error = prepared.failure()
      if (error && !prepared.any) fail(error)
      else process.nextTick(proceed)
    })

    function proceed(): void {
      if (!cancelled) ready()
    }
  }

  function secured(handle: object, connection: Connection): void {
    detach()
    securedHandle = handle
    state.dial = null
    state.outcome = null
    state.established = state.securedBefore = true
    state.connection = connection
    state.connectedAfter = now() - state.begun
    state.secured?.resolve(connection.query())
  }

  /** The last look before anybody else sees 'connect'. */
  function onConnect(): void {
    const { connection } = state
    if (!connection || !state.established || state.handle !== securedHandle) fail(exchanged())
    else tellSecured(socket, state, connection)
  }

  /** Until the next tick Node needs the handle, whatever the application does. */
  function onAttempt(): void {
    state.attempting = true
    process.nextTick(() => {
      state.attempting = false
    })
  }

  function fail(error: Error): void {
    state.outcome = error
    socket.destroy(error)
  }

  function limit(peer: string, what: string, isWanted = () => true): void {
    unlimit()
    state.deadline = setTimeout(() => {
      if (isWanted()) fail(nativeTimeout(settings, what, peer))
    }, settings.handshakeTimeout)
    if (state.unreferenced) state.deadline.unref()
  }

  function unlimit(): void {
    clearTimeout(state.deadline)
    state.deadline = undefined
  }

  /** Nothing comes of it any more; what Node still tries is refused. */
  function cancel(): void {
    cancelled = true
    detach()
    socket.off('connect', onConnect)
  }

  function detach(): void {
    unlimit()
    prepared.discard()
    socket.off('connectionAttempt', onAttempt)
  }
}

interface Address {
  readonly address: string
  readonly family: number
}
type LookupAnswer = (error: Error | null, found?: unknown, family?: unknown) => void
type Lookup = (name: string, options: dns.LookupOptions, answer: LookupAnswer) => void

function never(): void {}

/** Node would bind first, and a bound handle takes no other descriptor: the provider binds. */
function nodeOptions({ options, settings }: NativeConnectRequest): TcpNetConnectOpts {
  const { host, localAddress, autoSelectFamilyAttemptTimeout = 0 } = options
  const patience = Math.min(MINIMUM_ATTEMPT_TIMEOUT, settings.handshakeTimeout)
  return {
    ...options,
    host: host || 'localhost',
    autoSelectFamilyAttemptTimeout: Math.max(autoSelectFamilyAttemptTimeout, patience, 1),
    // As Node does it: one local address has one family.
    ...(localAddress ? { autoSelectFamily: false } : {}),
  }
}

/** A name may have very many addresses, and one more than once. */
function worthTrying(found: readonly Address[]): Address[] {
  const chosen = new Map<string, Address>()
  const count = new Map<number, number>()
  for (const { address, family } of found) {
    const earlier = count.get(family) ?? 0
    if (chosen.has(address) || earlier === MAX_ADDRESSES) continue
    count.set(family, earlier + 1)
    chosen.set(address, { address, family })
  }
  return [...chosen.values()]
}

/**
 * A net.Server whose connections are secured before the application sees them: 'connection' gives a
 * SecureSocket, after the handshake and after the client has proved what it must.
 */
import cluster from 'node:cluster'
import type { ListenOptions, Server, ServerOpts, Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { SocketSecurityError } from '../model/errors.js'
import { checkSetSecurity, checkSocket, notSocket, unsupportedFamily } from '../model/lifecycle.js'
import type { ParsedSettings, SecuritySettings } from '../model/settings.js'
import { isPolicyError } from '../policy/policy-errors.js'
import { settingsFor } from '../policy/settings-source.js'
import type { SettingsSource } from '../policy/source.js'
import type { AcceptObserver, Acceptor, Connection, StreamProvider } from '../providers/provider.js'
import { streamProvider } from '../providers/select.js'
import { callable } from './callable.js'
import { handled } from './completion.js'
import { connectArguments } from './connect-arguments.js'
import { inspected, serverText, setOwn } from './inspecting.js'
import { type ListenObserver, nothingUnder, putUnder } from './native/listening.js'
import { ownSocket } from './native/own-socket.js'
import { createNativeAcceptor } from './native/server.js'
import { internals, methodsOf, net } from './net-internals.js'
import { givenOption } from './own-options.js'
import { acceptedSocket, isEstablished, SecureSocket } from './secure-socket.js'
import { setSource } from './set-source.js'
import { Handshakes, type ServerStats } from './stream-stats.js'
import type { TypedEvents } from './typed-events.js'

const base = methodsOf(net.Server.prototype) as typeof net.Server.prototype
const baseEmit = base.emit as (this: object, event: string | symbol, ...args: unknown[]) => boolean
const baseListen = base.listen as (this: object, ...args: unknown[]) => unknown

export type SecureServerOptions = ServerOpts & { security?: SecuritySettings | null }
export type ConnectionListener = (socket: SecureSocket) => void

class SecureServerClass extends net.Server {
  /** @throws SocketSecurityError EINVAL */
  constructor(options?: SecureServerOptions | ConnectionListener, listener?: ConnectionListener) {
    super(...baseArguments(options, listener))
    initialise(this, options)
  }

  /**
   * Applies security settings (WSASetSocketSecurity): before listen, once. null: the default policy.
   * The effect is immediate; a failure fails the listen too.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EINVAL
   */
  setSecurity(settings?: SecuritySettings | null): Promise<void> {
    const syscall = 'WSASetSocketSecurity'
    if (!(this instanceof net.Server)) return handled(Promise.reject(notSocket(syscall)))
    const state = stateOf(this)
    try {
      const socket = { closed: state.closed, foreign: false }
      checkSocket(socket, syscall)
      const source = settingsFor(settings, 'stream', 'server')
      const { listened, settings: earlier } = state
      checkSetSecurity({ ...socket, connected: false, bound: listened, secured: earlier !== null })
      setSource(state, source)
      state.failure = null
      return Promise.resolve()
    } catch (error) {
      if (!state.listened) state.failure ??= error as Error
      return handled(Promise.reject(error))
    }
  }

  /** As net.Server's; what the settings lack is an 'error', and nothing listens. */
  override listen(...args: unknown[]): this {
    // Node says it best; what listens already is none of the policy's that may have come since.
    if (internals(this)._handle) return baseListen.apply(this, args) as this
    const state = stateOf(this)
    const [options] = connectArguments(args)
    try {
      if (state.failure) throw state.failure
      const settings = settingsNow(state)
      checkListen(options as ListenOptions, settings)
      if (!canAccept(state, settings)) putAcceptor(this, settings)
      const open = ownSocket(settings)
      if (open) putUnder(this, open, listenObserver(this))
      else nothingUnder(this)
    } catch (error) {
      process.nextTick(() => baseEmit.call(this, 'error', error))
      return this
    }
    state.listened = true
    state.closed = false
    baseListen.apply(this, args)
    return this
  }

  override close(callback?: (error?: Error) => void): this {
    stateOf(this).stopOpening?.()
    base.close.call(this, callback)
    return this
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    stateOf(this).stopOpening?.()
    await super[Symbol.asyncDispose]()
  }

  /** What has happened so far. */
  get stats(): ServerStats {
    return stateOf(this).handshakes.stats(internals(this)._connections)
  }

  /** Programs keep things of their own at their servers. */
  set stats(value: ServerStats) {
    setOwn(this, 'stats', value)
  }

  /** What it is and how it secures its connections, in one line. */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const { settings, listened, closed } = stateOf(this)
    const text = () => serverText(this, { settings, closed: listened && closed })
    return inspected(this, SecureServer.prototype, text, depth, options)
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const [raw] = args
    if (event === 'close') stateOf(this).closed = true
    if (event === 'listening' && !listensOnItsOwn(this)) {
      refuseListening(this, 'a socket that is not the one that was secured')
      return true
    }
    if (event !== 'connection' || (raw instanceof SecureSocket && isEstablished(raw))) {
      return baseEmit.call(this, event, ...args)
    }
    // Whatever is injected here is secured like a connection of our own, or refused.
    if (!(raw instanceof Duplex)) {
      return baseEmit.call(this, 'tlsClientError', unsupportedFamily('what was emitted'), raw)
    }
    const state = stateOf(this)
    const acceptor = state.acceptor ?? putAcceptor(this, settingsNow(state))
    state.handshakes.begun(raw as Socket, state.native ? 'ipsec' : 'tls')
    acceptor.accept(raw as Socket)
    return true
  }
}

/** The events that a SecureServer has beyond those of net.Server, or gives otherwise. */
export interface SecureServerEvents {
  /** A client was refused, or its handshake failed; its connection is closed. */
  tlsClientError: [error: Error, socket: Socket]
  /** allowInsecure lets this connection in although it is clear; just before 'connection'. */
  insecure: [socket: SecureSocket]
  /** Only with the setting `keylog`: a line of the NSS key log format, the secrets of that connection. */
  keylog: [line: Buffer, socket: Socket]
}

/** By literals, since TypeScript looks at net.Server's own literal overloads before any generic one. */
interface ConnectionEvent {
  on(event: 'connection', listener: ConnectionListener): this
  once(event: 'connection', listener: ConnectionListener): this
  off(event: 'connection', listener: ConnectionListener): this
  addListener(event: 'connection', listener: ConnectionListener): this
  removeListener(event: 'connection', listener: ConnectionListener): this
  prependListener(event: 'connection', listener: ConnectionListener): this
  prependOnceListener(event: 'connection', listener: ConnectionListener): this
}

export type SecureServer = ConnectionEvent & TypedEvents<SecureServerEvents> & SecureServerClass

interface SecureServerConstructor {
  new (options?: SecureServerOptions, listener?: ConnectionListener): SecureServer
  new (listener?: ConnectionListener): SecureServer
  (options?: SecureServerOptions, listener?: ConnectionListener): SecureServer
  (listener?: ConnectionListener): SecureServer
  readonly prototype: SecureServer
}

/** A drop-in for net.Server; see docs/api.md. Can be called without `new`, as net.Server can. */
export const SecureServer = callable(SecureServerClass, (self, [options, listener]) => {
  const given = baseArguments(options as SecureServerOptions, listener as ConnectionListener)
  ;(net.Server as unknown as (...args: unknown[]) => void).call(self, ...given)
  initialise(self, options as SecureServerOptions)
}) as unknown as SecureServerConstructor

/** What a server knows beyond a net.Server; also of a foreign net.Server whose 'connection' we secure. */
interface ServerState {
  /** What was asked for in options while the policy refused it: the listen fails, or finds another policy. */
  asked: SecuritySettings | null
  /** Where its settings come from, once they are set. */
  source: SettingsSource | null
  /** The settings as they were when they were asked for last. */
  settings: ParsedSettings | null
  /** An asynchronous completion that failed; the listen that waits for it fails with it (R12). */
  failure: Error | null
  acceptor: Acceptor | null
  /** Those that the acceptor was made by. */
  acceptedBy: ParsedSettings | null
  readonly handshakes: Handshakes
  /** Gives up a socket of our own that is being opened. */
  stopOpening: (() => void) | null
  /** The handle that has taken it. */
  handle: object | null
  /** The system secures what is accepted. */
  native: boolean
  listened: boolean
  closed: boolean
  pauseOnConnect: boolean
}

const states = new WeakMap<object, ServerState>()

function stateOf(server: object): ServerState {
  let state = states.get(server)
  if (!state) {
    state = {
      asked: null,
      source: null,
      settings: null,
      failure: null,
      acceptor: null,
      acceptedBy: null,
      handshakes: new Handshakes(),
      stopOpening: null,
      handle: null,
      native: false,
      listened: false,
      closed: false,
      pauseOnConnect: false,
    }
    states.set(server, state)
  }
  return state
}

/** pauseOnConnect is ours: a paused raw connection could not handshake. */
function baseArguments(
  options?: SecureServerOptions | ConnectionListener,
  listener?: ConnectionListener,
): [ServerOpts, never] {
  if (typeof options === 'function') return [{}, options as never]
  if (typeof options !== 'object' || options === null) return [options as never, listener as never]
  const { security: _security, pauseOnConnect: _pause, ...rest } = options
  return [rest, listener as never]
}

function initialise(server: object, options?: SecureServerOptions | ConnectionListener): void {
  if (typeof options !== 'object' || options === null) return
  const state = stateOf(server)
  state.pauseOnConnect = Boolean(options.pauseOnConnect)
  const security = givenOption<SecureServerOptions['security']>(options, 'security')
  if (security === undefined) return
  try {
    setSource(state, settingsFor(security, 'stream', 'server'))
  } catch (error) {
    // A program that ran before a policy came has no reason to catch it here: the listen fails.
    if (!isPolicyError(error)) throw error
    state.asked = security
  }
}

/** The policy can be another one than when it was constructed, or listened before. */
function settingsNow(state: ServerState): ParsedSettings {
  state.settings = sourceOf(state).current()
  return state.settings
}

function sourceOf(state: ServerState): SettingsSource {
  state.source ??= settingsFor(state.asked, 'stream', 'server') // R1
  return state.source
}

/** R2: no pipes. R9: exclusive use of the port. */
function checkListen(
  options: ListenOptions & { reusePort?: boolean },
  settings: ParsedSettings,
): void {
  if (options.path !== undefined)
    throw unsupportedFamily(`the pipe ${JSON.stringify(options.path)}`, 'WSASetSocketSecurity')
  if (settings.sharePort) return
  const shared = options.reusePort
    ? 'reusePort'
    : cluster.isWorker && !options.exclusive
      ? 'cluster sharing'
      : undefined
  if (shared) {
    throw new SocketSecurityError(
      'EINVAL',
      `${shared} lets other processes take the port of a secured socket: set security.sharePort to allow it`,
      {
        syscall: 'WSASetSocketSecurity',
      },
    )
  }
}

/** One of TLS follows its settings, and its clients resume there; one of IPsec is of one socket's. */
function canAccept({ acceptedBy, native }: ServerState, settings: ParsedSettings): boolean {
  return native ? acceptedBy === settings : acceptedBy?.protocol === settings.protocol
}

function putAcceptor(server: SecureServerClass, settings: ParsedSettings): Acceptor {
  const state = stateOf(server)
  const provider = streamProvider(settings)
  const acceptor = createAcceptor(server, provider, settings)
  state.acceptor = acceptor
  state.acceptedBy = settings
  state.native = provider.mode === 'native'
  return acceptor
}

function createAcceptor(
  server: SecureServerClass,
  provider: StreamProvider,
  settings: ParsedSettings,
): Acceptor {
  const state = stateOf(server)
  const native = provider.mode === 'native'
  const observer: AcceptObserver = {
    established: (channel, connection) => {
      state.handshakes.established(connection)
      present(server as Foreign, state, channel, connection)
    },
    refused: (error, channel) => {
      state.handshakes.refused(channel, native ? 'ipsec' : 'tls', error)
      // It is going in any case: no error that is still to come ends the process, nor one that a listener gives it.
      channel.on('error', () => {})
      try {
        baseEmit.call(server, 'tlsClientError', error, channel)
      } finally {
        // Also where the application throws when it is told: nobody stays connected, or is let in, behind a refusal.
        channel.destroy()
      }
    },
    keylog: (line, channel) => baseEmit.call(server, 'keylog', line, channel),
  }
  if (provider.mode === 'channel')
    return provider.createAcceptor(() => sourceOf(state).current(), observer)
  if (settings.sharePort) throw notShared()
  provider.checkSettings?.(settings)
  return createNativeAcceptor(provider, settings, observer)
}

function listenObserver(server: SecureServerClass): ListenObserver {
  const state = stateOf(server)
  return {
    begins: stop => {
      state.stopOpening?.()
      state.stopOpening = stop
    },
    // What a foreign handle listens on has no security; to have no exclusive port is its owner's affair.
    acceptsGiven: () => !state.native,
    refused: () => refuseListening(server, 'a handle or descriptor that exists already'),
    listens: handle => {
      state.handle = handle
    },
    failed: error => process.nextTick(() => baseEmit.call(server, 'error', error)),
  }
}

/** Is the handle that listens the one that has taken our socket? */
function listensOnItsOwn(server: object): boolean {
  const { native, handle } = stateOf(server)
  return !native || internals(server)._handle === handle
}

function notShared(): Error {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    "security.sharePort cannot be used with protocol 'ipsec': the system secures a socket for one process, which has its port for itself",
    { syscall: 'WSASetSocketSecurity' },
  )
}

function refuseListening(server: SecureServerClass, what: string): void {
  const error = new SocketSecurityError(
    'EINVAL',
    `${what} cannot be secured by the system: let listen() make the socket, from a port and a host`,
    { syscall: 'WSASetSocketSecurity' },
  )
  stateOf(server).stopOpening?.()
  const { _handle } = internals(server) as { _handle: { close?(): void } | null }
  _handle?.close?.()
  internals(server)._handle = null
  process.nextTick(() => baseEmit.call(server, 'error', error))
}

/** Shows a secured connection to the application. */
function present(
  server: Foreign,
  state: ServerState,
  channel: Socket,
  connection: Connection,
): void {
  const { allowHalfOpen, highWaterMark, pauseOnConnect, noDelay, keepAlive } = server
  const socket = acceptedSocket(channel, connection, {
    allowHalfOpen: Boolean(allowHalfOpen),
    // net.Server has set these two on the raw connection; net.Socket is only to know of them.
    noDelay,
    keepAlive,
    keepAliveInitialDelay: (server.keepAliveInitialDelay ?? 0) * 1000,
    ...(highWaterMark === undefined
      ? {}
      : { readableHighWaterMark: highWaterMark, writableHighWaterMark: highWaterMark }),
  } as object)
  Reflect.set(socket, 'server', server)
  if (state.pauseOnConnect || pauseOnConnect) socket.pause()
  // Whoever was told of it first can have refused it: a subscriber of diagnostics, then 'insecure'.
  if (!connection.secured && !socket.destroyed) baseEmit.call(server, 'insecure', socket)
  if (socket.destroyed) {
    // Nobody else ever sees it: the error that it was refused with ends no process.
    socket.on('error', () => {})
    return
  }
  // By its own emit(), which a class of the application's can have overridden.
  const own = server as Server
  own.emit('connection', socket)
  if (!socket.destroyed && !socket.isPaused()) socket.read(0)
}

/** What every net.Server has, ours or not, and its types do not tell. */
interface Foreign {
  readonly allowHalfOpen?: boolean
  readonly highWaterMark?: number
  readonly pauseOnConnect?: boolean
  readonly noDelay?: boolean
  readonly keepAlive?: boolean
  /** seconds, unlike the option */
  readonly keepAliveInitialDelay?: number
}

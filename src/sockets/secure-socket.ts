/**
 * A net.Socket that is secured before it carries a byte.
 *
 * In channel mode (tls) it is a proxy: what is written goes to an inner stream that protects it,
 * what that stream gives is pushed here. In native mode (IPsec) it is the plain socket itself.
 */

import type { NetConnectOpts, Socket, SocketConstructorOpts, TcpNetConnectOpts } from 'node:net'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { SocketSecurityError } from '../model/errors.js'
import {
  checkQuery,
  checkSetPeerTargetName,
  checkSetSecurity,
  checkSocket,
  notSocket,
  type SocketState,
  unsupportedFamily,
} from '../model/lifecycle.js'
import type { SecurityInfo } from '../model/security-info.js'
import type { ParsedSettings, SecuritySettings } from '../model/settings.js'
import { parseHostTargetName, parseTargetNameFor } from '../model/target-name.js'
import { chosenTargetName } from '../policy/chosen-target-name.js'
import { isPolicyError } from '../policy/policy-errors.js'
import { protocolFor, settingsFor } from '../policy/settings-source.js'
import type { SettingsSource } from '../policy/source.js'
import type { Connection } from '../providers/provider.js'
import { streamProvider } from '../providers/select.js'
import { callable } from './callable.js'
import {
  adopt,
  connectChannel,
  readOn,
  release,
  resetOnClose,
  resumeOnread,
  waitToWrite,
  writeAll,
  writeOne,
} from './channel-mode.js'
import { deferred, handled } from './completion.js'
import { connectArguments, readOnce } from './connect-arguments.js'
import { runAs } from './impersonation.js'
import { inspectStream, setOwn } from './inspecting.js'
import { exchanged, refuseHandle } from './native/attempt.js'
import { connectNative } from './native/connect.js'
import { internals, net, netSocket } from './net-internals.js'
import { onreadGate } from './onread.js'
import { givenOption } from './own-options.js'
import { setSource } from './set-source.js'
import { tellBegun, tellClosed, tellFailed, tellSecured } from './story.js'
import { type StreamState, stateOf } from './stream-state.js'
import { now, type StreamStats, streamStats } from './stream-stats.js'
import { TlsReadingSide } from './tls-reading-side.js'
import type { TypedEvents } from './typed-events.js'

type Callback = (error?: Error | null) => void

export interface SecurityOptions {
  /** What secures the socket; null or absent: the default policy. */
  security?: SecuritySettings | null
  /** Whom the peer must prove to be; absent: the host that is connected to. */
  peerTargetName?: string
}

export type SecureSocketOptions = SocketConstructorOpts & SecurityOptions
export type SecureConnectOptions = NetConnectOpts & SecurityOptions

class SecureSocketClass extends TlsReadingSide {
  /** @throws SocketSecurityError EINVAL, EFAULT, EISCONN */
  constructor(options?: SecureSocketOptions) {
    super(baseOptions(options))
    initialise(this, options)
  }

  // The Winsock verbs.

  /**
   * Applies security settings (WSASetSocketSecurity): before connect, once. null: the default policy.
   * The effect is immediate, no await is needed before connect(); a failure fails the connect too.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EISCONN, EINVAL
   */
  setSecurity(settings?: SecuritySettings | null): Promise<void> {
    return completion(this, 'securityFailure', 'WSASetSocketSecurity', state => {
      const source = settingsFor(settings, 'stream', 'client')
      checkSetSecurity(socketState(this))
      setSource(state, source)
    })
  }

  /**
   * Sets the name that the peer must prove (WSASetSocketPeerTargetName): before connect.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EISCONN, EFAULT, EINVAL
   */
  setPeerTargetName(name: string): Promise<void> {
    return completion(this, 'nameFailure', 'WSASetSocketPeerTargetName', state => {
      const parsed = parseTargetNameFor(state.settings, name)
      checkSetPeerTargetName(socketState(this))
      state.targetName = parsed
    })
  }

  /** For datagrams only (R21): a stream has one peer, and its name is not deleted. Always rejects with EINVAL. */
  deletePeerTargetName(): Promise<void> {
    const error = new SocketSecurityError(
      'EINVAL',
      'the target name of a stream cannot be deleted: close the socket',
      {
        syscall: 'WSADeleteSocketPeerTargetName',
      },
    )
    return handled(Promise.reject(error))
  }

  /**
   * What secures the connection, and who the peer is (WSAQuerySocketSecurity). Repeatable.
   * @throws (rejects) SocketSecurityError ENOTSOCK, ENOTCONN
   */
  querySecurity(): Promise<SecurityInfo> {
    try {
      const connection = established(this, 'WSAQuerySocketSecurity')
      return handled(connection.refresh?.() ?? Promise.resolve(connection.query()))
    } catch (error) {
      return handled(Promise.reject(error))
    }
  }

  /**
   * Runs `fn` as the peer (WSAImpersonateSocketPeer): inside, and in all that it starts,
   * `currentPeer()` is the peer. Returns what `fn` returns.
   * @throws SocketSecurityError ENOTSOCK, ENOTCONN, ERR_PEER_NOT_AUTHENTICATED
   */
  impersonatePeer<T>(fn: () => T): T {
    const connection = established(this, 'WSAImpersonateSocketPeer')
    const { peer } = connection.query()
    if (!peer) {
      throw new SocketSecurityError(
        'ERR_PEER_NOT_AUTHENTICATED',
        connection.impersonate
          ? 'the system knows no identity of the peer: the IPsec policy must authenticate its user or its machine'
          : 'the peer has no identity: ask for one with security.requestCert',
        {
          syscall: 'WSAImpersonateSocketPeer',
        },
      )
    }
    return runAs(peer, () => (connection.impersonate ? connection.impersonate(fn) : fn()))
  }

  /** Settles when the connection is secured, or when it will not be. Never an unhandled rejection. */
  get secured(): Promise<SecurityInfo> {
    const state = stateOf(this)
    if (state.secured === null) {
      state.secured = deferred()
      const { established, connection, channel } = state
      if (established && connection) {
        if (channel?.destroyed) state.secured.reject(ended())
        else state.secured.resolve(connection.query())
      } else if (this.destroyed) {
        state.secured.reject(state.outcome ?? ended())
      }
    }
    return state.secured.promise
  }

  /** What has gone over it so far. */
  get stats(): StreamStats {
    return streamStats(internals(this) as never, stateOf(this))
  }

  /** Programs keep things of their own at their sockets. */
  set stats(value: StreamStats) {
    setOwn(this, 'stats', value)
  }

  /** What it is and what secures it, in one line. */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    return inspectStream(this, SecureSocket.prototype, depth, options)
  }

  // node:net.

  override connect(...args: unknown[]): this {
    const [given, callback] = connectArguments(args)
    const options = readOnce(given)
    const state = stateOf(this)
    if (callback) this.once('connect', callback)
    // Aborted before it began: its error is on the way.
    if (state.signal?.aborted) return this
    if (this.destroyed) revive(this, state)
    applyOptions(this, options as SecurityOptions)
    // A net.Socket says it best what is wrong with such arguments.
    if ((options as TcpNetConnectOpts).port === undefined && !('path' in options && options.path)) {
      netSocket.connect.call(this, options)
      return this
    }
    if (Object.hasOwn(this, 'write')) Reflect.deleteProperty(this, 'write') // what net puts there after the peer's FIN
    internals(this)._unrefTimer()
    if (state.connecting) {
      this.destroy(
        new SocketSecurityError(
          'EISCONN',
          'connect() was called on a socket that is connecting or connected',
        ),
      )
      return this
    }
    state.connecting = true
    internals(this).connecting = true
    try {
      if ('path' in options && options.path)
        throw unsupportedFamily(`the pipe ${JSON.stringify(options.path)}`)
      const failure = state.securityFailure ?? state.nameFailure
      if (failure) throw failure
      connectSecured(this, state, options as TcpNetConnectOpts)
    } catch (error) {
      if (!(error instanceof SocketSecurityError)) {
        state.connecting = false
        internals(this).connecting = false
        throw error
      }
      this.destroy(error)
    }
    return this
  }

  override _write(data: unknown, encoding: BufferEncoding, callback: Callback): void {
    const state = stateOf(this)
    const { channel } = state
    if (!channel) {
      if (hasForeignHandle(state)) callback(unsupportedFamily('this socket'))
      else netSocket._write.call(this, data, encoding, callback)
    } else if (!state.established) {
      const to = (secured: Socket) => writeOne(secured, data, encoding, callback)
      waitToWrite(this, state, { data, encoding, to, callback })
    } else {
      internals(this)._unrefTimer()
      writeOne(channel, data, encoding, callback)
    }
  }

  override _writev(
    chunks: { chunk: unknown; encoding: BufferEncoding }[],
    callback: Callback,
  ): void {
    const state = stateOf(this)
    const { channel } = state
    if (!channel) {
      if (hasForeignHandle(state)) callback(unsupportedFamily('this socket'))
      else netSocket._writev?.call(this, chunks, callback)
    } else if (!state.established) {
      const to = (secured: Socket) => writeAll(secured, chunks, callback)
      waitToWrite(this, state, { data: chunks, encoding: '', to, callback })
    } else {
      internals(this)._unrefTimer()
      writeAll(channel, chunks, callback)
    }
  }

  override _final(callback: Callback): void {
    const { channel, established } = stateOf(this)
    if (!channel) {
      netSocket._final.call(this, callback)
    } else if (!established) {
      this.once('connect', () => this._final(callback))
    } else {
      const end = () => channel.end((error?: Error | null) => callback(error))
      // Not inside a read: TLS would throw the rest of what that read has brought away.
      if (channel.readableEnded) end()
      else setImmediate(end)
    }
  }

  override _read(size: number): void {
    const state = stateOf(this)
    if (!state.channel) {
      netSocket._read.call(this, size)
      return
    }
    if (!state.established) state.wanted = true
    else if (!state.onread) readOn(this, state, state.channel)
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const state = stateOf(this)
    const { channel, waiting, connecting, established, attempting } = state
    // Why an attempt could not be secured says more than the error that Node makes of it.
    const reason = error && (state.outcome ?? error)
    if (!established) state.outcome ??= error ?? neverSecured()
    // Of no effect where it has settled.
    state.secured?.reject(state.outcome ?? error ?? neverSecured())
    if (established) tellClosed(this, state, error)
    else if (connecting && reason) tellFailed(state, reason)
    state.connecting = state.established = false
    state.waiting = null
    if (channel) state.handle = release(state, channel)
    state.dial?.cancel()
    state.dial = null
    const end = () => netSocket._destroy.call(this, reason, callback)
    // In the event 'connectionAttempt' Node still needs its handle.
    if (attempting) process.nextTick(end)
    else end()
    waiting?.fail(error ?? neverConnected())
  }

  override pause(): this {
    const state = stateOf(this)
    if (state.onread && state.channel) {
      state.onread.pause()
      state.channel.pause()
    }
    return netSocket.pause.call(this) as this
  }

  override resume(): this {
    resumeOnread(this)
    return netSocket.resume.call(this) as this
  }

  // biome-ignore lint/suspicious/noExplicitAny: as in net.Socket
  override read(size?: number): any {
    resumeOnread(this)
    return netSocket.read.call(this, size)
  }

  override setNoDelay(enable = true): this {
    const state = stateOf(this)
    state.noDelay = Boolean(enable)
    return netSocket.setNoDelay.call(this, enable) as this
  }

  override setKeepAlive(...args: unknown[]): this {
    stateOf(this).keepAlive = args
    return netSocket.setKeepAlive.apply(this, args) as this
  }

  override ref(): this {
    reference(this, true)
    return this
  }

  override unref(): this {
    reference(this, false)
    return this
  }

  override resetAndDestroy(): this {
    const state = stateOf(this)
    const { channel, established } = state
    if (!channel) return netSocket.resetAndDestroy.call(this) as this
    if (!established) return this.once('connect', () => this.resetAndDestroy())
    resetOnClose(channel)
    // What has not left yet is not waited for: that is what a reset means.
    state.announcing = false
    return this.destroy()
  }

  /**
   * Node's own layers look at the handle (TLS nested inside waits for ever on a socket without one).
   * In channel mode it is the channel's, and only once the peer is authenticated.
   */
  get _handle(): unknown {
    const { channel, established, handle } = stateOf(this)
    if (!channel) return handle
    return established ? internals(channel)._handle : null
  }

  set _handle(handle: unknown) {
    const state = stateOf(this)
    if (handle && state.established && !state.channel) {
      this.destroy(exchanged())
      return
    }
    state.handle = handle
    // Node writes to what its own setter has kept: that is never a handle which nobody has secured.
    if (!handle || state.armHandle) Reflect.set(netSocket, '_handle', handle, this)
    if (handle) (state.armHandle ?? refuseHandle)(handle)
  }
}

// The types of net.Socket know these as plain properties, so the class cannot give them getters.
Object.defineProperties(SecureSocketClass.prototype, {
  bytesRead: {
    get(this: SecureSocketClass): number {
      const { channel, connection } = stateOf(this)
      // What the channel holds has not been read by anybody yet.
      const bytes = channel
        ? channel.bytesRead - channel.readableLength
        : Reflect.get(netSocket, 'bytesRead', this)
      return Math.max(0, bytes - (connection?.overhead.read ?? 0))
    },
    enumerable: true,
    configurable: true,
  },
  bufferSize: {
    get(this: SecureSocketClass): number | undefined {
      return stateOf(this).channel
        ? this.writableLength
        : Reflect.get(netSocket, 'bufferSize', this)
    },
    configurable: true,
  },
  _bytesDispatched: {
    get(this: SecureSocketClass): number {
      const { channel, connection } = stateOf(this)
      const bytes = Reflect.get(channel ?? netSocket, '_bytesDispatched', channel ?? this)
      return Math.max(0, bytes - (connection?.overhead.written ?? 0))
    },
    configurable: true,
  },
})

/** The events that a SecureSocket has beyond those of net.Socket. */
export interface SecureSocketEvents {
  /** allowInsecure left this connection clear; just before 'connect'. */
  insecure: [info: SecurityInfo]
  /** Only with the setting `keylog`: a line of the NSS key log format, the secrets of this connection. */
  keylog: [line: Buffer]
}

export type SecureSocket = TypedEvents<SecureSocketEvents> & SecureSocketClass

interface SecureSocketConstructor {
  new (options?: SecureSocketOptions): SecureSocket
  (options?: SecureSocketOptions): SecureSocket
  readonly prototype: SecureSocket
}

/** A drop-in for net.Socket; see docs/api.md. Can be called without `new`, as net.Socket can. */
export const SecureSocket = callable(SecureSocketClass, (self, [options]) => {
  ;(net.Socket as unknown as (options?: unknown) => void).call(
    self,
    baseOptions(options as SecureSocketOptions),
  )
  initialise(self as SecureSocketClass, options as SecureSocketOptions)
}) as unknown as SecureSocketConstructor

/** A socket over a channel that a server has secured. */
export function acceptedSocket(
  channel: Socket,
  connection: Connection,
  options: SecureSocketOptions,
): SecureSocket {
  const socket = new SecureSocket(options)
  const state = stateOf(socket)
  state.connecting = state.accepted = true
  adopt(socket, state, channel, connection)
  tellSecured(socket, state, connection)
  return socket
}

/** Is its peer authenticated, and its channel secured? */
export function isEstablished(socket: object): boolean {
  const { established, connection } = stateOf(socket)
  return established && connection !== null
}

// Setting up.

function baseOptions(options?: SecureSocketOptions | number): SocketConstructorOpts {
  const {
    security: _security,
    peerTargetName: _name,
    onread,
    ...rest
  } = Object(options) as SecureSocketOptions & { onread?: unknown; handle?: unknown }
  if (typeof options === 'number' || rest.fd !== undefined || rest.handle) {
    throw new SocketSecurityError(
      'EISCONN',
      'a socket that exists already cannot be secured: give neither fd nor handle, and connect()',
    )
  }
  // In channel mode we fill the application's buffer ourselves.
  return onread !== undefined &&
    protocolFor(givenOption(options, 'security'), 'stream', 'client') === 'ipsec'
    ? ({ ...rest, onread } as SocketConstructorOpts)
    : rest
}

function initialise(socket: SecureSocketClass, options?: SecureSocketOptions): void {
  const {
    noDelay,
    keepAlive,
    keepAliveInitialDelay = 0,
    onread,
    signal,
  } = Object(options) as TcpNetConnectOpts & { signal?: AbortSignal }
  const state = stateOf(socket)
  if (noDelay) state.noDelay = true
  if (signal) state.signal = signal
  if (keepAlive) state.keepAlive = [true, keepAliveInitialDelay]
  if (
    onread !== undefined &&
    protocolFor(givenOption(options, 'security'), 'stream', 'client') !== 'ipsec'
  )
    state.onread = onreadGate(onread)
  applyOptions(socket, options)
}

/**
 * Security among the options of the constructor or of connect(): what is wrong is thrown at once. What
 * the administrator has forbidden, or done wrong, fails the connect: a program that ran before a policy
 * came has no reason to catch it here.
 */
function applyOptions(socket: SecureSocketClass, options?: SecurityOptions): void {
  const state = stateOf(socket)
  const security = givenOption<SecurityOptions['security']>(options, 'security')
  const peerTargetName = givenOption<string>(options, 'peerTargetName')
  if (security !== undefined) {
    try {
      const source = settingsFor(security, 'stream', 'client')
      // The same again, when the same object connects again, is no second setting.
      if (!isSame(state, source)) checkSetSecurity(socketState(socket))
      setSource(state, source)
    } catch (error) {
      if (!isPolicyError(error)) throw error
      if (!state.connecting) state.asked = security
    }
  }
  if (peerTargetName !== undefined) {
    const name = parseTargetNameFor(state.settings, peerTargetName)
    checkSetPeerTargetName(socketState(socket))
    state.targetName = name
  }
}

function isSame({ source, settings }: StreamState, other: SettingsSource): boolean {
  return source === other || settings?.fingerprint === other.current().fingerprint
}

function socketState(socket: SecureSocketClass): SocketState {
  const state = stateOf(socket)
  return {
    closed: socket.destroyed,
    foreign: hasForeignHandle(state),
    connected: state.connecting,
    bound: false,
    secured: state.settings !== null,
  }
}

/** A handle that is there although no connect() of ours has made it. */
function hasForeignHandle({ handle, channel, armHandle }: StreamState): boolean {
  return handle !== null && channel === null && armHandle === null
}

/**
 * A verb: done at once, told by a promise. A failure that nobody awaits must not leave a connection
 * with less security than was asked for: it stays, and fails every connect(), until the same verb succeeds.
 */
function completion(
  socket: SecureSocketClass,
  failure: 'securityFailure' | 'nameFailure',
  syscall: string,
  apply: (state: StreamState) => void,
): Promise<void> {
  if (!(socket instanceof net.Socket)) return handled(Promise.reject(notSocket(syscall)))
  const state = stateOf(socket)
  try {
    checkSocket(socketState(socket), syscall)
    apply(state)
    state[failure] = null
    return Promise.resolve()
  } catch (error) {
    if (!state.connecting) state[failure] ??= error as Error
    return handled(Promise.reject(error))
  }
}

// Connecting.

function connectSecured(
  socket: SecureSocketClass,
  state: StreamState,
  options: TcpNetConnectOpts,
): void {
  const host = options.host || 'localhost'
  const port = Number(options.port)
  state.dialled = { address: host, port }
  state.begun = now()
  setSource(state, state.source ?? settingsFor(state.asked, 'stream', 'client')) // R1
  const settings = state.settings as ParsedSettings
  tellBegun('client', settings.protocol, state.dialled)
  const provider = streamProvider(settings)
  const flow = { transport: 'tcp', direction: 'out', host, port } as const
  const chosen = chosenTargetName(state.targetName, settings, flow)
  const targetName = chosen ?? parseHostTargetName(host)
  const targetNameSet = chosen !== undefined
  if (provider.mode === 'native') {
    if (state.onread) throw onreadTooLate()
    provider.checkSettings?.(settings)
    connectNative(socket, { provider, options, settings, targetName, targetNameSet })
  } else {
    connectChannel(socket, { provider, options, settings, targetName, targetNameSet })
  }
}

/** A socket that is used again after its end. */
function revive(socket: SecureSocketClass, state: StreamState): void {
  internals(socket)._undestroy?.()
  internals(socket)._peername = null
  internals(socket)._sockname = null
  internals(socket)._handle = null
  state.channel = state.connection = null
  state.outcome = state.secured = state.connectedAfter = null
  state.wanted = state.endHeld = false
}

/** Only node:net itself can read a native socket into the application's buffer, and must know at once. */
function onreadTooLate(): Error {
  return new SocketSecurityError(
    'EINVAL',
    "onread with protocol 'ipsec' needs the settings in the same options: give security to the constructor",
  )
}

function neverConnected(): Error {
  return Object.assign(new Error('the socket was closed before the connection was established'), {
    code: 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION',
  })
}

function ended(): Error {
  return new SocketSecurityError(
    'ENOTCONN',
    'the connection has ended: ask for its security while it lives',
  )
}

function neverSecured(): Error {
  return new SocketSecurityError('ENOTCONN', 'the socket was destroyed before it was secured')
}

// Asking.

function established(socket: SecureSocketClass, syscall: string): Connection {
  if (!(socket instanceof net.Socket)) throw notSocket(syscall)
  const { established, connection, channel } = stateOf(socket)
  checkQuery(socketState(socket), established, syscall)
  if (!connection || channel?.destroyed) throw ended()
  return connection
}

function reference(socket: SecureSocketClass, wanted: boolean): void {
  const state = stateOf(socket)
  state.unreferenced = !wanted
  const { channel, deadline } = state
  if (deadline) (wanted ? deadline.ref : deadline.unref).call(deadline)
  if (channel) (wanted ? channel.ref : channel.unref).call(channel)
  else (wanted ? netSocket.ref : netSocket.unref).call(socket)
}

/**
 * A net.Socket that is secured before it carries a byte.
 *
 * In channel mode (tls) it is a proxy: what is written goes to an inner stream that protects it,
 * what that stream gives is pushed here. In native mode (IPsec) it is the plain socket itself.
 */

import type { X509Certificate } from 'node:crypto'
import nodeNet, {
  type NetConnectOpts,
  type Socket,
  type SocketConstructorOpts,
  type TcpNetConnectOpts,
} from 'node:net'
import type {
  CipherNameAndProtocol,
  DetailedPeerCertificate,
  EphemeralKeyInfo,
  PeerCertificate,
  TLSSocket,
} from 'node:tls'
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
import { parseSettings, type SecuritySettings } from '../model/settings.js'
import { parseTargetName, type TargetName } from '../model/target-name.js'
import type { Connection } from '../providers/provider.js'
import { streamProvider } from '../providers/select.js'
import { callable } from './callable.js'
import { deferred, handled } from './completion.js'
import { connectArguments } from './connect-arguments.js'
import { runAs } from './impersonation.js'
import { connectNative } from './native-mode.js'
import { onreadGate } from './onread.js'
import { type StreamState, stateOf } from './stream-state.js'
import type { TypedEvents } from './typed-events.js'

// Taken now: a program that secures others by patching net must not send us round in circles.
const net = { ...nodeNet }
const base = net.Socket.prototype as Loose<Socket> & Internals

function internals(socket: object): Internals {
  return socket as Internals
}

/** The base's methods, to be called with whatever the application gave. */
type Loose<T> = {
  [K in keyof T]: T[K] extends (...args: never[]) => unknown
    ? (this: object, ...args: unknown[]) => unknown
    : T[K]
}

/** What a net.Socket has and its types do not tell. */
interface Internals {
  connecting: boolean
  _handle: unknown
  _peername?: object | null
  _sockname?: object | null
  _pendingData: unknown
  _pendingEncoding: string
  _bytesDispatched: number
  _unrefTimer(): void
  _undestroy?(): void
  _getpeername(): object
  _getsockname(): object
}

export interface SecurityOptions {
  /** What secures the socket; null or absent: the default policy. */
  security?: SecuritySettings | null
  /** Whom the peer must prove to be; absent: the host that is connected to. */
  peerTargetName?: string
}

export type SecureSocketOptions = SocketConstructorOpts & SecurityOptions
export type SecureConnectOptions = NetConnectOpts & SecurityOptions

class SecureSocketClass extends net.Socket {
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
    return completion(this, 'WSASetSocketSecurity', state => {
      const parsed = parseSettings(settings)
      checkSetSecurity(socketState(this))
      state.settings = parsed
    })
  }

  /**
   * Sets the name that the peer must prove (WSASetSocketPeerTargetName): before connect.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EISCONN, EFAULT, EINVAL
   */
  setPeerTargetName(name: string): Promise<void> {
    return completion(this, 'WSASetSocketPeerTargetName', state => {
      const parsed = parseTargetName(name)
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
      return Promise.resolve(query(this, 'WSAQuerySocketSecurity'))
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
    const { peer } = query(this, 'WSAImpersonateSocketPeer')
    if (!peer) {
      throw new SocketSecurityError(
        'ERR_PEER_NOT_AUTHENTICATED',
        'the peer has no identity: ask for one with security.requestCert',
        {
          syscall: 'WSAImpersonateSocketPeer',
        },
      )
    }
    return runAs(peer, fn)
  }

  /** Settles when the connection is secured, or when it will not be. Never an unhandled rejection. */
  get secured(): Promise<SecurityInfo> {
    const state = stateOf(this)
    if (state.secured === null) {
      state.secured = deferred()
      if (state.established && state.connection) state.secured.resolve(state.connection.query())
      else if (this.destroyed) state.secured.reject(state.outcome ?? ended())
    }
    return state.secured.promise
  }

  // node:net.

  override connect(...args: unknown[]): this {
    const [options, callback] = connectArguments(args)
    const state = stateOf(this)
    if (callback) this.once('connect', callback)
    // Aborted before it began: its error is on the way.
    if (state.signal?.aborted) return this
    if (this.destroyed) revive(this, state)
    applyOptions(this, options as SecurityOptions)
    // A net.Socket says it best what is wrong with such arguments.
    if ((options as TcpNetConnectOpts).port === undefined && !('path' in options && options.path)) {
      base.connect.call(this, options)
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
      if (state.failure) throw state.failure
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

  override _write(
    data: unknown,
    encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    const { channel } = stateOf(this)
    if (!channel) {
      base._write.call(this, data, encoding, callback)
    } else if (this.connecting) {
      wait(this, data, encoding, to => to.write(data as string, encoding, callback), callback)
    } else {
      internals(this)._unrefTimer()
      channel.write(data as string, encoding, callback)
    }
  }

  override _writev(
    chunks: { chunk: unknown; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    const { channel } = stateOf(this)
    if (!channel) {
      base._writev?.call(this, chunks, callback)
    } else if (this.connecting) {
      wait(this, chunks, '', to => writeAll(to, chunks, callback), callback)
    } else {
      internals(this)._unrefTimer()
      writeAll(channel, chunks, callback)
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    const { channel } = stateOf(this)
    if (!channel) {
      base._final.call(this, callback)
      return
    }
    if (this.connecting) this.once('connect', () => this._final(callback))
    else channel.end(() => callback())
  }

  override _read(size: number): void {
    const state = stateOf(this)
    if (!state.channel) {
      base._read.call(this, size)
      return
    }
    if (!state.established) state.wanted = true
    else if (!state.onread) state.channel.resume()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const state = stateOf(this)
    const { dial, channel, waiting, established } = state
    state.connecting = state.established = false
    state.waiting = null
    state.dial = null
    dial?.cancel()
    if (channel) {
      state.channel = null
      state.handle = closing(channel, dial ? () => {} : destroyer(state, channel))
    }
    // Why an attempt could not be secured says more than the error that Node makes of it.
    const reason = error && (state.outcome ?? error)
    if (!established) {
      state.outcome ??= error ?? neverSecured()
      state.secured?.reject(state.outcome)
    }
    const end = () => base._destroy.call(this, reason, callback)
    // In the event 'connectionAttempt' Node still needs its handle.
    if (state.attempting) process.nextTick(end)
    else end()
    waiting?.fail(error ?? neverConnected())
  }

  override pause(): this {
    const state = stateOf(this)
    if (state.onread && state.channel) {
      state.onread.pause()
      state.channel.pause()
    }
    return base.pause.call(this) as this
  }

  override resume(): this {
    startOnread(this)
    return base.resume.call(this) as this
  }

  // biome-ignore lint/suspicious/noExplicitAny: as in net.Socket
  override read(size?: number): any {
    startOnread(this)
    return base.read.call(this, size)
  }

  override setNoDelay(enable = true): this {
    const state = stateOf(this)
    state.noDelay = Boolean(enable)
    return base.setNoDelay.call(this, enable) as this
  }

  override setKeepAlive(...args: unknown[]): this {
    stateOf(this).keepAlive = args
    return base.setKeepAlive.apply(this, args) as this
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
    const { channel } = stateOf(this)
    if (!channel) return base.resetAndDestroy.call(this) as this
    if (this.connecting) return this.once('connect', () => this.resetAndDestroy())
    // `channel.resetAndDestroy()` throws on a TLS socket, and resetting the socket under a live TLS
    // handle corrupts memory. So the TLS handle closes as always, and its last step is the reset.
    const handle = (channel as unknown as Internals)._handle as {
      _parent?: Closable & { reset?: Closable['close'] }
    } & Closable & {
        reset?: Closable['close']
      }
    const parent = handle?._parent ?? handle
    if (typeof parent?.reset === 'function') {
      parent.close = function (this: typeof parent, done) {
        return this.reset?.(done)
      }
    }
    return this.destroy()
  }

  /**
   * Node's own layers look at the handle (TLS nested inside waits for ever on a socket without one).
   * In channel mode it is the channel's, and only once the peer is authenticated.
   */
  get _handle(): unknown {
    const { channel, established, handle } = stateOf(this)
    return channel ? (established ? (channel as unknown as Internals)._handle : null) : handle
  }

  set _handle(handle: unknown) {
    stateOf(this).handle = handle
  }

  // The reading side of tls.TLSSocket, by its names.

  /** True once the bytes are protected by TLS. */
  get encrypted(): boolean {
    return tlsChannel(this) !== null
  }

  /** The peer has proved its identity. */
  get authorized(): boolean {
    return stateOf(this).connection?.authorized ?? false
  }

  /** Why the peer is not authorized, where it is let in all the same. */
  get authorizationError(): string | null {
    return stateOf(this).connection?.authorizationError ?? null
  }

  /** The application protocol agreed on by ALPN; false for none, null before the handshake. */
  get alpnProtocol(): string | false | null {
    return stateOf(this).connection?.alpnProtocol ?? null
  }

  /** The name that the client sent as SNI; false for none. */
  get servername(): string | false | null {
    return (tlsChannel(this) as unknown as { servername?: string | false })?.servername ?? null
  }

  getProtocol(): string | null {
    return tlsChannel(this)?.getProtocol() ?? null
  }

  getCipher(): CipherNameAndProtocol | undefined {
    return tlsChannel(this)?.getCipher()
  }

  getPeerCertificate(detailed: true): DetailedPeerCertificate | null
  getPeerCertificate(detailed?: boolean): PeerCertificate | null
  getPeerCertificate(detailed = false): PeerCertificate | null {
    const certificate = tlsChannel(this)?.getPeerCertificate(detailed) ?? null
    // At a client that has resumed a session Node knows of no certificate; we do.
    return certificate && !certificate.raw
      ? ((stateOf(this).connection?.certificate?.toLegacyObject() as PeerCertificate) ??
          certificate)
      : certificate
  }

  getPeerX509Certificate(): X509Certificate | undefined {
    return tlsChannel(this) ? stateOf(this).connection?.certificate : undefined
  }

  getCertificate(): PeerCertificate | object | null {
    return tlsChannel(this)?.getCertificate() ?? null
  }

  getX509Certificate(): X509Certificate | undefined {
    return tlsChannel(this)?.getX509Certificate()
  }

  getEphemeralKeyInfo(): EphemeralKeyInfo | object | null {
    return tlsChannel(this)?.getEphemeralKeyInfo() ?? null
  }

  getSharedSigalgs(): string[] {
    return tlsChannel(this)?.getSharedSigalgs() ?? []
  }

  getFinished(): Buffer | undefined {
    return tlsChannel(this)?.getFinished()
  }

  getPeerFinished(): Buffer | undefined {
    return tlsChannel(this)?.getPeerFinished()
  }

  isSessionReused(): boolean {
    return tlsChannel(this)?.isSessionReused() ?? false
  }

  /** Keying material bound to this connection (RFC 5705, RFC 8446 section 7.5). */
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer {
    const channel = tlsChannel(this)
    if (!channel)
      throw new SocketSecurityError('ENOTCONN', "there are no keys yet: wait for 'connect'")
    // Node tells a missing context from an empty one by the number of arguments.
    return context === undefined
      ? channel.exportKeyingMaterial(length, label, undefined as never)
      : channel.exportKeyingMaterial(length, label, context)
  }

  setMaxSendFragment(size: number): boolean {
    return tlsChannel(this)?.setMaxSendFragment(size) ?? false
  }
}

interface Closable {
  close(done: () => void): unknown
}

// The types of net.Socket know these as plain properties, so the class cannot give them getters.
Object.defineProperties(SecureSocketClass.prototype, {
  bytesRead: {
    get(this: SecureSocketClass): number {
      const { channel, connection } = stateOf(this)
      // What the channel holds has not been read by anybody yet.
      const bytes = channel
        ? channel.bytesRead - channel.readableLength
        : Reflect.get(base, 'bytesRead', this)
      return Math.max(0, bytes - (connection?.overhead.read ?? 0))
    },
    enumerable: true,
    configurable: true,
  },
  bufferSize: {
    get(this: SecureSocketClass): number | undefined {
      return stateOf(this).channel ? this.writableLength : Reflect.get(base, 'bufferSize', this)
    },
    configurable: true,
  },
  _bytesDispatched: {
    get(this: SecureSocketClass): number {
      const { channel, connection } = stateOf(this)
      const bytes = Reflect.get(channel ?? base, '_bytesDispatched', channel ?? this)
      return Math.max(0, bytes - (connection?.overhead.written ?? 0))
    },
    configurable: true,
  },
})

/** The events that a SecureSocket has beyond those of net.Socket. */
export interface SecureSocketEvents {
  /** allowInsecure left this connection clear; just before 'connect'. */
  insecure: [info: SecurityInfo]
  /** Only with `keylog: true`: a line of the NSS key log format, the secrets of this connection. */
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
  state.connecting = true
  adopt(socket, state, channel, connection)
  return socket
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
  return onread !== undefined && _security?.protocol === 'ipsec'
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
  if (options?.security?.protocol !== 'ipsec') state.onread = onreadGate(onread)
  applyOptions(socket, options)
}

/** Security among the options of the constructor or of connect(): what is wrong is thrown at once. */
function applyOptions(socket: SecureSocketClass, options?: SecurityOptions): void {
  const state = stateOf(socket)
  if (options?.security !== undefined) {
    const settings = parseSettings(options.security)
    // The same again, when the same object connects again, is no second setting.
    if (settings !== state.settings) checkSetSecurity(socketState(socket))
    state.settings = settings
  }
  if (options?.peerTargetName !== undefined) {
    const name = parseTargetName(options.peerTargetName)
    checkSetPeerTargetName(socketState(socket))
    state.targetName = name
  }
}

function socketState(socket: SecureSocketClass): SocketState {
  const state = stateOf(socket)
  return {
    closed: socket.destroyed,
    foreign:
      state.handle !== null && state.channel === null && state.settings?.protocol !== 'ipsec',
    connected: state.connecting,
    bound: false,
    secured: state.settings !== null,
  }
}

/**
 * A verb: done at once, told by a promise. A failure that nobody awaits must not leave a connection
 * with less security than was asked for: it stays, and fails every connect(), until a verb succeeds.
 */
function completion(
  socket: SecureSocketClass,
  syscall: string,
  apply: (state: StreamState) => void,
): Promise<void> {
  if (!(socket instanceof net.Socket)) return handled(Promise.reject(notSocket(syscall)))
  const state = stateOf(socket)
  try {
    checkSocket(socketState(socket), syscall)
    apply(state)
    state.failure = null
    return Promise.resolve()
  } catch (error) {
    if (!state.connecting) state.failure ??= error as Error
    return handled(Promise.reject(error))
  }
}

// Connecting.

function connectSecured(
  socket: SecureSocketClass,
  state: StreamState,
  options: TcpNetConnectOpts,
): void {
  state.settings ??= parseSettings(null) // R1
  const { settings } = state
  const provider = streamProvider(settings)
  const targetName: TargetName = state.targetName ?? parseTargetName(options.host || 'localhost')

  if (provider.mode === 'native') {
    connectNative(socket, {
      provider,
      options,
      settings,
      targetName,
      connect: nativeOptions => void base.connect.call(socket, nativeOptions),
      attempting: () => {
        state.attempting = true
        process.nextTick(() => {
          state.attempting = false
        })
      },
      attemptFailed: error => {
        state.outcome = error
      },
      done: error => {
        state.outcome = null
        if (error) {
          socket.destroy(error)
          return
        }
        state.established = state.securedBefore = true
        state.connection = nativeConnection(() => provider.query(socket))
        state.secured?.resolve(state.connection.query())
      },
    })
    return
  }

  const request = {
    options,
    settings,
    targetName,
    targetNameSet: state.targetName !== null,
    securedBefore: state.securedBefore,
  }
  state.dial = provider.dial(request, {
    channel: channel => {
      state.channel = channel
      if (state.unreferenced) channel.unref()
    },
    event: (name, args) => {
      copyAttempts(socket, state.channel)
      socket.emit(name, ...args)
    },
    established: (channel, connection) => {
      adopt(socket, state, channel, connection)
      if (connection.secured) state.securedBefore = true
      else socket.emit('insecure', connection.query())
      state.secured?.resolve(connection.query())
      internals(socket).connecting = false
      const { waiting } = state
      state.waiting = null
      waiting?.write(channel)
      state.announcing = true
      socket.emit('connect')
      socket.emit('ready')
      state.announcing = false
      if (!socket.isPaused()) socket.read(0)
      if (state.wanted && state.channel && !state.onread) state.channel.resume()
      state.wanted = false
    },
    failed: error => {
      copyAttempts(socket, state.channel)
      socket.destroy(error)
    },
  })
}

/** Which addresses autoSelectFamily has tried. */
function copyAttempts(socket: SecureSocketClass, channel: Socket | null): void {
  const attempts = channel?.autoSelectFamilyAttemptedAddresses
  if (attempts) Reflect.set(socket, 'autoSelectFamilyAttemptedAddresses', attempts)
}

/** Makes a secured channel the socket's own. */
function adopt(
  socket: SecureSocketClass,
  state: StreamState,
  channel: Socket,
  connection: Connection,
): void {
  state.dial = null
  state.channel = channel
  state.connection = connection
  state.established = true
  Reflect.set(channel, owner, socket)
  // Each side of the channel ends when ours does.
  channel.allowHalfOpen = true
  // An http.Server would let its parser read from the handle, under the channel; TLS goes on giving
  // it the records of one read while it is paused, which it takes for an error. Marked as taken, the
  // handle is left alone, and the server reads as from any stream.
  Reflect.set(Object(internals(channel)._handle), '_consumed', true)
  channel.pause()
  channel.on('data', onChannelData)
  channel.on('end', onChannelEnd)
  channel.on('error', onChannelError)
  channel.on('close', onChannelClose)
  if (state.noDelay) channel.setNoDelay(true)
  if (state.keepAlive) channel.setKeepAlive(...(state.keepAlive as [boolean, number]))
  const { early } = connection
  if (early) deliver(socket, state, early)
}

/** A socket that is used again after its end. */
function revive(socket: SecureSocketClass, state: StreamState): void {
  internals(socket)._undestroy?.()
  internals(socket)._peername = null
  internals(socket)._sockname = null
  state.handle = state.channel = state.connection = null
  state.outcome = state.secured = null
  state.wanted = state.endHeld = false
}

function nativeConnection(query: () => SecurityInfo): Connection {
  return {
    early: null,
    overhead: { read: 0, written: 0 },
    secured: true,
    query,
    authorized: true,
    authorizationError: null,
    alpnProtocol: false,
    certificate: undefined,
    endError: () => null,
    explain: error => error,
  }
}

// The channel's events: one function each for all sockets, so that an idle one costs little.

const owner = Symbol('secure-socket.owner')
type Owned = Socket & { [owner]?: SecureSocketClass }

function onChannelData(this: Owned, chunk: Buffer): void {
  const socket = this[owner]
  if (!socket) return
  internals(socket)._unrefTimer()
  if (!deliver(socket, stateOf(socket), chunk)) this.pause()
}

function deliver(socket: SecureSocketClass, state: StreamState, chunk: Buffer): boolean {
  return state.onread ? state.onread.deliver(socket, chunk) : socket.push(chunk)
}

function onChannelEnd(this: Owned): void {
  const socket = this[owner]
  if (!socket || socket.destroyed) return
  const state = stateOf(socket)
  const error = state.connection?.endError()
  if (error) {
    socket.destroy(error)
    return
  }
  // The channel may be gone before the application has read all of it.
  internals(socket)._getpeername()
  internals(socket)._getsockname()
  if (state.onread && !state.onread.empty) state.endHeld = true
  else finishReading(socket)
}

function finishReading(socket: SecureSocketClass): void {
  socket.push(null)
  socket.read(0)
}

function onChannelError(this: Owned, error: Error): void {
  const socket = this[owner]
  socket?.destroy(stateOf(socket).connection?.explain(error) ?? error)
}

function onChannelClose(this: Owned): void {
  if (!this.readableEnded) this[owner]?.destroy()
}

// Reading into the application's own buffer.

function startOnread(socket: SecureSocketClass): void {
  const state = stateOf(socket)
  if (!state.onread || !state.established || !state.channel) return
  if (!state.onread.resume(socket)) return
  if (state.endHeld) {
    state.endHeld = false
    finishReading(socket)
  } else {
    state.channel?.resume()
  }
}

// Writing.

/** Nothing is written before the channel is secured; Writable gives one write at a time. */
function wait(
  socket: SecureSocketClass,
  data: unknown,
  encoding: string,
  write: (channel: Socket) => void,
  fail: (error: Error) => void,
): void {
  // For bytesWritten.
  internals(socket)._pendingData = data
  internals(socket)._pendingEncoding = encoding
  const forget = () => {
    internals(socket)._pendingData = null
    internals(socket)._pendingEncoding = ''
  }
  stateOf(socket).waiting = {
    write: channel => {
      forget()
      internals(socket)._unrefTimer()
      write(channel)
    },
    fail: error => {
      forget()
      fail(error)
    },
  }
}

function writeAll(
  channel: Socket,
  chunks: { chunk: unknown; encoding: BufferEncoding }[],
  callback: (error?: Error | null) => void,
): void {
  const last = chunks.length - 1
  channel.cork()
  chunks.forEach(({ chunk, encoding }, index) => {
    channel.write(chunk as string, encoding, index === last ? callback : undefined)
  })
  channel.uncork()
}

// Ending.

/** The handle that net.Socket closes in our place: the channel goes first, 'close' follows. */
function closing(channel: Socket, destroy: () => void): object {
  return {
    bytesRead: channel.bytesRead,
    bytesWritten: (channel as unknown as Internals)._bytesDispatched,
    close(done: () => void) {
      // Not before the 'error' that net.Socket emits in a later tick.
      if (channel.closed) return setImmediate(done)
      channel.once('close', done)
      destroy()
    },
  }
}

/**
 * Node tells of the secured channel before our last handshake message has left; destroyed in that
 * very moment the server would never see the connection.
 */
function destroyer(state: StreamState, channel: Socket): () => void {
  return state.announcing ? () => setImmediate(() => channel.destroy()) : () => channel.destroy()
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

function query(socket: SecureSocketClass, syscall: string): SecurityInfo {
  if (!(socket instanceof net.Socket)) throw notSocket(syscall)
  const { established, connection, channel } = stateOf(socket)
  checkQuery(socketState(socket), established, syscall)
  if (!connection || channel?.destroyed) throw ended()
  return connection.query()
}

/** The channel, where it is established and TLS. */
function tlsChannel(socket: SecureSocketClass): TLSSocket | null {
  const { channel, established } = stateOf(socket)
  return established && channel && 'getCipher' in channel ? (channel as TLSSocket) : null
}

function reference(socket: SecureSocketClass, wanted: boolean): void {
  const state = stateOf(socket)
  state.unreferenced = !wanted
  const { channel } = state
  if (channel) (wanted ? channel.ref : channel.unref).call(channel)
  else (wanted ? base.ref : base.unref).call(socket)
}

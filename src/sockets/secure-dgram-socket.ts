/**
 * A dgram.Socket whose datagrams are secured: one socket, many peers, each authenticated.
 *
 * It is the plain socket itself. What the network brings is caught in emit('message'), so that nothing
 * raw can reach a listener, and what the endpoint gives leaves by the base's own send().
 */
import { AsyncResource } from 'node:async_hooks'
import type { BindOptions, RemoteInfo, Socket, SocketOptions } from 'node:dgram'
import { type BlockList, isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { SocketSecurityError, show } from '../model/errors.js'
import {
  checkPeerAddress,
  checkPeerQuery,
  checkSetPeerTargetName,
  checkSetSecurity,
  checkSocket,
  notSocket,
  type SocketState,
} from '../model/lifecycle.js'
import type { SecurityInfo } from '../model/security-info.js'
import {
  type DatagramSecuritySettings,
  type ParsedSettings,
  parseSettings,
} from '../model/settings.js'
import { parseTargetName, type TargetName } from '../model/target-name.js'
import type {
  DatagramEndpoint,
  EndpointStats,
  PeerAddress,
  PeerStats,
} from '../providers/datagram-provider.js'
import { callable } from './callable.js'
import { deferred, handled } from './completion.js'
import {
  addressKey,
  destination,
  isOwnAddress,
  peerText,
  sameAddress,
  standsForMany,
} from './dgram-addresses.js'
import { checkBind, failWaiting, mustWait, runWaiting, wait } from './dgram-binding.js'
import {
  connectedElsewhere,
  endpointOf,
  finish,
  finishWhenDone,
  isConnected,
  onConnected,
  protect,
  receive,
  type SecureRemoteInfo,
  tell,
  updateAcceptance,
  within,
} from './dgram-endpoint.js'
import {
  type AddressOfSocket,
  connectArgumentsError,
  dgram,
  dgramSocket,
  notRunning,
} from './dgram-internals.js'
import { type Lookup, loopback } from './dgram-resolver.js'
import { type SentCallback, sendArguments } from './dgram-send-arguments.js'
import { type DgramState, stateOf } from './dgram-state.js'
import { withIcmpErrors } from './dgram-stats.js'
import { runAs } from './impersonation.js'
import type { TypedEvents } from './typed-events.js'

export type { SecureRemoteInfo } from './dgram-endpoint.js'

export type SecureDgramSocketOptions = SocketOptions & {
  /** What secures the socket; null or absent: the default policy. */
  security?: DatagramSecuritySettings | null
}

/** A datagram peer whose target name is set. */
export interface NamedPeer {
  /** An address, or the name of a host, which is looked up. */
  readonly address: string
  /** Absent: all ports of the address. */
  readonly port?: number
  readonly targetName: string
}

/** The largest message: one record (RFC 6347, section 4.1). */
const MAX_MESSAGE_BYTES = 16384
/** The largest datagram of UDP over IPv4. */
const MAX_DATAGRAM_BYTES = 65507
/** Of keying material, in one piece. */
const MAX_EXPORT_BYTES = 65535
/** How long close() waits for what was sent before it, and waits for a handshake. */
const LINGER_MS = 10_000

class SecureDgramSocketClass extends (dgram.Socket as unknown as new (
  options: SocketOptions,
) => Socket) {
  /** @throws SocketSecurityError EINVAL, EOPNOTSUPP; node:dgram's own errors */
  constructor(
    type: SecureDgramSocketOptions | 'udp4' | 'udp6',
    listener?: (message: Buffer, rinfo: SecureRemoteInfo) => void,
  ) {
    const given: Given = { state: null, lookup: null, settings: null }
    super(baseOptions(type, given))
    initialise(this, type, listener, given)
  }

  // The Winsock verbs.

  /**
   * Applies security settings (WSASetSocketSecurity): before bind, connect and the first send, once.
   * null: the default policy. The effect is immediate; a failure fails what relies on it, too.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EISCONN, EINVAL, EOPNOTSUPP
   */
  setSecurity(settings?: DatagramSecuritySettings | null): Promise<void> {
    const syscall = 'WSASetSocketSecurity'
    return promised(this, syscall, state => {
      try {
        checkSocket(socketState(state), syscall)
        const parsed = parseSettings(settings, 'datagram')
        checkSetSecurity(socketState(state))
        state.settings = parsed
        state.securityFailure = null
      } catch (error) {
        // Once it is in use, what it was secured with stays as it is.
        if (state.bind === 'unbound' && state.endpoint === null)
          state.securityFailure ??= error as Error
        throw error
      }
    })
  }

  /**
   * Sets whom a peer must prove to be (WSASetSocketPeerTargetName): before connect, and before the
   * first datagram to that peer. A host name is looked up, and what is sent meanwhile waits.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EISCONN, EFAULT, EINVAL; errors of the look-up
   */
  setPeerTargetName(peer: NamedPeer): Promise<void> {
    return promised(this, 'WSASetSocketPeerTargetName', state => setName(this, state, peer))
  }

  /**
   * The name serves no future handshake (WSADeleteSocketPeerTargetName, R21); the security that it
   * has helped to set up lives on until its end.
   * @throws (rejects) SocketSecurityError ENOTSOCK, EINVAL
   */
  deletePeerTargetName(peer: { address: string; port?: number }): Promise<void> {
    const syscall = 'WSADeleteSocketPeerTargetName'
    return promised(this, syscall, state => {
      checkSocket(socketState(state), syscall)
      const { address, port } = givenPeer(peer, syscall)
      state.hostNames?.delete(nameKey(address, port))
      return withAddress(this, state, address, each => deleteName(this, state, each, port))
    })
  }

  /**
   * What secures a peer, and who it is (WSAQuerySocketSecurity). A connected socket needs no argument.
   * @throws (rejects) SocketSecurityError ENOTSOCK, ENOTCONN, EINVAL
   */
  querySecurity(peer?: PeerAddress): Promise<SecurityInfo> {
    const syscall = 'WSAQuerySocketSecurity'
    return promised(this, syscall, state => {
      checkSocket(socketState(state), syscall)
      const { address, port } = peerOr(this, state, peer, syscall)
      return withAddress(this, state, address, each => query(state, each, port, syscall))
    })
  }

  /**
   * Runs `fn` as a peer (WSAImpersonateSocketPeer): inside, and in all that it starts,
   * `currentPeer()` is the peer. A connected socket needs no peer. Returns what `fn` returns.
   * @throws SocketSecurityError ENOTSOCK, ENOTCONN, EINVAL, ERR_PEER_NOT_AUTHENTICATED
   */
  impersonatePeer<T>(fn: () => T): T
  impersonatePeer<T>(peer: PeerAddress, fn: () => T): T
  impersonatePeer<T>(...args: [() => T] | [PeerAddress, () => T]): T {
    const syscall = 'WSAImpersonateSocketPeer'
    const [given, fn] = args.length === 1 ? [undefined, args[0]] : args
    if (!(this instanceof dgram.Socket)) throw notSocket(syscall)
    const state = stateOf(this)
    checkSocket(socketState(state), syscall)
    const { address, port } = literalPeer(this, state, given, syscall)
    const { peer } = query(state, address, port, syscall)
    if (!peer) {
      throw new SocketSecurityError(
        'ERR_PEER_NOT_AUTHENTICATED',
        'the peer has no identity: ask for one with security.requestCert',
        { syscall, peer: peerText(address, port) },
      )
    }
    return runAs(peer, fn)
  }

  // Peers.

  /**
   * Handshakes ahead of the first message. A connected socket needs no argument.
   * @throws (rejects) why the peer cannot be secured
   */
  secure(peer?: PeerAddress): Promise<SecurityInfo> {
    return promised(this, 'WSAQuerySocketSecurity', state => {
      const syscall = 'WSAQuerySocketSecurity'
      checkSocket(socketState(state), syscall)
      endpointOf(this)
      const begin = () => {
        const { address, port } = peerOr(this, state, peer, syscall)
        return secured(this, state, address, port)
      }
      const connecting = peer === undefined && state.connect === 'connecting' && state.connection
      return connecting ? connecting.promise.then(begin) : begin()
    })
  }

  /** The peers that are secured now. */
  peers(): PeerAddress[] {
    return stateOf(this).endpoint?.peers() ?? []
  }

  /**
   * Keying material that only the peer has as well (RFC 5705). A connected socket needs no peer.
   * @throws SocketSecurityError ENOTSOCK, ENOTCONN, EINVAL
   */
  exportKeyingMaterial(length: number, label: string, context?: Buffer): Buffer
  exportKeyingMaterial(peer: PeerAddress, length: number, label: string, context?: Buffer): Buffer
  exportKeyingMaterial(...args: unknown[]): Buffer {
    const state = stateOf(this)
    const [given, length, label, context] =
      typeof args[0] === 'number' ? [undefined, ...args] : args
    const syscall = 'exportKeyingMaterial'
    checkSocket(socketState(state), syscall)
    const { address, port } = literalPeer(this, state, given, syscall)
    const request = exportArguments(length, label, context)
    const material = state.endpoint?.exportKeyingMaterial(address, port, ...request)
    checkPeerQuery(socketState(state), peerText(address, port), material !== undefined, syscall)
    return material as Buffer
  }

  /**
   * Ends the security of one peer, and tells it so. What waits for it fails with ECANCELED.
   * @throws SocketSecurityError ENOTSOCK, ENOTCONN, EINVAL
   */
  closePeer(peer?: PeerAddress): void {
    const state = stateOf(this)
    checkSocket(socketState(state), 'closePeer')
    const { address, port } = literalPeer(this, state, peer, 'closePeer')
    const { endpoint } = state
    if (endpoint) within(this, state, () => endpoint.closePeer(address, port))
  }

  /** What has happened so far, with all peers. */
  get stats(): EndpointStats {
    const { endpoint, icmpErrors } = stateOf(this)
    return withIcmpErrors(endpoint?.stats, icmpErrors)
  }

  /** The same with one peer; undefined where nothing is known of it. */
  peerStats(peer?: PeerAddress): PeerStats | undefined {
    const state = stateOf(this)
    const { address, port } = literalPeer(this, state, peer, 'peerStats')
    return state.endpoint?.peerStats(address, port)
  }

  // node:dgram.

  override bind(...args: unknown[]): this {
    const state = stateOf(this)
    if (state.closing) throw notRunning()
    if (state.bind === 'unbound') {
      try {
        endpointOf(this)
        checkBind(state, args[0])
      } catch (error) {
        process.nextTick(() => this.emit('error', error as Error))
        return this
      }
      state.boundExplicitly = !state.bindingImplicitly
      state.chosenPort = !portOf(args[0])
      state.bind = 'binding'
    }
    try {
      dgramSocket.bind.apply(this, args)
    } catch (error) {
      if (state.bind === 'binding') state.bind = 'unbound'
      throw error
    }
    return this
  }

  override send(...args: unknown[]): void {
    const state = stateOf(this)
    const { message, port, address, callback } = sendArguments(isConnected(this, state), args)
    if (state.closing) throw notRunning()
    try {
      endpointOf(this)
    } catch (error) {
      failSend(this, error as Error, callback)
      return
    }
    if (state.bind === 'unbound') bindImplicitly(this, state)
    if (mustWait(state)) {
      // It may wait for long, and programs use their buffers again.
      const copy = Buffer.from(message)
      wait(state, {
        run: inThisContext(() => sendTo(this, state, copy, port, address, callback)),
        fail: error => callback && process.nextTick(callback, error),
        to: { address: address ?? loopback(typeOf(this)), port },
      })
    } else {
      sendTo(this, state, message, port, address, callback)
    }
  }

  override connect(...args: unknown[]): void {
    const state = stateOf(this)
    const [port, address] = args
    const given = typeof address === 'function' ? address : args[2]
    const callback = typeof given === 'function' ? (given as SentCallback) : undefined
    const misused = connectArgumentsError(args)
    if (misused) throw misused
    if (state.closing) throw notRunning()
    try {
      endpointOf(this)
    } catch (error) {
      failSend(this, error as Error, callback)
      return
    }
    const host = typeof address === 'string' && address !== '' ? address : loopback(typeOf(this))
    leaveOthers(this, state, host, Number(port))
    const connected = (...outcome: unknown[]) => {
      if (outcome[0]) disconnected(state, outcome[0] as Error)
      callback?.apply(this, outcome as [Error])
    }
    state.bindingImplicitly = true
    try {
      const to = typeof address === 'function' ? undefined : address
      dgramSocket.connect.call(this, port, to, ...(callback ? [connected] : []))
    } finally {
      state.bindingImplicitly = false
    }
    state.connect = 'connecting'
    state.connection = deferred()
    state.host = host
    updateAcceptance(state)
  }

  override disconnect(): void {
    const state = stateOf(this)
    const { endpoint, own, remote } = state
    // Linux takes a port that it has chosen itself away again: the peers would hear a stranger.
    if (endpoint && remote && state.chosenPort) within(this, state, () => closePeers(endpoint))
    dgramSocket.disconnect.call(this)
    disconnected(state, notConnected('disconnect'))
    if (own && state.chosenPort) state.own = null
  }

  override close(callback?: () => void): this {
    const state = stateOf(this)
    // Node's own queue closes the socket by this method.
    if (state.closed) {
      dgramSocket.close.call(this, callback)
      return this
    }
    if (typeof callback === 'function') this.on('close', callback)
    if (state.closing) throw notRunning()
    state.closing = true
    const giveUp = () => {
      failWaiting(state, canceled())
      finish(this, state)
    }
    if (state.signal?.aborted) giveUp()
    else if (!finishWhenDone(this, state)) state.linger = setTimeout(giveUp, LINGER_MS)
    return this
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    const { closing, ended } = stateOf(this)
    if (ended) return
    await new Promise<void>(resolve => {
      this.once('close', resolve)
      if (!closing) this.close()
    })
  }

  override address(): AddressOfSocket {
    if (stateOf(this).closing) throw notRunning()
    return dgramSocket.address.call(this)
  }

  override getSendQueueSize(): number {
    return dgramSocket.getSendQueueSize.call(this) + (stateOf(this).endpoint?.queued.bytes ?? 0)
  }

  override getSendQueueCount(): number {
    const waiting = stateOf(this).endpoint?.queued.datagrams ?? 0
    return dgramSocket.getSendQueueCount.call(this) + waiting
  }

  override setBroadcast(enable: boolean): void {
    if (enable) throw unsupported('broadcast')
    dgramSocket.setBroadcast.call(this, enable)
  }

  override addMembership(...args: unknown[]): void {
    if (stateOf(this).closing) throw notRunning()
    // For what is no group Node has its own errors.
    if (isIP(String(args[0])) !== 0) throw unsupported('multicast')
    dgramSocket.addMembership.apply(this, args)
  }

  override addSourceSpecificMembership(...args: unknown[]): void {
    if (stateOf(this).closing) throw notRunning()
    if (isIP(String(args[0])) !== 0 && isIP(String(args[1])) !== 0) throw unsupported('multicast')
    dgramSocket.addSourceSpecificMembership.apply(this, args)
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const state = stateOf(this)
    switch (event) {
      case 'message':
        // What the network brings: never the application's before the endpoint has opened it.
        receive(this, state, args[0] as Buffer, args[1] as RemoteInfo)
        return true
      case 'listening':
        onListening(this, state)
        break
      case 'connect':
        onConnected(this, state)
        break
      case 'error':
        if (isIcmpError(args[0])) {
          onIcmpError(this, state, args[0] as Error)
          return true
        }
        onError(this, state, args[0] as Error)
        break
      case 'close':
        state.ended = true
        break
    }
    const emitted = dgramSocket.emit.call(this, event, ...args)
    if (event === 'listening') runWaiting(state)
    if (state.closing && !state.closed) finishWhenDone(this, state)
    return emitted
  }
}

// Only where this version of Node has them.
if (dgramSocket.bindSync) {
  Object.defineProperty(SecureDgramSocketClass.prototype, 'bindSync', {
    value: function bindSync(this: Socket, options?: BindOptions): AddressOfSocket {
      const state = stateOf(this)
      if (state.closing) throw notRunning()
      if (state.bind === 'unbound') {
        endpointOf(this)
        checkBind(state, { ...options, exclusive: true })
      }
      const address = dgramSocket.bindSync?.call(this, ...(options === undefined ? [] : [options]))
      state.boundExplicitly = !state.bindingImplicitly
      state.chosenPort = !portOf(options)
      onListening(this, state)
      return address as AddressOfSocket
    },
    writable: true,
    configurable: true,
  })
}
if (dgramSocket.connectSync) {
  Object.defineProperty(SecureDgramSocketClass.prototype, 'connectSync', {
    value: function connectSync(this: Socket, port: number, address?: string): void {
      const state = stateOf(this)
      if (state.closing) throw notRunning()
      endpointOf(this)
      state.bindingImplicitly = true
      try {
        dgramSocket.connectSync?.call(this, port, address)
      } finally {
        state.bindingImplicitly = false
      }
      state.host = address || loopback(typeOf(this))
      onConnected(this, state)
    },
    writable: true,
    configurable: true,
  })
}

/** The events that a SecureDgramSocket has beyond those of dgram.Socket. */
export interface SecureDgramSocketEvents {
  /** A peer is secured: for the first time, or again after its security had ended. */
  secure: [peer: PeerAddress, info: SecurityInfo]
  /** A peer that this socket spoke to could not be secured, or a datagram to it could not be sent and has no callback. */
  peerError: [error: Error, peer: PeerAddress]
  /** The security of a peer has ended. */
  peerClose: [peer: PeerAddress]
  /** Only with `keylog: true`: a line of the NSS key log format, the secrets of that peer. */
  keylog: [line: Buffer, peer: PeerAddress]
}

type MessageListener = (message: Buffer, rinfo: SecureRemoteInfo) => void

/** By literals, since TypeScript looks at dgram.Socket's own literal overloads before any generic one. */
interface MessageEvent {
  on(event: 'message', listener: MessageListener): this
  once(event: 'message', listener: MessageListener): this
  off(event: 'message', listener: MessageListener): this
  addListener(event: 'message', listener: MessageListener): this
  removeListener(event: 'message', listener: MessageListener): this
  prependListener(event: 'message', listener: MessageListener): this
  prependOnceListener(event: 'message', listener: MessageListener): this
}

/** The methods of node:dgram with their own overloads; ours take whatever was given. */
type Same = Pick<
  Socket,
  'bind' | 'send' | 'connect' | 'addMembership' | 'addSourceSpecificMembership' | 'emit'
>

export type SecureDgramSocket = MessageEvent &
  TypedEvents<SecureDgramSocketEvents> &
  Same &
  SecureDgramSocketClass

interface SecureDgramSocketConstructor {
  new (
    type: SecureDgramSocketOptions | 'udp4' | 'udp6',
    listener?: MessageListener,
  ): SecureDgramSocket
  (type: SecureDgramSocketOptions | 'udp4' | 'udp6', listener?: MessageListener): SecureDgramSocket
  readonly prototype: SecureDgramSocket
}

/** A drop-in for dgram.Socket; see docs/api.md. Can be called as old code calls dgram.Socket. */
export const SecureDgramSocket = callable(SecureDgramSocketClass, (self, [type, listener]) => {
  const given: Given = { state: null, lookup: null, settings: null }
  const base = dgram.Socket as unknown as (...args: unknown[]) => void
  base.call(self, baseOptions(type as SecureDgramSocketOptions, given))
  initialise(self as Socket, type as SecureDgramSocketOptions, listener, given)
}) as unknown as SecureDgramSocketConstructor

/** What OpenSSL is given must be what it is said to be. */
function exportArguments(
  length: unknown,
  label: unknown,
  context: unknown,
): [length: number, label: string, context: Buffer | undefined] {
  const bytes =
    typeof context === 'string'
      ? Buffer.from(context)
      : ArrayBuffer.isView(context)
        ? Buffer.from(context.buffer, context.byteOffset, context.byteLength)
        : undefined
  const wrong =
    !Number.isInteger(length) || (length as number) < 1 || (length as number) > MAX_EXPORT_BYTES
      ? `length is ${show(length)}: give 1 to ${MAX_EXPORT_BYTES} bytes`
      : typeof label !== 'string' || label === ''
        ? `label is ${show(label)}: give a string`
        : context !== undefined && bytes === undefined
          ? `context is ${show(context)}: give a Buffer or a string`
          : undefined
  if (wrong) throw new SocketSecurityError('EINVAL', `exportKeyingMaterial: ${wrong}`)
  return [length as number, label as string, bytes]
}

// Setting up.

/** What is read before the base constructor, which wants a look-up function, and must not open a handle for nothing. */
interface Given {
  /** Exists after the base constructor only. */
  state: DgramState | null
  lookup: Lookup | null
  settings: ParsedSettings | null
}

function baseOptions(
  type: SecureDgramSocketOptions | string | undefined,
  given: Given,
): SocketOptions {
  const options = typeof type === 'object' && type !== null ? type : { type }
  const { security, lookup, ...rest } = options as SecureDgramSocketOptions
  if (security !== undefined) given.settings = parseSettings(security, 'datagram')
  // Node says it best what is wrong with one that is no function.
  if (lookup !== undefined && typeof lookup !== 'function') return { ...rest, lookup }
  given.lookup = (lookup as Lookup | undefined) ?? null
  const base: Lookup = (hostname, family, callback) =>
    given.state?.resolver.base(hostname, family, callback)
  return { ...rest, lookup: base as SocketOptions['lookup'] }
}

function initialise(
  socket: Socket,
  type: SecureDgramSocketOptions | string,
  listener: unknown,
  given: Given,
): void {
  const state = stateOf(socket)
  given.state = state
  state.resolver.custom = given.lookup
  state.settings = given.settings
  if (typeof listener === 'function') socket.on('message', listener as MessageListener)
  if (typeof type !== 'object') return
  const { signal, reuseAddr, reusePort, sendBlockList } = type as SecureDgramSocketOptions & {
    reusePort?: boolean
    sendBlockList?: BlockList
  }
  state.signal = signal ?? null
  state.reuse = reusePort ? 'reusePort' : reuseAddr ? 'reuseAddr' : null
  state.sendBlockList = sendBlockList ?? null
}

function typeOf(socket: Socket): string {
  return (socket as { type?: string }).type ?? 'udp4'
}

function socketState(state: DgramState): SocketState {
  return {
    closed: state.closing,
    foreign: false,
    connected: state.connect !== 'none',
    bound: state.bind !== 'unbound',
    secured: state.settings !== null,
  }
}

/** A verb: what it throws is the promise's, and ends no process where nobody listens. */
function promised<T>(
  socket: Socket,
  syscall: string,
  call: (state: DgramState) => T | Promise<T>,
): Promise<T> {
  if (!(socket instanceof dgram.Socket)) return handled(Promise.reject(notSocket(syscall)))
  try {
    return handled(Promise.resolve(call(stateOf(socket))))
  } catch (error) {
    return handled(Promise.reject(error))
  }
}

// What happens to the base socket.

function onListening(socket: Socket, state: DgramState): void {
  state.bind = 'bound'
  state.own = ownAddress(socket)
  updateAcceptance(state)
}

/** Null where the system has taken the port away, or the socket is closed by now. */
function ownAddress(socket: Socket): AddressOfSocket | null {
  try {
    const address = dgramSocket.address.call(socket)
    return address.port === 0 ? null : address
  } catch {
    return null
  }
}

function portOf(options: unknown): unknown {
  return typeof options === 'object' && options !== null
    ? (options as { port?: unknown }).port
    : typeof options === 'number' || typeof options === 'string'
      ? Number(options)
      : undefined
}

/** Nothing reaches the other peers of a connected socket: they are told while it can be done. */
function leaveOthers(socket: Socket, state: DgramState, host: string, port: number): void {
  const { endpoint } = state
  if (!endpoint || state.connect !== 'none') return
  const others = endpoint
    .peers()
    .filter(each => each.port !== port || isIP(host) === 0 || !sameAddress(each.address, host))
  within(socket, state, () => closePeers(endpoint, others))
}

function closePeers(endpoint: DatagramEndpoint, peers = endpoint.peers()): void {
  for (const { address, port } of peers) endpoint.closePeer(address, port)
}

function disconnected(state: DgramState, error: Error): void {
  state.connect = 'none'
  state.connection?.reject(error)
  state.connection = null
  state.remote = null
  updateAcceptance(state)
}

function onError(socket: Socket, state: DgramState, error: Error): void {
  if (state.connect === 'connecting') disconnected(state, error)
  if (state.bind !== 'binding') return
  state.bind = 'unbound'
  failWaiting(state, error)
  if (state.closing) finish(socket, state)
}

/** What routers and hosts say of a datagram, unauthenticated; anything else of recvmsg() is an error of this host. */
const icmpCodes = new Set([
  'EACCES',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMSGSIZE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOPROTOOPT',
  'EPROTO',
])

function isIcmpError(error: unknown): boolean {
  const { syscall, code } = Object(error) as { syscall?: unknown; code?: unknown }
  return syscall === 'recvmsg' && icmpCodes.has(code as string)
}

/** Anybody can forge one: it ends nothing, and may explain why a peer does not answer. */
function onIcmpError(socket: Socket, state: DgramState, error: Error): void {
  const { endpoint, remote } = state
  if (endpoint && remote)
    within(socket, state, () => endpoint.sendFailed(error, remote.address, remote.port))
  else state.icmpErrors += 1
}

function bindImplicitly(socket: Socket, state: DgramState): void {
  state.bindingImplicitly = true
  try {
    ;(socket.bind as (...args: unknown[]) => void)({ port: 0, exclusive: true }, null)
  } finally {
    state.bindingImplicitly = false
  }
}

/** What waits is run by somebody else's event. */
function inThisContext(run: () => void): () => void {
  const context = new AsyncResource('SECUREDGRAMSEND')
  return () => context.runInAsyncScope(run)
}

// Sending.

function sendTo(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  port: number,
  address: string | undefined,
  callback: SentCallback | undefined,
): void {
  if (state.connect === 'connected' && state.remote && port === 0) {
    const { address: ip, port: to } = state.remote
    deliver(socket, state, message, { ip, port: to, host: state.host }, callback)
    return
  }
  const host = address ?? loopback(typeOf(socket))
  const known = state.resolver.knows(address)
  const kept = known ? message : Buffer.from(message)
  if (!known) state.lookups += 1
  state.resolver.resolve(address, typeOf(socket), (error, ip) => {
    if (!known) state.lookups -= 1
    if (state.closed) callback && process.nextTick(callback, canceled())
    else if (error) failSend(socket, error, callback)
    else deliver(socket, state, kept, { ip, port, host }, callback)
    if (state.closing) finishWhenDone(socket, state)
  })
}

interface Destination {
  readonly ip: string
  readonly port: number
  /** What the application called it. */
  readonly host: string
}

function deliver(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  { ip, port, host }: Destination,
  callback: SentCallback | undefined,
): void {
  const address = destination(ip)
  state.own ??= ownAddress(socket)
  const inside = state.own !== null && isOwnAddress(state.own, address, port)
  const refused = inside
    ? oversize(message, MAX_DATAGRAM_BYTES, address, port)
    : (refusal(state, message, address, port, host) ??
      applyHostName(socket, state, host, address, port))
  if (refused) {
    // node:dgram does not emit an 'error' for these either.
    if (callback) process.nextTick(callback, refused)
    else process.nextTick(tell, socket, 'peerError', refused, { address, port })
  } else if (inside) {
    deliverInside(socket, state, message, { address, port }, callback)
  } else {
    protect(socket, state, message, { address, port, host }, callback)
  }
}

/** Why a datagram is not sent to where it should go. */
function refusal(
  state: DgramState,
  message: Buffer,
  address: string,
  port: number,
  host: string,
): Error | undefined {
  const tooLarge = oversize(message, MAX_MESSAGE_BYTES, address, port)
  if (tooLarge) return tooLarge
  if (message.length === 0) {
    return new SocketSecurityError(
      'EOPNOTSUPP',
      'an empty datagram cannot be secured: send at least one byte',
      { syscall: 'send', peer: peerText(address, port) },
    )
  }
  if (standsForMany(address)) return unsupported(`sending to ${address}`)
  if (state.sendBlockList?.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')) {
    return Object.assign(new Error(`IP(${address}) is blocked by net.BlockList`), {
      code: 'ERR_IP_BLOCKED',
    })
  }
  return nameFailure(state, host, address, port)
}

/** A target name that could not be set fails what relies on it (R12). */
function nameFailure(
  { nameFailures }: DgramState,
  host: string,
  address: string,
  port: number,
): Error | undefined {
  if (nameFailures === null) return undefined
  return named(nameFailures, host, port) ?? named(nameFailures, address, port)
}

/** What is known of a port, or else of the whole host. */
function named<T>(names: Map<string, T>, host: string, port: number): T | undefined {
  return names.get(nameKey(host, port)) ?? names.get(nameKey(host, 0))
}

/**
 * A name that was set for a host holds wherever the host is found today: another answer of the
 * resolver must not make another name do (R20). Returns why it cannot be set.
 */
function applyHostName(
  socket: Socket,
  state: DgramState,
  host: string,
  address: string,
  port: number,
): Error | undefined {
  const { hostNames, addressNames } = state
  const name = hostNames && isIP(host) === 0 ? named(hostNames, host, port) : undefined
  if (!name) return undefined
  if (addressNames && named(addressNames, address, port)?.text === name.text) return undefined
  try {
    applyName(socket, state, address, port, name)
    return undefined
  } catch (error) {
    return error as Error
  }
}

function oversize(message: Buffer, most: number, address: string, port: number): Error | undefined {
  if (message.length <= most) return undefined
  const peer = peerText(address, port)
  // What no datagram can carry is refused in Node's words.
  const text =
    message.length > MAX_DATAGRAM_BYTES
      ? `send EMSGSIZE ${address}:${port}`
      : `the message to ${peer} has ${message.length} bytes: a secured datagram carries ${most} at most`
  const error = new SocketSecurityError('EMSGSIZE', text, { syscall: 'send', peer })
  return Object.assign(error, { address, port })
}

/** From this socket to itself: there is no wire, and nobody to authenticate. */
function deliverInside(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  from: PeerAddress,
  callback: SentCallback | undefined,
): void {
  const copy = Buffer.from(message)
  const family = from.address.includes(':') ? 'IPv6' : 'IPv4'
  const rinfo = { ...from, family, size: copy.length, peer: undefined, targetName: undefined }
  setImmediate(() => {
    if (!state.closing) dgramSocket.emit.call(socket, 'message', copy, rinfo)
  })
  if (callback) process.nextTick(callback, null, copy.length)
}

/** A send or connect that cannot even begin: node:dgram emits this where there is no callback. */
function failSend(socket: Socket, error: Error, callback: SentCallback | undefined): void {
  if (callback) process.nextTick(callback, error)
  else process.nextTick(() => socket.emit('error', error))
}

function unsupported(what: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `${what} cannot be secured: a secured datagram goes to one peer that has been authenticated`,
    { syscall: 'send' },
  )
}

function canceled(): SocketSecurityError {
  return new SocketSecurityError(
    'ECANCELED',
    'the socket was closed before the datagram could leave',
    { syscall: 'send' },
  )
}

// Peers and their names.

async function secured(
  socket: Socket,
  state: DgramState,
  host: string,
  port: number,
): Promise<SecurityInfo> {
  state.securing += 1
  try {
    if (state.bind === 'unbound') bindImplicitly(socket, state)
    if (mustWait(state))
      await new Promise<void>((run, fail) =>
        wait(state, { run, fail, to: { address: host, port } }),
      )
    const address = destination(await lookedUp(socket, state, host))
    if (state.closing) throw canceled()
    const { remote } = state
    const connected = state.connect === 'connected' && remote !== null
    if (connected && (port !== remote.port || !sameAddress(address, remote.address)))
      throw connectedElsewhere(address, port, remote)
    const endpoint = endpointOf(socket)
    const name = connected ? state.host : host
    const failure =
      nameFailure(state, name, address, port) ?? applyHostName(socket, state, name, address, port)
    if (failure) throw failure
    return await within(socket, state, () => endpoint.secure(address, port, name))
  } finally {
    state.securing -= 1
  }
}

function lookedUp(socket: Socket, state: DgramState, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    state.resolver.resolve(host, typeOf(socket), (error, ip) =>
      error ? reject(error) : resolve(ip),
    )
  })
}

/** Does something with the address of a host: at once where it is an address, so that no await is needed. */
function withAddress<T>(
  socket: Socket,
  state: DgramState,
  host: string,
  call: (address: string) => T,
): T | Promise<T> {
  return isIP(host) === 0 ? lookedUp(socket, state, host).then(call) : call(host)
}

function setName(socket: Socket, state: DgramState, peer: NamedPeer): void | Promise<void> {
  const syscall = 'WSASetSocketPeerTargetName'
  checkSocket(socketState(state), syscall)
  const { address, port } = givenPeer(peer, syscall)
  const key = nameKey(address, port)
  const failed = (error: unknown): never => {
    if (state.connect === 'none') {
      state.nameFailures ??= new Map()
      state.nameFailures.set(key, error as Error)
    }
    throw error
  }
  let name: TargetName
  try {
    name = parseTargetName(peer.targetName)
    checkSetPeerTargetName(socketState(state))
    if (isIP(address) !== 0) {
      applyName(socket, state, address, port, name)
      state.nameFailures?.delete(key)
      return
    }
  } catch (error) {
    const { code } = error as { code?: string }
    // A name that came too late: the one before it, if any, holds.
    if (code === 'EISCONN') throw error
    failed(error)
  }
  state.nameLookups += 1
  return lookedUp(socket, state, address)
    .then(ip => {
      checkSocket(socketState(state), syscall)
      applyName(socket, state, ip, port, name)
      state.hostNames ??= new Map()
      state.hostNames.set(key, name)
      state.nameFailures?.delete(key)
    })
    .catch(failed)
    .finally(() => {
      state.nameLookups -= 1
      runWaiting(state)
      if (state.closing) finishWhenDone(socket, state)
    })
}

function applyName(
  socket: Socket,
  state: DgramState,
  address: string,
  port: number,
  name: TargetName,
): void {
  const syscall = 'WSASetSocketPeerTargetName'
  checkPeerAddress(address, port, syscall) // R17
  const { endpoint } = state
  const waits = state.waiting?.some(
    ({ to }) =>
      to !== undefined &&
      (port === 0 || to.port === port) &&
      isIP(to.address) !== 0 &&
      sameAddress(to.address, address),
  )
  if (waits) {
    throw new SocketSecurityError(
      'EISCONN',
      `the target name of ${peerText(address, port)} must be set before the first datagram to it`,
      { syscall, peer: peerText(address, port) },
    ) // R18
  }
  if (endpoint) within(socket, state, () => endpoint.setTargetName(address, port, name))
  else state.earlyNames.push({ address, port, name })
  state.addressNames ??= new Map()
  state.addressNames.set(nameKey(address, port), name)
}

/** A name that was never set is no error: it serves no handshake either. */
function deleteName(socket: Socket, state: DgramState, address: string, port: number): void {
  checkPeerAddress(address, port, 'WSADeleteSocketPeerTargetName')
  state.earlyNames = state.earlyNames.filter(
    each => each.port !== port || !sameAddress(each.address, address),
  )
  state.addressNames?.delete(nameKey(address, port))
  state.nameFailures?.delete(nameKey(address, port))
  const { endpoint } = state
  if (endpoint) within(socket, state, () => endpoint.deleteTargetName(address, port))
}

function nameKey(address: string, port: number): string {
  return `${isIP(address) === 0 ? hostKey(address) : addressKey(address)} ${port}`
}

/** DNS knows no case, and a dot at the end changes nothing. */
function hostKey(host: string): string {
  return (domainToASCII(host) || host.toLowerCase()).replace(/\.$/, '')
}

function query(state: DgramState, address: string, port: number, syscall: string): SecurityInfo {
  const info = state.endpoint?.query(address, port)
  checkPeerQuery(socketState(state), peerText(address, port), info !== undefined, syscall)
  return info as SecurityInfo
}

/** R17, as far as it can be seen before a look-up. */
function givenPeer(
  peer: unknown,
  syscall: string,
): { readonly address: string; readonly port: number } {
  const { address, port = 0 } = Object(peer) as Partial<PeerAddress>
  if (typeof address !== 'string' || address === '') {
    throw new SocketSecurityError(
      'EINVAL',
      `the peer is ${show(peer)}: give {address, port}, as in rinfo`,
      { syscall },
    )
  }
  if (isIP(address) !== 0) checkPeerAddress(address, port, syscall)
  else checkPeerAddress('127.0.0.1', port, syscall)
  return { address, port }
}

/** The peer that was given, or else the one that the socket is connected to. */
function peerOr(socket: Socket, state: DgramState, peer: unknown, syscall: string): PeerAddress {
  if (peer !== undefined) {
    const given = givenPeer(peer, syscall)
    if (given.port === 0) checkPeerAddress(given.address, Number.NaN, syscall)
    return given
  }
  if (isConnected(socket, state) && state.remote) return state.remote
  throw notConnected(syscall)
}

function notConnected(syscall: string): SocketSecurityError {
  return new SocketSecurityError(
    'ENOTCONN',
    'the socket is not connected: say which peer, as {address, port}',
    { syscall },
  )
}

/** Where there is no time to look a name up. */
function literalPeer(
  socket: Socket,
  state: DgramState,
  peer: unknown,
  syscall: string,
): PeerAddress {
  const given = peerOr(socket, state, peer, syscall)
  checkPeerAddress(given.address, given.port, syscall)
  return given
}

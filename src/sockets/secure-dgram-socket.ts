/**
 * A dgram.Socket whose datagrams are secured: one socket, many peers, each authenticated.
 *
 * It is the plain socket itself. What the endpoint gives leaves by the socket's channel, and what the
 * channel brings goes to the endpoint: where node:dgram reads, it is caught in emit('message'), so that
 * nothing raw can reach a listener.
 */

import { AsyncResource } from 'node:async_hooks'
import type { BindOptions, RemoteInfo, Socket, SocketOptions } from 'node:dgram'
import { isIP } from 'node:net'
import { type InspectOptionsStylized, inspect } from 'node:util'
import type { ChannelKind } from '../channels/channel.js'
import { SocketSecurityError } from '../model/errors.js'
import { checkPeerQuery, checkSetSecurity, checkSocket, notSocket } from '../model/lifecycle.js'
import { peerText } from '../model/peer-text.js'
import type { SecurityInfo } from '../model/security-info.js'
import type { DatagramSecuritySettings } from '../model/settings.js'
import { settingsFor } from '../policy/settings-source.js'
import type { EndpointStats, PeerAddress, PeerStats } from '../providers/datagram-provider.js'
import { callable } from './callable.js'
import { deferred, handled } from './completion.js'
import {
  bindImplicitly,
  closeAtLast,
  closePeers,
  disconnected,
  leaveOthers,
  onError,
  onIcmpError,
  onListening,
} from './dgram/base-events.js'
import { startChannel } from './dgram/batch.js'
import { checkBind, exclusively, mustWait, portOf, runWaiting, wait } from './dgram/binding.js'
import {
  endpointOf,
  failForGood,
  finish,
  finishWhenDone,
  isConnected,
  onConnected,
  receive,
  type SecureRemoteInfo,
  updateAcceptance,
  within,
} from './dgram/endpoint.js'
import { canceled, failSend, isIcmpError, unsupported } from './dgram/errors.js'
import { exportArguments } from './dgram/exporter.js'
import {
  type AddressOfSocket,
  connectArgumentsError,
  dgram,
  dgramSocket,
  isConnected as isConnectedError,
  notRunning,
} from './dgram/internals.js'
import {
  beforeBind,
  beforeBindSync,
  beforeConnect,
  notAtOnce,
  strangeHandle,
} from './dgram/opening.js'
import {
  baseOptions,
  initialise,
  type MessageListener,
  nothingGiven,
  type SecureDgramSocketOptions,
} from './dgram/options.js'
import { literalPeer, notConnected, peerOr, withAddress } from './dgram/peer-arguments.js'
import { query, refreshed, secured } from './dgram/peers.js'
import { loopback, typeOf } from './dgram/resolver.js'
import { type SentCallback, sendArguments } from './dgram/send-arguments.js'
import { sendTo } from './dgram/sending.js'
import { type DgramState, socketState, stateOf } from './dgram/state.js'
import { withIcmpErrors } from './dgram/stats.js'
import { deleteName, type NamedPeer, setName } from './dgram/target-names.js'
import { runAs } from './impersonation.js'
import { datagramText, inspected, setOwn } from './inspecting.js'
import { setSource } from './set-source.js'
import type { TypedEvents } from './typed-events.js'

export type { SecureRemoteInfo } from './dgram/endpoint.js'
export type { SecureDgramSocketOptions } from './dgram/options.js'
export type { NamedPeer } from './dgram/target-names.js'

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
    const given = nothingGiven()
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
        const source = settingsFor(settings, 'datagram')
        checkSetSecurity(socketState(state))
        setSource(state, source)
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
    return promised(this, 'WSADeleteSocketPeerTargetName', state => deleteName(this, state, peer))
  }

  /**
   * What secures a peer, and who it is (WSAQuerySocketSecurity). A connected socket needs no argument.
   * With IPsec the system is asked; where it says that the peer is secured no longer, that is
   * ENOTCONN, and the next message begins anew.
   * @throws (rejects) SocketSecurityError ENOTSOCK, ENOTCONN, EINVAL
   */
  querySecurity(peer?: PeerAddress): Promise<SecurityInfo> {
    const syscall = 'WSAQuerySocketSecurity'
    return promised(this, syscall, state => {
      checkSocket(socketState(state), syscall)
      const { address, port } = peerOr(this, state, peer, syscall)
      return withAddress(this, state, address, each => refreshed(state, each, port, syscall))
    })
  }

  /**
   * Runs `fn` as a peer (WSAImpersonateSocketPeer): inside, and in all that it starts,
   * `currentPeer()` is the peer. A connected socket needs no peer. Returns what `fn` returns. With
   * IPsec on Windows the thread acts as the peer as well, and `fn` must be synchronous (else EINVAL).
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
    const native = state.native?.endpoint
    if (!peer) {
      throw new SocketSecurityError(
        'ERR_PEER_NOT_AUTHENTICATED',
        native
          ? 'the system knows no identity of the peer: the IPsec policy must authenticate its user or its machine'
          : 'the peer has no identity: ask for one with security.requestCert',
        { syscall, peer: peerText(address, port) },
      )
    }
    // Inside, since the system's own impersonation is for a function that is synchronous itself.
    return runAs(peer, native ? () => native.impersonate(address, port, fn) : fn)
  }

  // Peers.

  /**
   * Handshakes ahead of the first message. A connected socket needs no argument. IPsec secures a peer
   * with the first message to it: then this waits for it, and is EOPNOTSUPP before.
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

  /** Programs keep things of their own at their sockets. */
  set stats(value: EndpointStats) {
    setOwn(this, 'stats', value)
  }

  /** What it is and what secures it, in one line. */
  [inspect.custom](depth: number | null, options: InspectOptionsStylized): string {
    const text = () => datagramText(stateOf(this))
    return inspected(this, SecureDgramSocket.prototype, text, depth, options)
  }

  /** The same with one peer; undefined where nothing is known of it. */
  peerStats(peer?: PeerAddress): PeerStats | undefined {
    const state = stateOf(this)
    const { address, port } = literalPeer(this, state, peer, 'peerStats')
    return state.endpoint?.peerStats(address, port)
  }

  /**
   * How its datagrams travel: many in one system call, or one by one as those of node:dgram. Undefined
   * before the socket is bound.
   */
  get channel(): ChannelKind | undefined {
    const { bind, channel } = stateOf(this)
    return bind === 'bound' ? (channel?.kind ?? 'portable') : undefined
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
    const { resolver } = state
    resolver.before = beforeBind(this, state, args[0])
    try {
      dgramSocket.bind.apply(this, state.reuse === 'reusePort' ? exclusively(args) : args)
    } catch (error) {
      if (state.bind === 'binding') state.bind = 'unbound'
      throw error
    } finally {
      resolver.before = null
    }
    return this
  }

  /** With the names of dgram's longest form; without a list of them, which would cost each message one. */
  override send(
    given?: unknown,
    offset?: unknown,
    length?: unknown,
    toPort?: unknown,
    toAddress?: unknown,
    last?: unknown,
  ): void {
    const state = stateOf(this)
    const connected = isConnected(this, state)
    const { message, port, address, callback } = sendArguments(
      connected,
      given,
      offset,
      length,
      toPort,
      toAddress,
      last,
    )
    if (state.closing) throw notRunning()
    try {
      endpointOf(this)
    } catch (error) {
      failSend(this, error as Error, callback)
      return
    }
    if (state.bind === 'unbound') bindImplicitly(this, state)
    const remote = port === 0 ? state.remote : null
    const host = remote ? state.host : (address ?? loopback(typeOf(this)))
    const to = remote ? remote.port : port
    if (mustWait(state, host, to)) {
      // It may wait for long, and programs use their buffers again.
      const copy = Buffer.from(message)
      wait(state, {
        run: inThisContext(() => sendTo(this, state, copy, port, address, callback)),
        fail: error => callback && process.nextTick(callback, error),
        host,
        port: to,
        bytes: copy.length,
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
    const { native } = state
    if (native && state.connect !== 'none') throw isConnectedError()
    leaveOthers(this, state, host, Number(port))
    const connected = (...outcome: unknown[]) => {
      if (outcome[0]) disconnected(state, outcome[0] as Error)
      callback?.apply(this, outcome as [Error])
    }
    const begin = () => {
      state.bindingImplicitly = true
      try {
        const to = typeof address === 'function' ? undefined : address
        state.resolver.before = native && beforeConnect(state, native, Number(port), host)
        dgramSocket.connect.call(this, port, to, ...(callback ? [connected] : []))
      } finally {
        state.resolver.before = null
        state.bindingImplicitly = false
      }
    }
    if (native && state.bind !== 'bound') {
      // Node would let the socket wait in a queue, and its close() too.
      state.afterBinding = begin
      if (state.bind === 'unbound') bindImplicitly(this, state)
    } else begin()
    state.connect = 'connecting'
    state.connection = deferred()
    state.host = host
    updateAcceptance(state)
  }

  override disconnect(): void {
    const state = stateOf(this)
    const { channel, endpoint, own, remote } = state
    // Linux takes a port that it has chosen itself away again: the peers would hear a stranger.
    if (endpoint && remote && state.chosenPort) within(this, state, () => closePeers(endpoint))
    // What was sent before leaves from there.
    channel?.flush()
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
    // Aborted while it waits for what was sent before: Node closes by this method, and waits no longer.
    if (state.closing && !state.signal?.aborted) throw notRunning()
    state.closing = true
    const giveUp = () => {
      state.waiting.fail(canceled())
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
    const { channel, endpoint, waiting } = stateOf(this)
    const queued = (endpoint?.queued.bytes ?? 0) + (channel?.queued.bytes ?? 0) + waiting.bytes
    return dgramSocket.getSendQueueSize.call(this) + queued
  }

  override getSendQueueCount(): number {
    const { channel, endpoint, waiting } = stateOf(this)
    const protectedOnes = channel?.queued.datagrams ?? 0
    const queued = (endpoint?.queued.datagrams ?? 0) + protectedOnes + waiting.datagrams
    return dgramSocket.getSendQueueCount.call(this) + queued
  }

  override ref(): this {
    const state = stateOf(this)
    state.unreferenced = false
    state.channel?.ref()
    dgramSocket.ref.call(this)
    return this
  }

  override unref(): this {
    const state = stateOf(this)
    state.unreferenced = true
    state.channel?.unref()
    dgramSocket.unref.call(this)
    return this
  }

  override setTTL(ttl: number): number {
    // Not for what was sent before.
    stateOf(this).channel?.flush()
    return dgramSocket.setTTL.call(this, ttl)
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
      case 'message': {
        // What the network brings: never the application's before the endpoint has opened it.
        const { address, port } = Object(args[1]) as RemoteInfo
        receive(this, state, args[0] as Buffer, address, port)
        return true
      }
      case 'listening': {
        const strange = strangeHandle(this, state) ?? startChannel(this, state)
        if (strange) return failForGood(this, state, strange)
        onListening(this, state)
        break
      }
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
    if (event === 'listening') {
      const { afterBinding } = state
      state.afterBinding = null
      if (!state.closing) afterBinding?.()
      runWaiting(state)
    }
    if (state.closing && !state.closed) finishWhenDone(this, state)
    if (event === 'error') closeAtLast(this, state)
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
        beforeBindSync(this, state)
      }
      const address = dgramSocket.bindSync?.call(this, ...(options === undefined ? [] : [options]))
      state.boundExplicitly = !state.bindingImplicitly
      state.chosenPort = !portOf(options)
      const failure = startChannel(this, state)
      if (failure) {
        state.closing = true
        finish(this, state)
        throw failure
      }
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
      if (state.native) throw notAtOnce('connectSync', 'connect')
      leaveOthers(this, state, address || loopback(typeOf(this)), port)
      state.channel?.flush()
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
  /** Only with the setting `keylog`: a line of the NSS key log format, the secrets of that peer. */
  keylog: [line: Buffer, peer: PeerAddress]
}

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
  const given = nothingGiven()
  const base = dgram.Socket as unknown as (...args: unknown[]) => void
  base.call(self, baseOptions(type as SecureDgramSocketOptions, given))
  initialise(self as Socket, type as SecureDgramSocketOptions, listener, given)
}) as unknown as SecureDgramSocketConstructor

// Setting up.

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

/** What waits is run by somebody else's event. */
function inThisContext(run: () => void): () => void {
  const context = new AsyncResource('SECUREDGRAMSEND')
  return () => context.runInAsyncScope(run)
}

/**
 * The endpoint of a socket whose packets the operating system secures (IPsec): the same for every
 * provider that prepares such sockets. Messages go as they are; what is kept here is which peers the
 * system has said to be secured, and what waits for it to say so.
 */
import { SocketSecurityError, show } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { Counters } from '../datagram-counters.js'
import type {
  Clock,
  DatagramEndpoint,
  EndpointObserver,
  EndpointStats,
  NativeDatagramProvider,
  NativeDatagramSocket,
  PeerAddress,
  PeerStats,
  SendCallback,
} from '../datagram-provider.js'
import type { QueueTotals } from '../datagrams/message-queue.js'
import { canonicalAddress } from '../datagrams/peer-key.js'
import { type ChooseName, checkUncommitted, TargetNames } from '../datagrams/target-names.js'
import { Timers } from '../datagrams/timers.js'
import type { NativePeerContext, Whereabouts } from './context.js'
import { NativeNames } from './names.js'
import { NativePeer } from './peer.js'

/** Milliseconds for which no room is looked for, where there was none. */
const FULL = 100
/** Addresses whose canonical text is remembered. */
const SPELLING_LIMIT = 4096

export interface NativeEndpointRequest {
  /** Those that the socket is opened with; what comes later does not change what the system secures. */
  readonly settings: ParsedSettings
  readonly clock: Clock
  readonly provider: NativeDatagramProvider
  /** As in EndpointRequest. */
  readonly chooseName?: ChooseName | undefined
  /** Runs what follows a call of the system, and does afterwards what its answer asks for. */
  enter(call: () => void): void
}

export class NativeEndpoint implements DatagramEndpoint, NativePeerContext {
  acceptsStrangers = false
  readonly settings: ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver
  readonly provider: NativeDatagramProvider
  readonly names = new NativeNames()
  readonly timers = new Timers<NativePeer>()
  readonly totals = new Counters()
  readonly queued: QueueTotals = { datagrams: 0, bytes: 0 }
  readonly held: QueueTotals = { datagrams: 0, bytes: 0 }
  readonly enter: (call: () => void) => void

  #socket: NativeDatagramSocket | undefined
  /** The names that the application has set. */
  readonly #names: TargetNames
  /** The one that was used least lately first. */
  readonly #peers = new Map<string, NativePeer>()
  /** How many peers each address has. */
  readonly #hosts = new Map<string, number>()
  readonly #texts = new Map<string, string>()
  /** Whom the socket is or was connected to. */
  #connection: { readonly addressText: string; readonly port: number } | undefined
  /** Until then there is no room for strangers: looking for some takes time. */
  #fullUntil = Number.NEGATIVE_INFINITY
  #closed = false

  /** @throws SocketSecurityError EINVAL, EOPNOTSUPP for settings that the system cannot honour */
  constructor(
    { settings, clock, provider, enter, chooseName }: NativeEndpointRequest,
    observer: EndpointObserver,
  ) {
    if (settings.sharePort) {
      throw new SocketSecurityError(
        'EOPNOTSUPP',
        'a socket that the system secures has its port for itself: leave security.sharePort out',
        { syscall: 'WSASetSocketSecurity' },
      )
    }
    provider.checkSettings?.(settings)
    this.settings = settings
    this.#names = new TargetNames(chooseName)
    this.clock = clock
    this.provider = provider
    this.enter = enter
    this.observer = observer
  }

  /**
   * Node's handle has taken the socket. What is known of names is told to the system before anything
   * can be sent; a peer whose name it does not take is told so when it is sent to.
   */
  attach(socket: NativeDatagramSocket): void {
    if (this.#socket === socket) return
    this.#socket = socket
    this.names.attach(socket)
    socket.watch?.({
      peerLost: (error, address, port) => this.enter(() => this.#find(address, port)?.lost(error)),
      allLost: error => this.enter(() => this.#allLost(error)),
    })
    for (const [host, port, name] of this.#names)
      this.names.apply(host, port, name, true).catch(() => {})
  }

  /**
   * Before the socket is connected to a peer, after which the system takes no name.
   * @throws (rejects) where the name cannot be set: nothing may go to the peer then
   */
  async beforeConnect(address: string, port: number, host: string): Promise<void> {
    const text = this.#text(address)
    const before = this.#connection
    this.#connection = { addressText: text, port }
    if (before && (before.addressText !== text || before.port !== port)) this.#forgotten(before)
    const peer = this.#peers.get(peerText(text, port)) ?? this.#newPeer(text, address, port)
    await peer.nameBeforeConnect(host)
    await this.#socket?.beforeConnect?.(text, port)
  }

  /** A peer that nothing is known of any more: what the system was told of it, but for what the application has set. */
  #forgotten({ addressText, port }: { addressText: string; port: number }): void {
    if (this.#closed || this.#peers.has(peerText(addressText, port))) return
    this.#socket?.forget?.(addressText, port)
    if (this.#names.exact(addressText, port) !== undefined) return
    this.names.remove(addressText, port).catch(() => {})
  }

  get socket(): NativeDatagramSocket {
    if (this.#socket === undefined || this.#closed) throw closed()
    return this.#socket
  }

  receive(datagram: Buffer, address: string, port: number): void {
    if (this.#closed) return
    const text = this.#text(address)
    if (!this.isOpen(text)) {
      this.totals.dropped.unauthenticated += 1
      return
    }
    const peer = this.#peers.get(peerText(text, port)) ?? this.#welcome(text, address, port)
    peer?.receive(datagram)
  }

  isOpen(addressText: string): boolean {
    const interruption = this.#socket?.interruption?.(addressText)
    if (interruption !== undefined) this.#allLost(interruption)
    return interruption === undefined
  }

  #allLost(error: Error): void {
    if (this.#closed) return
    for (const peer of [...this.#peers.values()]) peer.lost(error)
  }

  transmit(
    message: Buffer,
    { addressText, where }: Whereabouts,
    sent: (error: Error | null) => void,
  ): void {
    const interruption = this.#socket?.interruption?.(addressText)
    if (interruption === undefined) this.observer.datagram(message, where.address, where.port, sent)
    else sent(interruption)
  }

  #welcome(text: string, address: string, port: number): NativePeer | undefined {
    if (!this.acceptsStrangers) {
      this.totals.dropped.unknownPeer += 1
      return undefined
    }
    if (!this.#hasRoom(text)) {
      this.totals.dropped.limit += 1
      return undefined
    }
    return this.#addPeer(text, address, port)
  }

  /** Whoever was refused, or rests, makes room for a stranger. */
  #hasRoom(host: string): boolean {
    const { maxSessions, maxSessionsPerHost } = this.settings
    const hostIsFull = () => (this.#hosts.get(host) ?? 0) >= maxSessionsPerHost
    if (this.#peers.size < maxSessions && !hostIsFull()) return true
    const now = this.clock.now()
    if (now < this.#fullUntil) return false
    const ofHost = hostIsFull()
    for (const peer of this.#peers.values()) {
      if (!peer.isIdle || (ofHost && peer.addressText !== host)) continue
      this.#letGo(peer)
      if (this.#peers.size < maxSessions && !hostIsFull()) return true
    }
    this.#fullUntil = now + FULL
    return false
  }

  #letGo(peer: NativePeer): void {
    peer.close(canceled(`${peer.text} made room for another`, peer))
  }

  send(message: Buffer, address: string, port: number, host: string, callback: SendCallback): void {
    let peer: NativePeer
    try {
      if (this.#closed) throw closed()
      peer = this.#peerFor(address, port)
    } catch (error) {
      callback(error as Error)
      return
    }
    peer.send(message, host, callback)
  }

  async secure(address: string, port: number, host: string): Promise<SecurityInfo> {
    const peer = this.#find(address, port)
    const isKnown = peer !== undefined && (peer.isSecured || peer.isBeingSecured)
    if (isKnown) return await peer.secure(host)
    if (this.socket.secure !== undefined) return await this.#peerFor(address, port).secure(host)
    const text = peerText(address, port)
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      `the system secures ${text} with the first datagram to it, and not ahead: send one, and await secure() or 'secure' then`,
      { syscall: 'WSAQuerySocketSecurity', peer: text },
    )
  }

  setTargetName(address: string, port: number, name: TargetName): void | Promise<void> {
    const text = this.#text(address)
    this.provider.checkTargetName?.(name, this.settings)
    const peers = this.#peersAt(text, port)
    checkUncommitted(peers)
    this.#names.set(text, port, name)
    const applied = this.#socket && this.names.apply(text, port, name, true)
    for (const peer of peers) peer.nameSet()
    return applied
  }

  deleteTargetName(address: string, port: number): boolean | Promise<boolean> {
    const text = this.#text(address)
    if (this.#names.delete(text, port) === undefined) return false
    const peers = this.#peersAt(text, port)
    // A peer's own copy of a name for all ports goes with it.
    const ports = port === 0 ? peers.map(({ where }) => where.port) : []
    const own = ports.filter(each => this.#names.exact(text, each) === undefined)
    // Who is being authenticated by it now, is so to the end.
    const pending = peers.map(peer => peer.attemptOver()).filter(each => each !== undefined)
    const after = pending.length > 0 ? Promise.all(pending).then(() => {}) : undefined
    const removed = [port, ...own].map(each => this.names.remove(text, each, after))
    return Promise.all(removed).then(() => true)
  }

  setName(peer: Whereabouts): { name: TargetName; port: number } | undefined {
    const { port } = peer.where
    const name = this.#names.get(peer.addressText, port)
    if (name === undefined) return undefined
    const isOfHost =
      this.#names.exact(peer.addressText, port) === undefined &&
      this.#names.exact(peer.addressText, 0) === name
    return { name, port: isOfHost ? 0 : port }
  }

  query(address: string, port: number): SecurityInfo | undefined {
    return this.#find(address, port)?.info
  }

  async refresh(address: string, port: number): Promise<SecurityInfo | undefined> {
    return await this.#find(address, port)?.refresh()
  }

  impersonate<T>(address: string, port: number, fn: () => T): T {
    const { socket } = this
    return socket.impersonate ? socket.impersonate(this.#text(address), port, fn) : fn()
  }

  exportKeyingMaterial(): never {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'IPsec exports no keying material: its keys are the system’s',
    )
  }

  peers(): PeerAddress[] {
    return [...this.#peers.values()].filter(peer => peer.isSecured).map(({ where }) => where)
  }

  get deadline(): number {
    return this.timers.deadline
  }

  tick(): void {
    if (this.#closed) return
    const now = this.clock.now()
    const due: NativePeer[] = []
    for (let peer = this.timers.take(now); peer !== undefined; peer = this.timers.take(now))
      due.push(peer)
    for (const peer of due) peer.tick(now)
  }

  closePeer(address: string, port: number): void {
    const peer = this.#find(address, port)
    peer?.close(canceled(`the security of ${peer.text} was ended`, peer))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.names.close()
    for (const peer of [...this.#peers.values()])
      peer.close(canceled('the socket was closed', peer))
  }

  sendFailed(error: Error, address: string, port: number): void {
    const peer = this.#find(address, port)
    if (peer !== undefined) peer.sendFailed(error)
    else this.totals.dropped.icmp += 1
  }

  get stats(): EndpointStats {
    const peers = [...this.#peers.values()]
    return {
      ...this.totals.snapshot(),
      cookiesSent: 0,
      peers: peers.filter(peer => peer.isSecured).length,
      handshaking: peers.filter(peer => peer.isBeingSecured).length,
    }
  }

  peerStats(address: string, port: number): PeerStats | undefined {
    return this.#find(address, port)?.counters.snapshot()
  }

  touched(peer: NativePeer): void {
    const key = peerText(peer.addressText, peer.where.port)
    if (this.#peers.get(key) !== peer) return
    this.#peers.delete(key)
    this.#peers.set(key, peer)
  }

  forget(peer: NativePeer): void {
    const { addressText: host, where } = peer
    this.timers.remove(peer)
    const key = peerText(host, where.port)
    if (this.#peers.get(key) !== peer) return
    this.#peers.delete(key)
    const ofHost = (this.#hosts.get(host) ?? 0) - 1
    if (ofHost > 0) this.#hosts.set(host, ofHost)
    else this.#hosts.delete(host)
    this.idle()
    this.#forgotten({ addressText: host, port: where.port })
  }

  idle(): void {
    this.#fullUntil = Number.NEGATIVE_INFINITY
  }

  #peerFor(address: string, port: number): NativePeer {
    const text = this.#text(address)
    const known = this.#peers.get(peerText(text, port))
    if (known !== undefined) return known
    if (this.#peers.size >= this.settings.maxSessions) this.#makeRoom()
    return this.#addPeer(text, address, port)
  }

  /**
   * Room for a peer of the application's: who was refused or rests goes, else a stranger who is being
   * asked about, else who was used least lately. It is asked about anew when it is used again.
   */
  #makeRoom(): void {
    const peers = [...this.#peers.values()]
    const leaving =
      peers.find(peer => peer.isIdle) ??
      peers.find(peer => peer.isBeingSecured && !peer.isCommitted) ??
      peers.find(peer => peer.isSecured)
    if (leaving !== undefined) {
      this.#letGo(leaving)
      return
    }
    throw new SocketSecurityError(
      'ENOBUFS',
      `${this.settings.maxSessions} peers are being secured already: send to fewer, or raise security.maxSessions`,
    )
  }

  #addPeer(text: string, address: string, port: number): NativePeer {
    const peer = this.#newPeer(text, address, port)
    this.#peers.set(peerText(text, port), peer)
    this.#hosts.set(text, (this.#hosts.get(text) ?? 0) + 1)
    return peer
  }

  #newPeer(text: string, address: string, port: number): NativePeer {
    return new NativePeer(this, text, { address, port })
  }

  #find(address: string, port: number): NativePeer | undefined {
    return this.#peers.get(peerText(this.#text(address), port))
  }

  /** The peers that a name is for; port 0 means all of the address. */
  #peersAt(text: string, port: number): NativePeer[] {
    if (port === 0) return [...this.#peers.values()].filter(peer => peer.addressText === text)
    const peer = this.#peers.get(peerText(text, port))
    return peer ? [peer] : []
  }

  /** One text for one address, however it is written. */
  #text(address: string): string {
    const known = this.#texts.get(address)
    if (known !== undefined) return known
    const canonical = canonicalAddress(address)
    if (canonical === undefined)
      throw new SocketSecurityError('EINVAL', `${show(address)} is no address of a peer`)
    if (this.#texts.size >= SPELLING_LIMIT) this.#texts.clear()
    this.#texts.set(address, canonical.text)
    return canonical.text
  }
}

function canceled(message: string, peer: NativePeer): SocketSecurityError {
  return new SocketSecurityError('ECANCELED', message, { peer: peer.text })
}

function closed(): SocketSecurityError {
  return new SocketSecurityError('ENOTSOCK', 'the socket is closed')
}

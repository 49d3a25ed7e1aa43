/**
 * What secures the packets of a datagram socket: the interface between SecureDgramSocket and the
 * providers.
 *
 * An endpoint is sans-I/O. It is told which datagrams have come from the network, which messages are
 * to be sent and, by the clock, what time it is; it gives back the datagrams that are to leave, the
 * messages of authenticated peers and the time at which it wants to be asked again. It knows no
 * socket, opens no file and starts no timer.
 */

import type { Arena } from '../../lib/memory.js'
import type { PeerIdentity } from '../model/peer-identity.js'
import type { SecurityInfo } from '../model/security-info.js'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'
import type { ChooseName } from './datagrams/target-names.js'
import type { NativeDescriptor } from './provider.js'

/** The largest message: what fits into one record (RFC 6347, section 4.1: 2^14). */
export const MAX_MESSAGE_BYTES = 16384

export type DatagramProvider = ChannelDatagramProvider | NativeDatagramProvider

/** A provider that protects the datagrams itself, on whatever socket. */
export interface ChannelDatagramProvider {
  readonly mode: 'channel'
  /**
   * @throws SocketSecurityError EINVAL, EPROTO, ENOCREDENTIAL for settings that cannot be used;
   * ERR_OPENSSL_UNSUPPORTED, ERR_PROVIDER_UNAVAILABLE where the runtime lacks what is needed
   */
  createEndpoint(request: EndpointRequest, observer: EndpointObserver & Outbox): DatagramEndpoint
}

/**
 * A provider that prepares sockets which the operating system secures: their datagrams are handed
 * over as they are. Its endpoint is the same for every such provider (native/endpoint.ts).
 */
export interface NativeDatagramProvider {
  readonly mode: 'native'
  /** @throws SocketSecurityError EINVAL, EOPNOTSUPP for settings that the system cannot honour */
  checkSettings?(settings: ParsedSettings): void
  /** @throws SocketSecurityError EINVAL for a name that was set and that the system cannot check */
  checkTargetName?(name: TargetName, settings: ParsedSettings): void
  /**
   * Makes a socket whose security is applied, to be taken by Node's handle before it is bound.
   * @throws (rejects) where it cannot be secured; the binding fails then, and nothing is sent
   */
  openSocket(request: NativeDatagramRequest): Promise<NativeDatagramSocket>
}

export interface NativeDatagramRequest {
  readonly family: 4 | 6
  readonly settings: ParsedSettings
  /** Nobody waits any longer. */
  readonly signal: AbortSignal
}

/** As NativeSocket of streams, with many peers. To be asked only while the handle lives that has opened it. */
export interface NativeDatagramSocket extends NativeDescriptor {
  /**
   * Where the provider binds it: after Node's handle has taken it, which does not bind it then. From
   * when this resolves nothing is sent from the port, and nothing read, that is not secured. May be
   * called again where it has failed.
   * @throws (rejects) where it cannot be bound, an error with syscall 'bind' and errno (-errno)
   */
  bind?(to: NativeBinding): Promise<void>
  /**
   * Before the first datagram to that peer leaves; port 0: all ports of the address.
   * @param isSet the application set it; else it is the host that a message is sent to
   */
  setTargetName(address: string, port: number, name: TargetName, isSet: boolean): Promise<void>
  deleteTargetName(address: string, port: number): Promise<void>
  /**
   * Where a peer must be known before the socket is connected to it, and its name was told: from now
   * on what is sent to it waits for its security, or is dropped.
   */
  beforeConnect?(address: string, port: number): Promise<void>
  /**
   * Where the system can secure a peer ahead of the first datagram: after its name was told, or the
   * peer is secured already.
   * @throws (rejects) where it cannot be secured: nothing goes to it then
   */
  secure?(address: string, port: number, waiting: NativeWaiting): Promise<void>
  /** After the first datagram to or from that peer, or after secure(). */
  query(address: string, port: number): Promise<SecurityInfo>
  /** That peer is spoken to no longer: what was made for it goes. */
  forget?(address: string, port: number): void
  /**
   * Why nothing may be sent to that peer now, and nothing be believed that has come; undefined
   * where it may. Asked for each datagram.
   */
  interruption?(address: string): Error | undefined
  /** Who is told what happens to peers that are secured. */
  watch?(watcher: NativeWatcher): void
  /** Runs `fn`, which must be synchronous, as that peer; always reverted. */
  impersonate?<T>(address: string, port: number, fn: () => T): T
}

/** Where a socket is to be bound to. */
export interface NativeBinding {
  readonly address: string
  /** 0: the system chooses one. */
  readonly port: number
  readonly ipv6Only: boolean
  /** The application has bound it: whoever is trusted may speak first. */
  readonly acceptsStrangers: boolean
  /** Nobody waits any longer. */
  readonly signal: AbortSignal
}

export interface NativeWaiting {
  /** Milliseconds after which nobody waits any longer. */
  readonly timeout: number
  readonly signal: AbortSignal
}

/** Called at any time, also inside of interruption(). */
export interface NativeWatcher {
  /**
   * Nothing secures that peer any longer, or somebody else has its address.
   * @param error undefined where its security has only ended
   */
  peerLost(error: Error | undefined, address: string, port: number): void
  /** The same of all peers. */
  allLost(error: Error): void
}

export interface EndpointRequest {
  /** Asked at each handshake: cheap, and the same object until the settings change. */
  current(): ParsedSettings
  readonly clock: Clock
  /**
   * Whose name counts for a peer, where it is not always the one that was set; asked at each handshake.
   * Never throws.
   */
  readonly chooseName?: ChooseName | undefined
}

/** Where the time comes from; a test gives its own. */
export interface Clock {
  /** Milliseconds, which never go back (as performance.now()). */
  now(): number
  /** The same for what is sent: perhaps of the beginning of this tick, which is cheaper. */
  tickTime?(): number
  /** Milliseconds since 1970, for certificates and tickets (as Date.now()). */
  wallTime(): number
}

/** An address as node:dgram gives it in rinfo, and a port. */
export interface PeerAddress {
  readonly address: string
  readonly port: number
}

/** Where datagrams go. The same object for all of one peer. */
export interface Destination extends PeerAddress {
  /** The same in the form of whoever sends them, who keeps it here; undefined at first. */
  route: unknown
}

/** Room for one datagram, in memory that lives as long as the process. Used again: read it at once. */
export interface Slot {
  readonly arena: Arena
  readonly offset: number
  /**
   * Where it may be written later than before commit(): tells what must be called before the datagram
   * is read, or anything else written. That throws where there is none: then nothing may leave.
   */
  owe?(fill: () => void): void
}

/** Called once, when the message has left or never will: as the callback of dgram's send(). */
export type SendCallback = (error: Error | null, bytes?: number) => void

/** The callback of a message whose sender does not want to know. */
export const unheard: SendCallback = () => {}

/** Whom a message comes from, and whom the peer has proved to be. */
export interface MessageSource extends PeerAddress {
  readonly peer: PeerIdentity | undefined
  /** The target name that was set for the peer, not one that was derived. */
  readonly targetName: string | undefined
}

export interface DatagramEndpoint {
  /** May a stranger start a handshake? True once the socket is bound explicitly and is not connected. */
  acceptsStrangers: boolean

  /**
   * What the network brings: a datagram, or several of one source, one behind the other, each of
   * `segment` bytes but the last, which may be shorter. The memory is the caller's again afterwards.
   * Never throws, whatever is in it.
   */
  receive(datagrams: Buffer, address: string, port: number, segment?: number): void

  /**
   * Protects a message and gives it to the observer, now or when the peer is authenticated, in order.
   * @param host what the application called the peer: the target name where none is set
   */
  send(message: Buffer, address: string, port: number, host: string, callback: SendCallback): void

  /**
   * Handshakes ahead of the first message. Resolves when the peer is secured, rejects when it will
   * not be; with EOPNOTSUPP where only a message can secure it (IPsec on Windows).
   */
  secure(address: string, port: number, host: string): Promise<SecurityInfo>

  /**
   * Sets whom a peer must prove to be; port 0 means all ports of the address. A promise where the
   * system is told at once (native mode); what is sent to the peer waits for it.
   * @throws SocketSecurityError EISCONN after the first send to the peer, or while it is secured (R18)
   */
  setTargetName(address: string, port: number, name: TargetName): void | Promise<void>

  /** The name serves no future handshake (R21). False where none was set. */
  deleteTargetName(address: string, port: number): boolean | Promise<boolean>

  /** Undefined where the peer is not secured now. */
  query(address: string, port: number): SecurityInfo | undefined

  /** The same as the system says it now (native mode). */
  refresh?(address: string, port: number): Promise<SecurityInfo | undefined>

  /** Runs `fn`, which must be synchronous, as that peer in the eyes of the system (native mode). */
  impersonate?<T>(address: string, port: number, fn: () => T): T

  /**
   * RFC 5705. Undefined where the peer is not secured now.
   * @throws SocketSecurityError EOPNOTSUPP where there is none (native mode)
   */
  exportKeyingMaterial(
    address: string,
    port: number,
    length: number,
    label: string,
    context: Buffer | undefined,
  ): Buffer | undefined

  /** The peers that are secured now. */
  peers(): PeerAddress[]

  /** Datagrams and bytes that wait for a handshake. */
  readonly queued: { readonly datagrams: number; readonly bytes: number }

  /** When tick() wants to be called, by the clock; Infinity: never. Changes in every call. */
  readonly deadline: number
  /** Does what is due: retransmissions, lifetimes, handshakes that waited for their turn. */
  tick(): void

  /** Ends one peer's security with close_notify, or all of it. Waiting messages fail. */
  closePeer(address: string, port: number): void
  /** Ends everything; the endpoint can do nothing afterwards. Every callback has been called. */
  close(): void

  /**
   * The socket met an error that concerns a peer, and no callback heard of it: an ICMP error of a
   * connected socket. Counted, and a hint in the error of a handshake that is never answered.
   */
  sendFailed(error: Error, address: string, port: number): void

  readonly stats: EndpointStats
  peerStats(address: string, port: number): PeerStats | undefined
}

/** Where an endpoint that protects messages writes them. */
export interface Outbox {
  /**
   * Room for a protected message of at most so many bytes, to be written at once. Nothing else of
   * the observer's is called before commit(), or instead of it.
   */
  reserve(bytes: number): Slot
  /** What was written there is to leave. `sent` where somebody waits for it. */
  commit(length: number, to: Destination, sent?: (error: Error | null) => void): void
}

/** What an endpoint tells its socket. Called at any time, also inside the calls above. */
export interface EndpointObserver {
  /**
   * A datagram in memory of its own is to leave: of a flight, or of a provider that protects nothing
   * itself. The buffer is the observer's. `sent` where somebody waits for it.
   */
  datagram(
    datagram: Buffer,
    address: string,
    port: number,
    sent?: (error: Error | null) => void,
  ): void
  /** An authenticated message. The buffer is the observer's for ever. */
  message(message: Buffer, source: MessageSource): void
  /** A peer is secured: for the first time, again after its security had ended, or as somebody else. */
  secured(peer: PeerAddress, info: SecurityInfo): void
  /** A peer that this socket spoke to could not be secured, or its security failed. */
  peerError(error: Error, peer: PeerAddress): void
  /** A peer's security has ended. */
  peerClosed(peer: PeerAddress): void
  /** Only with the setting `keylog`. */
  keylog(line: Buffer, peer: PeerAddress): void
}

/** Counters since the beginning; they only grow, but for the last two. */
export interface PeerStats {
  readonly datagramsSent: number
  readonly datagramsReceived: number
  /** Bytes of plaintext. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Datagrams and records that were not delivered, by reason. */
  readonly dropped: Readonly<Record<DropReason, number>>
  readonly handshakes: number
  readonly handshakesResumed: number
  readonly handshakesFailed: number
  readonly retransmissions: number
}

export interface EndpointStats extends PeerStats {
  /** HelloVerifyRequests sent. */
  readonly cookiesSent: number
  /** Secured now. */
  readonly peers: number
  /** Handshakes in flight now. */
  readonly handshaking: number
}

export type DropReason =
  /** No record of DTLS, or cut. */
  | 'malformed'
  /** No association for it, and nothing that could start one. */
  | 'unknownPeer'
  /** A record that nobody could have authenticated: short, or of a kind that is never clear. */
  | 'screened'
  /** Not authentic, a replay, or of an association that is gone. */
  | 'unauthenticated'
  /** A limit was reached: maxSessions, maxSessionsPerHost. */
  | 'limit'
  /** A handshake of ours that came back to us. */
  | 'reflected'
  /** An ICMP error, which anybody can forge. */
  | 'icmp'

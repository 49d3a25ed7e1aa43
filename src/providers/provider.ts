/**
 * What secures the packets of a stream: the interface between the socket classes and the providers.
 *
 * A provider works in one of two ways. A *channel* provider (tls) gives a second stream that
 * carries the protected bytes, and the socket passes everything on to it. A *native* provider
 * (IPsec) prepares a socket of the operating system whose packets the system itself secures, and
 * the SecureSocket is that plain socket. A provider knows no socket class.
 */
import type { X509Certificate } from 'node:crypto'
import type { Socket, TcpNetConnectOpts } from 'node:net'
import type { SecurityInfo } from '../model/security-info.js'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'

export type StreamProvider = ChannelProvider | NativeProvider

/** A provider whose protected bytes go through a stream of its own. */
export interface ChannelProvider {
  readonly mode: 'channel'
  /** Connects and secures; reports to the observer. Nothing is thrown but errors of the arguments. */
  dial(request: DialRequest, observer: DialObserver): Dial
  /**
   * Secures what a server accepts. Throws where the settings lack what a server needs.
   * @param current asked at each connection: cheap, and the same object until the settings change
   */
  createAcceptor(current: () => ParsedSettings, observer: AcceptObserver): Acceptor
}

/**
 * A provider that prepares sockets which the operating system secures. Whoever opens one owns it
 * until Node's handle has taken it; nothing is bound, connected or sent before it is prepared.
 */
export interface NativeProvider {
  readonly mode: 'native'
  /** @throws SocketSecurityError EINVAL, EOPNOTSUPP for settings that the system cannot honour */
  checkSettings?(settings: ParsedSettings): void
  /**
   * Makes an unconnected socket for one address that will be tried: its security and the peer's name
   * are applied, and it is bound where a local address or port is asked for.
   * @throws (rejects) where it cannot be secured; nothing goes to that address then
   */
  openSocket(request: NativeRequest): Promise<NativeSocket>
  /**
   * Makes a socket whose security is applied, for a server to listen on; the provider binds it, or
   * leaves that to whoever takes it.
   * @throws (rejects) where it cannot be secured: nothing listens then. Where it cannot be bound: an
   * error with syscall 'bind' and libuv's number of it as errno
   */
  openListener(request: NativeListenRequest): Promise<NativeDescriptor>
  /** What secures a connection that such a listener has accepted. */
  accepted(socket: Socket, settings: ParsedSettings): NativeConnection
}

export interface NativeRequest {
  readonly address: string
  readonly port: number
  readonly family: 4 | 6
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly settings: ParsedSettings
  readonly targetName: TargetName
  /** The application set the name itself. */
  readonly targetNameSet: boolean
  /** Nobody waits for it any more. */
  readonly signal: AbortSignal
}

export interface NativeListenRequest {
  readonly family: 4 | 6
  /** What it will listen on; `::` and `0.0.0.0` are every address. */
  readonly address: string
  /** 0: the system chooses. */
  readonly port: number
  /** `::` is not to take connections over IPv4. */
  readonly ipv6Only: boolean
  readonly settings: ParsedSettings
  /** Nobody waits for it any more. */
  readonly signal: AbortSignal
}

/** A socket of the operating system. */
export interface NativeDescriptor {
  /** What Node's handle opens, and owns from then on. */
  readonly descriptor: number
  /** It is bound already, to where it was asked for: whoever takes it does not bind it. */
  readonly bound?: boolean
  /** Closes what no handle has taken. To be called once, and never after a handle has opened it. */
  discard(): void
  /**
   * Node's handle has taken it.
   * @param alive whether that very handle still holds it: the system gives the numbers of closed
   * sockets to others at once
   */
  adopted(alive: () => boolean): void
  /**
   * The handle that has taken it is about to close: to be called once, while the descriptor is still
   * open. What the system still has to send is secured until it has gone.
   */
  closing?(): void
}

/**
 * What secures a connected socket. To be asked only while the handle lives that has opened it: the
 * system gives the numbers of closed sockets to others at once.
 */
export interface NativeConnection {
  /** @throws (rejects) SocketSecurityError where the system does not say */
  query(): Promise<SecurityInfo>
  /** Runs `fn`, which must be synchronous, as the peer; always reverted. Absent where the system knows no such thing. */
  impersonate?<T>(fn: () => T): T
  /**
   * Tells, once, that nothing more may be sent or read: nothing secures it any longer, or it is
   * secured for somebody else. The socket is to be destroyed in that very call. Never called where
   * the listener was given after the end.
   */
  onLost?(listener: (error: Error) => void): void
  /**
   * Whether what secures it is still there: asked just before anything is written, so it must be
   * cheap. Where not, it has told so (onLost), and nothing is written.
   */
  holds?(): boolean
  /** As of a descriptor: just before the handle of an accepted connection closes. */
  closing?(): void
}

export interface NativeSocket extends NativeDescriptor, NativeConnection {}

export interface DialRequest {
  /** node:net's own options of connect(). */
  readonly options: TcpNetConnectOpts
  readonly settings: ParsedSettings
  /** Whom the peer must prove to be: the name that was set, else the host. */
  readonly targetName: TargetName
  /** The application set the name itself. */
  readonly targetNameSet: boolean
  /** This socket was secured before: it never falls back to clear text. */
  readonly securedBefore: boolean
}

/** A connection in the making. */
export interface Dial {
  /** Gives up. Nothing is reported after this. */
  cancel(): void
}

export interface DialObserver {
  /** The stream that is being connected; replaced when the provider dials again. */
  channel(channel: Socket): void
  /** An event of node:net's connecting (lookup, connectionAttempt…), to be passed on. */
  event(name: string, args: unknown[]): void
  /** The channel is secured and the peer has proved its name. */
  established(channel: Socket, connection: Connection): void
  /** There will be no channel. */
  failed(error: Error): void
}

/** What the provider knows of an established channel. */
export interface Connection {
  /** Bytes of application data that arrived before the channel was handed over. */
  readonly early: Buffer | null
  /** Bytes of the provider's own on the channel, not to be counted as the application's. */
  readonly overhead: { readonly read: number; readonly written: number }
  /** False only where allowInsecure left it clear. */
  readonly secured: boolean
  /** A session was resumed. */
  readonly resumed: boolean
  /** What secures it, as it was when it was secured or, of a channel, is. */
  query(): SecurityInfo
  /** What secures it now, where only the system knows (native mode). */
  refresh?(): Promise<SecurityInfo>
  /** Runs `fn` as the peer in the eyes of the system (native mode). */
  impersonate?<T>(fn: () => T): T
  /** The peer's certificate is trusted, or its pre-shared key known. */
  readonly authorized: boolean
  /** Why not, as node:tls names it. */
  readonly authorizationError: string | null
  /** The application protocol, or false. */
  readonly alpnProtocol: string | false
  /** The peer's certificate, where it has one. */
  readonly certificate: X509Certificate | undefined
  /** A clean end of the channel may be a refusal: the error that it then is. */
  endError(): Error | null
  /** An error of the channel, explained. */
  explain(error: Error): Error
}

export interface Acceptor {
  /** Secures a raw connection and reports to the observer. */
  accept(raw: Socket): void
}

export interface AcceptObserver {
  established(channel: Socket, connection: Connection): void
  /** The peer was refused or failed; the observer ends the connection. */
  refused(error: Error, channel: Socket): void
  keylog(line: Buffer, channel: Socket): void
}

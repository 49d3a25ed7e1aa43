/**
 * What the table of rules needs to know of a kind of secured socket. Each provider and kind of
 * socket joins the table as one such adapter.
 */
import type { Test } from 'tap'
import type { SecurityInfo } from '../../src/model/security-info.js'
import type { SecuritySettings } from '../../src/model/settings.js'
import type { PeerAddress } from '../../src/providers/datagram-provider.js'
import type {
  SecureDgramSocket,
  SecureDgramSocketOptions,
} from '../../src/sockets/secure-dgram-socket.js'

export interface Subject {
  /** As the report shows it: `tls stream`. */
  readonly name: string
  readonly provider: 'tls' | 'dtls' | 'winsock' | 'strongswan'
  readonly kind: 'stream' | 'datagram'
  /** Why a rule, or a case of one (`R9: …`, with its title), cannot apply to this subject alone. */
  readonly inapplicable: Readonly<Record<string, string>>

  /** Settings of a server that its clients can authenticate, as SERVER_NAMES or by some of them; it asks for nothing itself that the kind does not. */
  serverSettings(): Promise<Settings>
  /** Settings of a client that authenticates such a server. */
  clientSettings(): Promise<Settings>
  /** Sockets of which nothing is set but what leads to the provider, and the server that they can reach. */
  defaults(): Promise<{ server: SecuritySettings; clients: readonly SocketOptions[] }>
  /** Settings with which both ends prove who they are, until the end of the test. */
  mutual(t: Test): Promise<Ends>
  /** Settings with which the client proves nothing, until the end of the test. */
  anonymous(t: Test): Promise<Ends>
  /** A setting of the client that wins over a default, and how the query shows it at both ends. */
  choice(t: Test): Promise<{ client: SecuritySettings; info: object }>
  /** Servers that answer, and cannot be authenticated. */
  readonly impostors: readonly Impostor[]
  readonly codes: {
    /** Of what meets a peer without security. */
    readonly clear: RegExp
    /** Of a server that is to share its port with `reusePort`; `'listening'` where it can. */
    readonly reusePort: RegExp
    /** Of a server that is to share its port with the processes of a cluster. */
    readonly cluster: string
  }
  /** The name by which a server of loopback is authenticated where none was set, as the query tells it. */
  readonly derivedName: string

  /** Of a provider that leaves the packets to the system: what stands in for that. */
  readonly system?: System

  /** A new socket, closed at the end of the test. */
  socket(t: Test, options?: SocketOptions): Endpoint
  /** Of datagrams: the socket itself, for what has many peers. */
  datagramSocket?(t: Test, options?: Partial<SecureDgramSocketOptions>): SecureDgramSocket
  /** Of datagrams: has the peer authenticated. */
  secure?(socket: SecureDgramSocket, peer: PeerAddress): Promise<SecurityInfo>
  /** A socket of a family that cannot be secured. */
  foreignSocket(t: Test, options?: SocketOptions): Promise<Endpoint>
  /** What calls the verbs on something that is no socket. */
  noSocket(thing: unknown): Pick<Endpoint, 'setSecurity' | 'setPeerTargetName' | 'querySecurity'>
  /** A peer of such a family. */
  foreignPeer(t: Test): Promise<ForeignPeer>
  /** A new server, closed at the end of the test. */
  server(t: Test, options?: ServerOptions): ServerEndpoint
  /** Listens in a process of a cluster, once for each: `'listening'`, or the code of the error. */
  listenInWorker(
    t: Test,
    attempts: readonly { security: SecuritySettings; options?: object }[],
  ): Promise<string[]>
  /** A peer without security. */
  clearPeer(t: Test, behaviour: ClearBehaviour): Promise<ClearPeer>
  /** A peer without security that contacts a server. */
  clearClient(t: Test, port: number): Promise<ClearClient>
  /** Of a system that negotiates: what it still has of servers before is not used for the next one. */
  forget?(): Promise<void>
  /** Stands between a socket and the server at `port`, and sees what goes over the wire. */
  tap(t: Test, port: number): Promise<Tap>
  /** How many of the system's resources (sockets, timers) this process holds for such sockets. */
  resources(): number
}

/** Good for both kinds of socket. */
export type Settings = Pick<SecuritySettings, 'protocol' | 'cert' | 'key' | 'ca'>

export interface Ends {
  readonly client: SecuritySettings
  readonly server: SecuritySettings
  /** The names that the client proves. */
  readonly names: readonly string[]
}

/** A server that answers, and cannot be authenticated as SERVER_NAMES. */
export interface Impostor {
  readonly title: string
  /** Makes it such, until the end of the test; gives its settings. */
  prepare(t: Test): Promise<SecuritySettings>
  /** What the client that contacts it is to be told besides. */
  readonly client?: SecuritySettings
  /** Of that client. */
  readonly code: RegExp
}

/** What secures the packets in the place of the operating system, as a test sees and governs it. */
export interface System {
  /** It fails this call, after it has accepted it, until the end of the test. */
  fails(t: Test, call: 'WSASetSocketSecurity' | 'WSASetSocketPeerTargetName'): void
  /** It secures the packets of all connections, and encrypts none, until the end of the test. */
  encryptsNothing(t: Test): void
  /** From now on: the names that it is told, or told to forget (null), and for whom where it says so. */
  names(t: Test): () => { address?: string; port?: number; name: string | null }[]
  /** This thread acts as somebody else. */
  readonly impersonating: boolean
}

/** Where the tests' servers are: on loopback, or on another host of test/strongswan's. */
export const HOST = process.env.HOST === undefined ? '127.0.0.1' : '10.9.0.2'

/** An address of this one. */
export const OWN_HOST = process.env.HOST === undefined ? '127.0.0.1' : '10.9.0.1'

/** What they are called. */
export const SERVER_NAMES = [
  ...new Set(['db.example.com', 'localhost', '127.0.0.1', HOST, '::1', 'spiffe://example.org/db']),
]

export interface SocketOptions {
  security?: SecuritySettings | null
  peerTargetName?: string
}

export interface ServerOptions {
  security?: SecuritySettings | null
  /** Said to every peer that is let in, at once. */
  greeting?: string
}

/** One end of a connection: a stream; a datagram socket with its one peer. */
export interface Endpoint {
  setSecurity(settings?: unknown): Promise<void>
  setPeerTargetName(name?: unknown): Promise<void>
  deletePeerTargetName(): Promise<void>
  querySecurity(): Promise<SecurityInfo>
  impersonatePeer<T>(fn: () => T): T
  readonly secured: Promise<SecurityInfo>
  /** Connects to a port of loopback; fails with what `'error'` gives. Need not be awaited. */
  connect(port: number): Promise<void>
  connectForeign(path: string): Promise<void>
  send(text: string): void
  /** Everything that was delivered so far. */
  readonly heard: string
  /** Resolves when so many characters were delivered. */
  hears(length: number): Promise<string>
  /** The event that tells of a connection in clear has come. */
  readonly insecure: boolean
  /** Closes at once; what was sent may be lost. */
  destroy(): Promise<void>
  /** Closes after all that was sent has left. */
  close(): Promise<void>
  /** Resolves when it is closed, by whomever. */
  closed(): Promise<void>
}

export interface ServerEndpoint {
  setSecurity(settings?: unknown): Promise<void>
  /** Listens on loopback and gives the port; fails with what `'error'` gives. */
  listen(options?: { reusePort?: boolean }): Promise<number>
  /** Listens where nothing can be secured. */
  listenForeign(): Promise<void>
  readonly listening: boolean
  /** The next secured peer. */
  accepted(): Promise<Endpoint>
  /** Why the next peer was not let in. */
  refused(): Promise<Error>
  /** Everything that all of its peers have delivered. */
  readonly heard: string
  /** How often the event told of a peer in clear. */
  readonly insecure: number
  /** Stops listening; resolves when every connection has ended by itself. */
  close(): Promise<void>
}

export interface ForeignPeer {
  readonly path: string
  readonly contacts: number
}

/** What a peer without security does when somebody contacts it. */
export type ClearBehaviour = 'answers' | 'is silent' | 'closes' | Buffer

export interface ClearPeer {
  readonly port: number
  /** How often it was contacted. */
  readonly contacts: number
  /** Everything that it was sent. */
  readonly received: Buffer
  /** Resolves when it was contacted and sent something. */
  contacted(): Promise<void>
  /** Resolves when it has received this text. */
  receives(text: string): Promise<void>
  close(): Promise<void>
}

export interface ClearClient {
  send(bytes: string): void
  readonly heard: string
  hears(length: number): Promise<string>
  closed(): Promise<void>
}

export interface Tap {
  readonly port: number
  readonly contacts: number
  toServer(): Buffer
  toClient(): Buffer
}

/** The answer to a query of a socket's security (Winsock's SOCKET_SECURITY_QUERY_INFO). */
import type { PeerIdentity } from './peer-identity.js'

/** What a socket's security is, now. */
export interface SecurityInfo {
  /** Packets are authenticated and protected from change (SOCKET_INFO_CONNECTION_SECURED). */
  readonly secured: boolean
  /** Packets are encrypted; implies `secured` (SOCKET_INFO_CONNECTION_ENCRYPTED). */
  readonly encrypted: boolean
  /** What secures the packets; `'none'` only where allowInsecure let a connection stay clear, or where Windows says that nothing secures it any more. */
  readonly protocol: 'tls' | 'dtls' | 'ipsec' | 'none'
  /** The negotiated version, e.g. `TLSv1.3`. */
  readonly version?: string
  /** The negotiated cipher suite, by its standard name. */
  readonly cipher?: string
  /** The protocol agreed on by ALPN. */
  readonly alpn?: string
  /** The profile agreed on for SRTP keys (RFC 5764). */
  readonly srtp?: string
  /** At a server of datagrams: the name that the client sent as SNI. */
  readonly servername?: string
  /** The session was resumed; the identity was proved in the handshake that it came from. */
  readonly resumed: boolean
  /** Who the peer is; none where the peer did not have to authenticate itself. */
  readonly peer?: PeerIdentity
  /** IPsec on Windows: what the system says of the security association, where it says it. */
  readonly ipsec?: IpsecSecurityInfo
  /** Datagrams: since when these keys have been in use. */
  readonly since?: Date
  /** Datagrams: when the keys are replaced by new ones, unless so much data goes before that it is earlier. */
  readonly rekeyAfter?: Date
  /** When this security ends at the latest: the end of the peer's certificate; of datagrams, the time for a full handshake where that is earlier. */
  readonly expires?: Date
}

/** What Windows tells about the IPsec of a peer (Winsock's SOCKET_SECURITY_QUERY_INFO_IPSEC2). */
export interface IpsecSecurityInfo {
  /** The peer was impersonated when it was queried (SOCKET_INFO_CONNECTION_IMPERSONATED). */
  readonly impersonated: boolean
  /** The main mode security association's number at this machine, in decimal. */
  readonly mainModeSaId?: string
  /** The quick mode security association's number at this machine, in decimal. */
  readonly quickModeSaId?: string
  /** Why the negotiation failed, a Windows error number (winerror.h); absent where it did not. */
  readonly negotiationError?: number
}

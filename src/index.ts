/** The root of the package: the classes, the error, and what makes identities. The faces have the rest. */

export { type Authority, type AuthorityOptions, createAuthority } from './identity/authority.js'
export { createIdentity, type Identity, type IdentityOptions } from './identity/identity.js'
export type { CertificateErrorCode, OwnErrorCode, SocketSecurityErrorCode } from './model/errors.js'
export { SocketSecurityError } from './model/errors.js'
export type { PeerIdentity, WindowsAccount } from './model/peer-identity.js'
export type { IpsecSecurityInfo, SecurityInfo } from './model/security-info.js'
export type {
  DatagramSecuritySettings,
  IpsecSettings,
  SecuritySettings,
} from './model/settings.js'
export type { EndpointStats, PeerAddress, PeerStats } from './providers/datagram-provider.js'
export { currentPeer } from './sockets/impersonation.js'
export type {
  NamedPeer,
  SecureDgramSocketOptions,
  SecureRemoteInfo,
} from './sockets/secure-dgram-socket.js'
export { SecureDgramSocket } from './sockets/secure-dgram-socket.js'
export type { SecureServerOptions } from './sockets/secure-server.js'
export { SecureServer } from './sockets/secure-server.js'
export type { SecureConnectOptions, SecureSocketOptions } from './sockets/secure-socket.js'
export { SecureSocket } from './sockets/secure-socket.js'
export type { ServerStats, StreamStats } from './sockets/stream-stats.js'

/** `secure-socket/dgram`: shaped like node:dgram, with secured sockets. */
import nodeDgram from 'node:dgram'
import type { SecureRemoteInfo } from './sockets/dgram/endpoint.js'
import { SecureDgramSocket, type SecureDgramSocketOptions } from './sockets/secure-dgram-socket.js'

export * from 'node:dgram'
export type { SecureRemoteInfo } from './sockets/dgram/endpoint.js'
export type {
  NamedPeer,
  SecureDgramSocketEvents,
  SecureDgramSocketOptions,
} from './sockets/secure-dgram-socket.js'
export {
  SecureDgramSocket,
  SecureDgramSocket as Socket,
} from './sockets/secure-dgram-socket.js'

/**
 * Creates a datagram socket whose peers are authenticated and whose datagrams are encrypted: every
 * overload of dgram.createSocket, plus `security`.
 * @throws SocketSecurityError EINVAL, EOPNOTSUPP for settings; node:dgram's own errors
 */
export function createSocket(
  type: SecureDgramSocketOptions | 'udp4' | 'udp6',
  listener?: (message: Buffer, rinfo: SecureRemoteInfo) => void,
): SecureDgramSocket {
  return new SecureDgramSocket(type, listener)
}

interface Face extends Omit<typeof nodeDgram, 'Socket' | 'createSocket'> {
  Socket: typeof SecureDgramSocket
  SecureDgramSocket: typeof SecureDgramSocket
  createSocket: typeof createSocket
}

/** For `import dgram from 'secure-socket/dgram'`, as with node:dgram. */
const face: Face = {
  ...nodeDgram,
  Socket: SecureDgramSocket,
  SecureDgramSocket,
  createSocket,
}
export default face

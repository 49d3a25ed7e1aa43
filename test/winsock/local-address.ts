/** Where a SOCKET is bound: a test looks for itself. */
import { getsockname, WSAEINVAL } from '../../lib/winsock.js'
import { winsockError } from '../../src/providers/winsock/errors.js'
import {
  readSockaddr,
  type SocketAddress,
  sizeofSockaddrStorage,
} from '../../src/providers/winsock/structures/sockaddr.js'

/** Undefined where it is not bound. */
export function localAddress(socket: number): SocketAddress | undefined {
  const address = Buffer.alloc(sizeofSockaddrStorage)
  const error = getsockname(socket, address)
  if (error === WSAEINVAL) return undefined
  if (error !== 0) throw winsockError(error, { syscall: 'getsockname' })
  return readSockaddr(address, 'getsockname')
}

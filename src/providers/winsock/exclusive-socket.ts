/**
 * R9 on Windows: another socket can bind to a port that is in use, if it sets SO_REUSEADDR, and take
 * what comes there. SO_EXCLUSIVEADDRUSE is what prevents it, and Node does not set it.
 */
import type { SocketKind } from '../../model/settings.js'
import { createSocket, useExclusively, type WindowsSocket } from './sockets.js'

/**
 * A SOCKET, unbound, whose port will be its own alone; for whatever provider secures it.
 * @throws SocketSecurityError by errors.ts; ERR_PROVIDER_UNAVAILABLE where no native code can be called
 */
export function exclusiveSocket(kind: SocketKind, family: 4 | 6): WindowsSocket {
  const socket = createSocket(kind, family)
  try {
    useExclusively(socket.descriptor)
  } catch (error) {
    socket.discard()
    throw error
  }
  return socket
}

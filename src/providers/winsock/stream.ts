/**
 * Streams on Windows: SOCKETs with security and the peer's name applied, before a handle of Node's
 * opens them.
 */
import { peerText } from '../../model/peer-text.js'
import type {
  NativeDescriptor,
  NativeListenRequest,
  NativeRequest,
  NativeSocket,
} from '../provider.js'
import { type CallTarget, setPeerTargetName, setSecurity } from './calls.js'
import { streamConnection } from './connection.js'
import { exclusiveSocket } from './exclusive-socket.js'
import { winsockPeerName } from './settings.js'
import { bindSocket, createSocket, type WindowsSocket } from './sockets.js'

/** A SOCKET that may connect to one peer. */
export async function openStream(request: NativeRequest): Promise<NativeSocket> {
  const { address, port, family, localAddress, localPort } = request
  const { settings, targetName, targetNameSet } = request
  const name = winsockPeerName(targetName, targetNameSet, settings)
  const peer = peerText(address, port)
  return await made(createSocket('stream', family), async socket => {
    const target = unadopted(socket, request, peer)
    await setSecurity(target, settings)
    if (name !== null) await setPeerTargetName(target, { family, address, port }, name)
    if (localAddress !== undefined || localPort !== undefined)
      bindSocket(socket, { address: localAddress, port: localPort })
    const { descriptor, discard, adopted } = socket
    return {
      descriptor,
      discard,
      adopted,
      ...streamConnection({
        find: () => ({ socket: descriptor, alive: socket.alive }),
        settings,
        peer,
        ...(name === null ? {} : { targetName }),
      }),
    }
  })
}

/** A SOCKET to listen on. */
export async function openListener(request: NativeListenRequest): Promise<NativeDescriptor> {
  const { family, settings } = request
  // WSASetSocketSecurity makes the port exclusive too, says its documentation (R9).
  return await made(exclusiveSocket('stream', family), async socket => {
    await setSecurity(unadopted(socket, request), settings)
    return socket
  })
}

/** Discards the SOCKET where it cannot be made ready, or nobody waits for it any more. */
async function made<T>(
  socket: WindowsSocket,
  prepare: (socket: WindowsSocket) => Promise<T>,
): Promise<T> {
  try {
    return await prepare(socket)
  } catch (error) {
    socket.discard()
    throw error
  }
}

/** Before a handle of Node's has it. */
function unadopted(
  socket: WindowsSocket,
  { settings, signal }: Pick<NativeListenRequest, 'settings' | 'signal'>,
  peer?: string,
): CallTarget {
  return {
    socket: socket.descriptor,
    adopted: socket.isAdopted,
    alive: () => socket.alive(),
    timeout: settings.handshakeTimeout,
    signal,
    peer,
  }
}

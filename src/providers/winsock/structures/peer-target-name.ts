/**
 * SOCKET_PEER_TARGET_NAME (144 bytes and its string): what WSASetSocketPeerTargetName takes.
 */
import { room } from './room.js'
import { type SocketAddress, sizeofSockaddrStorage, writeSockaddr } from './sockaddr.js'

const syscall = 'WSASetSocketPeerTargetName'

/** Without the string: the structure ends with 4 bytes that it begins in. */
const sizeofPeerTargetName = 144
const offsetOfName = 140

export interface PeerTargetNameStructure {
  /** SOCKET_SECURITY_PROTOCOL_… */
  readonly protocol: number
  readonly peer: SocketAddress
  readonly name: string
  /** What PeerTargetNameStringLen counts. Default: bytes. */
  readonly lengthIn?: 'bytes' | 'characters'
}

/** Bytes that the structure takes with its string, and at least one NUL behind it. */
export function sizeofPeerTargetNameWith(name: string): number {
  return sizeofPeerTargetName + Buffer.byteLength(name, 'utf16le')
}

/**
 * Writes it to the beginning of a buffer.
 * @returns its bytes
 * @throws SocketSecurityError EMSGSIZE (R5), EINVAL for what is no address
 */
export function writePeerTargetName(into: Buffer, structure: PeerTargetNameStructure): number {
  const { protocol, peer, name, lengthIn = 'bytes' } = structure
  const size = sizeofPeerTargetNameWith(name)
  const bytes = room(into, size, 'SOCKET_PEER_TARGET_NAME', syscall).fill(0)
  bytes.writeUInt32LE(protocol, 0)
  writeSockaddr(bytes.subarray(8, 8 + sizeofSockaddrStorage), peer, syscall)
  const nameBytes = bytes.write(name, offsetOfName, 'utf16le')
  bytes.writeUInt32LE(lengthIn === 'bytes' ? nameBytes : name.length, 136)
  return size
}

/** What another program on Windows can do to a port that is in use. */
import * as winsock from '../../lib/winsock.js'

/** winsock2.h */
const SO_REUSEADDR = 4
const SO_TYPE = 0x1008

/** Handles of Windows are multiples of 4, and a process of tests has not very many. */
const LAST_HANDLE = 0x4000

/** Can somebody who asks to share it (SO_REUSEADDR) have a port of loopback? Under Wine never. */
export function takesPort(kind: 'stream' | 'datagram', port: number): boolean {
  const type = kind === 'stream' ? winsock.SOCK_STREAM : winsock.SOCK_DGRAM
  const socket = winsock.WSASocketW(winsock.AF_INET, type, 0, winsock.WSA_FLAG_OVERLAPPED)
  try {
    if (winsock.setsockopt(socket, winsock.SOL_SOCKET, SO_REUSEADDR, 1) !== 0)
      throw new Error('no socket that shares')
    const address = Buffer.alloc(16)
    address.writeUInt16LE(winsock.AF_INET, 0)
    address.writeUInt16BE(port, 2)
    address.set([127, 0, 0, 1], 4)
    return winsock.bind(socket, address) === 0
  } finally {
    winsock.closesocket(socket)
  }
}

/** Is SO_EXCLUSIVEADDRUSE set for this process's socket that is bound to the port? */
export function isExclusive(kind: 'stream' | 'datagram', port: number): boolean {
  const type = kind === 'stream' ? winsock.SOCK_STREAM : winsock.SOCK_DGRAM
  const address = Buffer.alloc(28)
  for (let socket = 4; socket < LAST_HANDLE; socket += 4) {
    if (winsock.getsockopt(socket, winsock.SOL_SOCKET, SO_TYPE) !== type) continue
    if (winsock.getsockname(socket, address) !== 0 || address.readUInt16BE(2) !== port) continue
    return winsock.getsockopt(socket, winsock.SOL_SOCKET, winsock.SO_EXCLUSIVEADDRUSE) !== 0
  }
  throw new Error(`no socket of this process is bound to ${port}`)
}

/**
 * SOCKADDR_IN (16 bytes), SOCKADDR_IN6 (28 bytes) and SOCKADDR_STORAGE (128 bytes, for either):
 * ws2def.h, ws2ipdef.h. Ports and addresses have their big end first, everything else the little one.
 */
import { isIP } from 'node:net'
import { AF_INET, AF_INET6 } from '../../../../lib/winsock.js'
import { SocketSecurityError, show } from '../../../model/errors.js'
import { room } from './room.js'

const sizeofSockaddrIn = 16
const sizeofSockaddrIn6 = 28
export const sizeofSockaddrStorage = 128

/** An address on a socket of that family; an IPv4 address on one of IPv6 is written as ::ffff:a.b.c.d. */
export interface SocketAddress {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
}

/**
 * A SOCKADDR_IN or SOCKADDR_IN6, as bind() takes it.
 * @throws SocketSecurityError EINVAL for what is no address of that family
 */
export function sockaddr(address: SocketAddress, syscall: string): Buffer {
  const size = address.family === 4 ? sizeofSockaddrIn : sizeofSockaddrIn6
  const bytes = Buffer.alloc(size)
  writeSockaddr(bytes, address, syscall)
  return bytes
}

/**
 * Writes it to the beginning of a buffer, and zeros behind it up to the end of a SOCKADDR_STORAGE
 * where the buffer has room for one.
 * @returns bytes of the SOCKADDR itself
 * @throws SocketSecurityError EMSGSIZE (R5), EINVAL
 */
export function writeSockaddr(
  into: Buffer,
  { family, address, port }: SocketAddress,
  syscall: string,
): number {
  const size = family === 4 ? sizeofSockaddrIn : sizeofSockaddrIn6
  room(into, size, family === 4 ? 'SOCKADDR_IN' : 'SOCKADDR_IN6', syscall)
  into.subarray(0, sizeofSockaddrStorage).fill(0)
  into.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0)
  into.writeUInt16BE(port, 2)
  if (family === 4) {
    if (isIP(address) !== 4) throw refused(address, 'an IPv4 address', syscall)
    ipv4Bytes(address).copy(into, 4)
    return size
  }
  const at = address.indexOf('%')
  const bare = at === -1 ? address : address.slice(0, at)
  const scope = at === -1 ? undefined : address.slice(at + 1)
  const version = isIP(bare)
  if (version === 0) throw refused(address, 'an address', syscall)
  if (version === 4 && scope !== undefined) throw refused(address, 'an address', syscall)
  ipv6Bytes(version === 4 ? `::ffff:${bare}` : bare).copy(into, 8)
  if (scope !== undefined) into.writeUInt32LE(scopeNumber(address, scope, syscall), 24)
  return size
}

/**
 * Reads what Windows has filled in; undefined for a family that is neither.
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function readSockaddr(from: Buffer, syscall: string): SocketAddress | undefined {
  const family = room(from, 2, 'a SOCKADDR', syscall).readUInt16LE(0)
  if (family === AF_INET) {
    const bytes = room(from, sizeofSockaddrIn, 'SOCKADDR_IN', syscall)
    return { family: 4, address: bytes.subarray(4, 8).join('.'), port: bytes.readUInt16BE(2) }
  }
  if (family !== AF_INET6) return undefined
  const bytes = room(from, sizeofSockaddrIn6, 'SOCKADDR_IN6', syscall)
  const scope = bytes.readUInt32LE(24)
  const address = `${ipv6Text(bytes.subarray(8, 24))}${scope === 0 ? '' : `%${scope}`}`
  return { family: 6, address, port: bytes.readUInt16BE(2) }
}

function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}

/** By the URL parser, which knows every way of writing an IPv6 address. */
function ipv6Bytes(address: string): Buffer {
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const [head = '', tail] = text.split('::')
  const groups = (part: string) => (part === '' ? [] : part.split(':'))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  const bytes = Buffer.alloc(16)
  for (const [index, group] of [...before, ...zeros, ...after].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2)
  return bytes
}

/** As the system writes it: shortened, and an IPv4 address in ::ffff:0:0/96 with dots. */
function ipv6Text(bytes: Buffer): string {
  const mapped = bytes.readUIntBE(0, 6) === 0 && bytes.readUIntBE(6, 6) === 0xffff
  if (mapped) return `::ffff:${bytes.subarray(12).join('.')}`
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map(at => bytes.readUInt16BE(at).toString(16))
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1)
}

/** Windows writes the scope of a link-local address as the number of the interface. */
function scopeNumber(address: string, scope: string, syscall: string): number {
  const number = /^\d{1,10}$/.test(scope) ? Number(scope) : Number.NaN
  if (number <= 0xffffffff) return number
  throw refused(address, 'an address whose scope is the number of an interface', syscall)
}

function refused(address: string, wanted: string, syscall: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `the address ${show(address)} cannot be used here: give ${wanted}`,
    { syscall },
  )
}

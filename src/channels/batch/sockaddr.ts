/**
 * struct sockaddr_in (16 bytes) and sockaddr_in6 (28 bytes), as netinet/in.h has them: words of 32
 * bits in the machine's own order, so that they are copied and compared four bytes at a time. Needs
 * an arena, thus never at import.
 */
import {
  AF_INET,
  AF_INET6,
  if_indextoname,
  if_nametoindex,
  inet_ntop,
  inet_pton,
} from '../../../lib/linux-sockets.js'
import { type Arena, createArena } from '../../../lib/memory.js'
import type { PeerAddress } from '../../providers/datagram-provider.js'

const sizeofSockaddrIn = 16
const sizeofSockaddrIn6 = 28
/** Room for either, in words. */
export const SOCKADDR_WORDS = 8

/** Bytes of the sockaddr of a socket of that family. */
export function sockaddrBytes(family: 4 | 6): number {
  return family === 4 ? sizeofSockaddrIn : sizeofSockaddrIn6
}

/**
 * Where a socket of that family sends to: SOCKADDR_WORDS words. An IPv4 address on one of IPv6 is
 * written as ::ffff:a.b.c.d. Undefined for what is no address there.
 */
export function sockaddr(family: 4 | 6, address: string, port: number): Uint32Array | undefined {
  const words = new Uint32Array(SOCKADDR_WORDS)
  const bytes = Buffer.from(words.buffer)
  bytes.writeUInt16BE(port, 2)
  const arena = scratch()
  if (family === 4) {
    new Uint16Array(words.buffer)[0] = AF_INET
    if (!inet_pton(AF_INET, address, arena.address)) return undefined
    arena.bytes.copy(bytes, 4, 0, 4)
    return words
  }
  new Uint16Array(words.buffer)[0] = AF_INET6
  const [bare = '', zone] = splitZone(address)
  const text = bare.includes(':') ? bare : `::ffff:${bare}`
  if (!inet_pton(AF_INET6, text, arena.address)) return undefined
  arena.bytes.copy(bytes, 8, 0, 16)
  if (zone !== undefined) words[6] = scopeNumber(zone)
  return words
}

function splitZone(address: string): [bare: string, zone?: string] {
  const at = address.indexOf('%')
  return at === -1 ? [address] : [address.slice(0, at), address.slice(at + 1)]
}

/** A zone is the name of an interface, or its number (RFC 4007, section 11.2). */
function scopeNumber(zone: string): number {
  return if_nametoindex(zone) || (/^\d{1,9}$/.test(zone) ? Number(zone) : 0)
}

/**
 * Where a datagram comes from, as node:dgram writes it; the same object for the same source, while
 * it is remembered.
 * @param words memory that the system has filled in: a sockaddr stands at words[at]
 */
export function sourceAt(words: Uint32Array, at: number): PeerAddress {
  sources ??= new Sources()
  return sources.at(words, at)
}

let sources: Sources | undefined

/** How many sources are remembered; anybody can make up more of them, who displace each other only. */
const rememberedSources = 8192

/**
 * The last sources, in pairs of places: one that is not there displaces the older one of its pair.
 * Of bounded size whoever sends, and without a key to be made for each datagram.
 */
class Sources {
  readonly #words = new Uint32Array(rememberedSources * SOCKADDR_WORDS)
  readonly #addresses: (PeerAddress | undefined)[] = new Array(rememberedSources).fill(undefined)

  at(words: Uint32Array, at: number): PeerAddress {
    const first = pairOf(words, at)
    let found = this.#addresses[first]
    if (found !== undefined && this.#stands(first, words, at)) return found
    found = this.#addresses[first + 1]
    if (found !== undefined && this.#stands(first + 1, words, at)) return found
    return this.#remember(first, words, at)
  }

  #stands(place: number, words: Uint32Array, at: number): boolean {
    const mine = this.#words
    const start = place * SOCKADDR_WORDS
    const length = wordsOf(words, at)
    for (let index = 0; index < length; index += 1) {
      if (mine[start + index] !== words[at + index]) return false
    }
    return true
  }

  #remember(place: number, words: Uint32Array, at: number): PeerAddress {
    const source = readSource(words, at)
    // The interface of that number may get another name.
    if (source.address.includes('%')) return source
    const start = place * SOCKADDR_WORDS
    this.#words.copyWithin(start + SOCKADDR_WORDS, start, start + SOCKADDR_WORDS)
    this.#addresses[place + 1] = this.#addresses[place]
    const length = wordsOf(words, at)
    for (let index = 0; index < SOCKADDR_WORDS; index += 1) {
      this.#words[start + index] = index < length ? (words[at + index] as number) : 0
    }
    this.#addresses[place] = source
    return source
  }
}

/** What tells sources apart: not the padding of IPv4, which nobody promises to be zero. */
function wordsOf(words: Uint32Array, at: number): number {
  return isIpv4(words, at) ? 2 : 7
}

function isIpv4(words: Uint32Array, at: number): boolean {
  return ((words[at] as number) & 0xffff) === AF_INET
}

/** The first place of the pair where that source would stand. Every bit counts: ports are alike. */
function pairOf(words: Uint32Array, at: number): number {
  let hash = mixed((words[at] as number) ^ Math.imul(words[at + 1] as number, 0x9e3779b1))
  if (!isIpv4(words, at)) {
    for (let index = 2; index < 7; index += 1) hash = mixed(hash ^ (words[at + index] as number))
  }
  return (hash & (rememberedSources / 2 - 1)) * 2
}

/** Spreads each bit over all of them: xor and multiply, twice. */
function mixed(bits: number): number {
  const once = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35)
  return twice ^ (twice >>> 16)
}

/** IFNAMSIZ and INET6_ADDRSTRLEN are shorter. */
const textBytes = 64

/** The address and port that stand at words[at], as node:dgram writes them. */
export function readSource(words: Uint32Array, at: number): PeerAddress {
  const bytes = Buffer.from(words.buffer, words.byteOffset + at * 4, sizeofSockaddrIn6)
  const port = bytes.readUInt16BE(2)
  if (isIpv4(words, at)) {
    return { address: `${bytes[4]}.${bytes[5]}.${bytes[6]}.${bytes[7]}`, port }
  }
  const arena = scratch()
  bytes.copy(arena.bytes, 0, 8, 24)
  inet_ntop(AF_INET6, arena.address, arena.address + 16, textBytes)
  const address = textIn(arena.bytes)
  const scope = words[at + 6] as number
  const isLinkLocal = bytes[8] === 0xfe && ((bytes[9] as number) & 0xc0) === 0x80
  return { address: isLinkLocal && scope !== 0 ? `${address}%${zoneOf(scope)}` : address, port }
}

function zoneOf(scope: number): string {
  const arena = scratch()
  return if_indextoname(scope, arena.address + 16) ? textIn(arena.bytes) : `${scope}`
}

function textIn(bytes: Buffer): string {
  return bytes.toString('latin1', 16, bytes.indexOf(0, 16))
}

let made: Arena | undefined

/** For the calls of the C library: 16 bytes of an address, then a text. */
function scratch(): Arena {
  made ??= createArena(16 + textBytes)
  return made
}

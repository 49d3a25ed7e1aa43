/** Which addresses stand for one other host, which for many, and which for the socket itself. */
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { domainToASCII } from 'node:url'
import { canonicalAddress } from '../../model/target-name.js'
import type { AddressOfSocket } from './internals.js'

/** What the text of an address says, whatever else changes. */
interface Look {
  readonly family: 0 | 4 | 6
  /** One text for one address, without the zone. */
  readonly plain: string
  readonly standsForMany: boolean
}

const noAddress: Look = { family: 0, plain: '', standsForMany: false }
/** Of the addresses that were looked at last: a socket sends to the same ones again and again. */
const looks = new Map<string, Look>()
const LOOKS_LIMIT = 4096

function lookAt(address: string): Look {
  return looks.get(address) ?? lookAnew(address)
}

function lookAnew(address: string): Look {
  const family = isIP(address) as 0 | 4 | 6
  if (family === 0) return noAddress
  const bare = withoutZone(address)
  const standsForMany = manyHosts.check(bare, family === 6 ? 'ipv6' : 'ipv4')
  const look = { family, plain: canonicalAddress(bare), standsForMany }
  if (looks.size >= LOOKS_LIMIT) looks.clear()
  looks.set(address, look)
  return look
}

/** As isIP(). */
export function familyOf(host: string): 0 | 4 | 6 {
  return lookAt(host).family
}

const manyHosts = new BlockList()
manyHosts.addSubnet('224.0.0.0', 4, 'ipv4')
manyHosts.addAddress('255.255.255.255', 'ipv4')
manyHosts.addSubnet('ff00::', 8, 'ipv6')

/** One text for one host, by name or by address. DNS knows no case, and a dot at the end changes nothing. */
export function hostKey(host: string): string {
  if (isIP(host) !== 0) return addressKey(host)
  return (domainToASCII(host) || host.toLowerCase()).replace(/\.$/, '')
}

/** One text for one peer; port 0 for all ports of the host. */
export function nameKey(host: string, port: number): string {
  return `${hostKey(host)} ${port}`
}

/** Is it a multicast address, or the limited broadcast address? IPv4-mapped ones count as IPv4. */
export function standsForMany(address: string): boolean {
  return lookAt(address).standsForMany
}

/** The unspecified address stands for loopback where it is sent to (as Linux has it). */
export function destination(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '::1'
  return address
}

/** Is it an address of the socket that is bound to `own`? */
export function isOwnAddress(own: AddressOfSocket, address: string, port: number): boolean {
  if (port !== own.port) return false
  const bound = lookAt(own.address).plain
  const asked = lookAt(address).plain
  if (bound === asked) return true
  if (bound === '::' || bound === '0.0.0.0') return isLocal(asked)
  return false
}

const REFRESH_MS = 1000
let local = new Set<string>()
let asOf = Number.NEGATIVE_INFINITY

/** Is it an address of this host? What the system says is kept for a second: asking is slow. */
function isLocal(address: string): boolean {
  if (address.startsWith('127.') || address === '::1') return true
  const now = performance.now()
  if (now - asOf > REFRESH_MS) {
    asOf = now
    const interfaces = Object.values(networkInterfaces()).flatMap(each => each ?? [])
    local = new Set(interfaces.map(each => lookAt(each.address).plain))
  }
  return local.has(address)
}

/** One text for one address; the zone is kept, since the same address on another link is another host. */
function addressKey(address: string): string {
  const bare = withoutZone(address)
  return canonicalAddress(bare) + address.slice(bare.length)
}

export function sameAddress(one: string, other: string): boolean {
  return one === other || addressKey(one) === addressKey(other)
}

function withoutZone(address: string): string {
  const zone = address.indexOf('%')
  return zone === -1 ? address : address.slice(0, zone)
}

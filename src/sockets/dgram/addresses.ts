/** Which addresses stand for one other host, which for many, and which for the socket itself. */
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { domainToASCII } from 'node:url'
import { canonicalAddress } from '../../model/target-name.js'
import type { AddressOfSocket } from './internals.js'

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
  if (isIP(address) === 4) return Number.parseInt(address, 10) >= 224 && manyHosts.check(address)
  return manyHosts.check(withoutZone(address), 'ipv6')
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
  const [bound, asked] = [plain(own.address), plain(address)]
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
    local = new Set(interfaces.map(each => plain(each.address)))
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

/** One text for one address, without the zone. */
function plain(address: string): string {
  return canonicalAddress(withoutZone(address))
}

function withoutZone(address: string): string {
  const zone = address.indexOf('%')
  return zone === -1 ? address : address.slice(0, zone)
}

/** Ranges of addresses, as a policy writes them: `10.0.0.0/8`, `fd00::/8`, or one address. */
import { isIP } from 'node:net'
import { ipv6Bytes } from '../ipv6-bytes.js'
import { canonicalAddress } from '../target-name.js'

/** Addresses that agree in their first bits. */
export interface AddressRange {
  /** 4 bytes, or 16. */
  readonly bytes: readonly number[]
  readonly bits: number
}

/**
 * Undefined for what is no range. One whose address has bits beyond its length (`10.1.2.3/8`) is none
 * either: what was meant is not certain, and a wider range than was meant leaves more in clear.
 */
export function parseAddressRange(text: string): AddressRange | undefined {
  const match = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text)
  const bytes = match && addressBytes(match[1] as string)
  if (!bytes) return undefined
  // An IPv4 address in the form of an IPv6 one is four bytes: its length counts from there.
  const mapped = isIP(match[1] as string) === 6 && bytes.length === 4 ? 96 : 0
  const bits = match[2] === undefined ? bytes.length * 8 : Number(match[2]) - mapped
  if (bits < 0 || bits > bytes.length * 8) return undefined
  const rest = bytes.some((byte, index) => (byte & ~maskOf(bits, index)) !== 0)
  return rest ? undefined : { bytes, bits }
}

/** An IPv4-mapped IPv6 address is the IPv4 address; of a link-local one the link does not count. */
export function includes({ bytes, bits }: AddressRange, address: string): boolean {
  const other = addressBytes(address.replace(/%.*$/, ''))
  if (other === undefined || other.length !== bytes.length) return false
  return bytes.every((byte, index) => byte === ((other[index] as number) & maskOf(bits, index)))
}

/** Which bits of the byte at that place belong to the range. */
function maskOf(bits: number, index: number): number {
  const own = Math.min(8, Math.max(0, bits - index * 8))
  return (0xff << (8 - own)) & 0xff
}

function addressBytes(address: string): number[] | undefined {
  if (isIP(address) === 0) return undefined
  const text = canonicalAddress(address)
  return text.includes(':') ? ipv6Bytes(text) : text.split('.').map(Number)
}

/** Where nothing leaves the machine. */
export const loopback: readonly AddressRange[] = ['127.0.0.0/8', '::1/128'].map(
  text => parseAddressRange(text) as AddressRange,
)

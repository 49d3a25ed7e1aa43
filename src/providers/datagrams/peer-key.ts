/**
 * One key for one peer, however its address is written. An IPv4-mapped IPv6 address is the IPv4
 * address; the scope of a link-local one is kept, since the same address on another link is another
 * host.
 */
import { isIP } from 'node:net'
import { ipv6Bytes } from '../../model/ipv6-bytes.js'

export interface CanonicalAddress {
  /** Equal for equal hosts, different for different ones. */
  readonly text: string
  /** As the system writes it, and takes it for sending. */
  readonly spelling: string
  /** 4 or 16 bytes, and the scope in ASCII where there is one. */
  readonly bytes: Buffer
}

/** Undefined for what is no address. */
export function canonicalAddress(address: string): CanonicalAddress | undefined {
  switch (isIP(address)) {
    case 4:
      return { text: address, spelling: address, bytes: ipv4Bytes(address) }
    case 6:
      return canonicalIpv6(address)
    default:
      return undefined
  }
}

function canonicalIpv6(address: string): CanonicalAddress {
  const [bare = '', ...zone] = address.split('%')
  const scope = zone.length === 0 ? '' : `%${zone.join('%')}`
  const text = new URL(`http://[${bare}]/`).hostname.slice(1, -1)
  const bytes = Buffer.from(ipv6Bytes(text))
  if (isMapped(bytes)) {
    const mapped = bytes.subarray(12)
    return { text: mapped.join('.'), spelling: `::ffff:${mapped.join('.')}`, bytes: mapped }
  }
  return {
    text: text + scope,
    spelling: text + scope,
    bytes: scope === '' ? bytes : Buffer.concat([bytes, Buffer.from(scope, 'latin1')]),
  }
}

/** Digit by digit: a flood of strangers asks for this, too. */
function ipv4Bytes(text: string): Buffer {
  // Not from Node's pool, whose 8 KiB it would keep.
  const bytes = Buffer.alloc(4)
  let at = 0
  for (let index = 0; index < text.length; index++) {
    const digit = text.charCodeAt(index) - 0x30
    // A dot is below the digits.
    if (digit < 0) at += 1
    else bytes[at] = (bytes[at] as number) * 10 + digit
  }
  return bytes
}

/** ::ffff:0:0/96 (RFC 4291, section 2.5.5.2) */
function isMapped(bytes: Buffer): boolean {
  return bytes.readUIntBE(0, 6) === 0 && bytes.readUIntBE(6, 6) === 0xffff
}

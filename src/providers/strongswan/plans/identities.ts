/**
 * Identities of IKE, in the text that strongSwan reads them from and prints them as.
 *
 * It gives a text a type by how it looks, and some texts stand for anybody: `%any`, a wildcard, an
 * address of zeros, a subnet. Who must prove such an "identity" proves nothing, so only those pass
 * that name one peer.
 */
import { isIP } from 'node:net'
import { SocketSecurityError, show } from '../../../model/errors.js'
import type { ParsedSettings } from '../../../model/settings.js'
import { canonicalAddress, type TargetName } from '../../../model/target-name.js'

/** Bytes that strongSwan reads of an identity, and of one that a pre-shared key belongs to. */
const MAX_IDENTITY_BYTES = 511
export const MAX_PSK_IDENTITY_BYTES = 255

const forms =
  'a host name, an address, user@example.com, a distinguished name such as "C=CH, CN=db", or one of the prefixes fqdn:, email: and keyid:'

/**
 * The identity that a peer of this name must prove.
 * @throws SocketSecurityError EINVAL for a name that IKE cannot prove
 */
export function ikeIdentity(name: TargetName, settings: Pick<ParsedSettings, 'ipsec'>): string {
  const { rawPeerName = false } = settings.ipsec ?? {}
  if (rawPeerName !== (name.kind === 'raw')) {
    throw refused(
      name.text,
      rawPeerName
        ? 'with ipsec.rawPeerName a name must be set, and set after the settings'
        : 'it was set in raw format; set the settings with ipsec.rawPeerName before it',
    )
  }
  switch (name.kind) {
    case 'dns':
      return `fqdn:${name.host}`
    case 'ip':
      return address(name.address, name.text)
    case 'spn':
      return isIP(name.host) === 0 ? `fqdn:${name.host}` : address(name.host, name.text)
    case 'raw':
      return identityOf(name.text, why => refused(name.text, why))
    case 'uri':
      throw refused(
        name.text,
        'IKE has no identities that are URIs; give the host name or the address that the peer has in its certificate too',
      )
    case 'pin':
      throw refused(
        name.text,
        'strongSwan compares public keys as a whole, not their digests; give the name in the certificate, and an authority of your own as security.ca',
      )
  }
}

/**
 * The identity that strongSwan makes of a text, in one form for all the ways to write it.
 * @param error makes the error of why it names no single peer
 */
export function identityOf(text: string, error: (why: string) => Error): string {
  const reason = objection(text)
  if (reason !== undefined) throw error(reason)
  const [, prefix, rest = ''] = prefixed(text)
  switch (prefix?.toLowerCase()) {
    case 'fqdn':
    case 'dns':
      return `fqdn:${lowerCase(rest)}`
    case 'email':
    case 'rfc822':
    case 'userfqdn':
      return `email:${lowerCase(rest)}`
    case 'keyid':
      return `keyid:${rest}`
  }
  if (isIP(text) !== 0) return canonicalAddress(text)
  if (text.includes('=')) return text
  if (text.startsWith('@#')) return `keyid:${text.slice(1)}`
  if (text.startsWith('@@')) return `email:${lowerCase(text.slice(2))}`
  if (text.startsWith('@')) return `fqdn:${lowerCase(text.slice(1))}`
  return `${text.includes('@') ? 'email' : 'fqdn'}:${lowerCase(text)}`
}

/** An IPv6 address has colons and no prefix. */
function prefixed(text: string): readonly [string?, string?, string?] {
  const [all, prefix, rest] = /^([a-z0-9]+):(.*)$/is.exec(text) ?? []
  return isIP(text) === 0 ? [all, prefix, rest] : []
}

/** It could hide a wildcard. */
const inHexadecimal = 'it cannot be read in hexadecimal; write its text'

/** How this text would name nobody, anybody or somebody else; undefined where it names one peer. */
function objection(text: string): string | undefined {
  if (Buffer.byteLength(text) > MAX_IDENTITY_BYTES)
    return `it is longer than ${MAX_IDENTITY_BYTES} bytes`
  // strongSwan takes other text for none at all.
  if (!/^[\x20-\x7e]*$/.test(text)) return 'it has other characters than those of ASCII'
  if (text !== text.trim()) return 'it begins or ends with a space'
  if (text.includes('*') || text.startsWith('%')) return `it stands for anybody; give ${forms}`
  if (text.startsWith('{')) return `types have no numbers here; give ${forms}`
  const [, prefix, rest = ''] = prefixed(text)
  if (prefix !== undefined) return objectionToTyped(prefix.toLowerCase(), rest)
  if (/^@?@?$/.test(text) || text === '@#') return 'it is empty'
  // What is left of it would follow a prefix, and be read so.
  if (/^(@@)?#/.test(text) && !text.includes('=')) return inHexadecimal
  if (text.startsWith('@#')) return isHex(text.slice(2)) ? undefined : 'after "@#" stand hex digits'
  if (text.includes('=') || text.includes('@')) return undefined
  if (isIP(text) !== 0) {
    if (text.includes('%')) return 'an address has no zone here'
    return isUnspecified(text) ? `it stands for anybody; give ${forms}` : undefined
  }
  // What looks like a subnet or a range is one.
  if (/^[\d.]+[/-]/.test(text) || text.includes(':')) return `it is no address; give ${forms}`
  return undefined
}

function objectionToTyped(prefix: string, rest: string): string | undefined {
  if (rest === '' || rest === '#') return 'it is empty'
  switch (prefix) {
    case 'keyid':
      if (rest.startsWith('#') && !isHex(rest.slice(1))) return 'after "keyid:#" stand hex digits'
      return undefined
    case 'fqdn':
    case 'dns':
    case 'email':
    case 'rfc822':
    case 'userfqdn':
      return rest.startsWith('#') ? inHexadecimal : undefined
    default:
      return `the prefix ${show(prefix)} cannot be used here; give ${forms}`
  }
}

function isHex(text: string): boolean {
  return /^[\da-f]{2}(:?[\da-f]{2})*$/i.test(text)
}

function isUnspecified(text: string): boolean {
  const canonical = canonicalAddress(text)
  return canonical === '0.0.0.0' || canonical === '::'
}

function address(text: string, shown: string): string {
  if (isUnspecified(text)) throw refused(shown, 'it is the address of nobody')
  return text
}

/**
 * Does what strongSwan prints name somebody? A peer may call itself `*` or `%any`, which every
 * certificate "has"; and what cannot be printed reads `?`.
 */
export function isIdentity(printed: string): boolean {
  return printed !== '' && !/[*?]/.test(printed) && !/^[%(]/.test(printed)
}

/**
 * Is what strongSwan prints the identity that was asked for? Its text says nothing of its type, so
 * where the daemon itself was told whom to demand, that is the better proof.
 * @param wanted as ikeIdentity() and identityOf() give it
 */
export function provesIdentity(printed: string, wanted: string): boolean {
  if (!isIdentity(printed)) return false
  if (isIP(wanted) !== 0) return isIP(printed) !== 0 && canonicalAddress(printed) === wanted
  if (wanted.startsWith('keyid:#')) return sameBytes(printed, wanted.slice('keyid:#'.length))
  if (wanted.startsWith('keyid:')) return printed === wanted.slice('keyid:'.length)
  if (/^(fqdn|email):/.test(wanted))
    return lowerCase(printed) === wanted.slice(wanted.indexOf(':') + 1)
  return sameName(printed, wanted)
}

/** Of ASCII only, as strongSwan compares: no letter of another alphabet becomes one of this. */
function lowerCase(text: string): string {
  return text.replace(/[A-Z]/g, each => each.toLowerCase())
}

/** Bytes that are text are printed as such, others in hexadecimal. */
function sameBytes(printed: string, hex: string): boolean {
  const bytes = Buffer.from(hex.replaceAll(':', ''), 'hex')
  const asHex = bytes.toString('hex').replace(/..(?!$)/g, '$&:')
  return printed.toLowerCase() === asHex || printed === bytes.toString('latin1')
}

/** The same parts in the same order; strongSwan prints them with ", " between. */
function sameName(printed: string, wanted: string): boolean {
  const [one, other] = [printed, wanted].map(nameParts)
  return one !== undefined && other !== undefined && one.join('\0') === other.join('\0')
}

function nameParts(name: string): string[] {
  const separator = name.startsWith('/') ? '/' : ','
  const parts = name.replace(/^\//, '').split(separator)
  return parts.map(each => {
    const at = each.indexOf('=')
    // A part of a value with a separator in it: it counts as it is.
    if (at === -1) return each.trim()
    return `${lowerCase(each.slice(0, at).trim())}=${each.slice(at + 1).trim()}`
  })
}

function refused(name: string, why: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `the peer target name ${show(name)} cannot be used: ${why}`,
    { syscall: 'WSASetSocketPeerTargetName' },
  )
}

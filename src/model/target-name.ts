/**
 * Target names: whom a peer must prove to be.
 *
 * Parsed once into a value object (parse, don't validate); what cannot be parsed is EINVAL.
 *
 * - `service/host[:port][/servicename]`, a service principal name, and a plain host name check the
 *   certificate's DNS names; where the host is an address, its IP names
 * - an IP address checks the IP names
 * - a URI (`spiffe://trust-domain/path`, `urn:…`) checks the URI names, exactly
 * - `sha256/` and 44 base64 characters pins the public key (SHA-256 of the SubjectPublicKeyInfo,
 *   as in RFC 7469, section 2.4): for peers without a certificate authority
 *
 * With `ipsec: {rawPeerName: true}` a name is none of these: it goes to the system as it is written.
 */
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { SocketSecurityError, show } from './errors.js'

interface Named {
  /** The canonical form: lower case host, no trailing dot, punycode. */
  readonly text: string
}

/** A service principal name; `host` is a DNS name or an IP address without brackets. */
export interface ServicePrincipalName extends Named {
  readonly kind: 'spn'
  readonly service: string
  readonly host: string
  readonly port?: number
  readonly serviceName?: string
}
/** A DNS name. */
export interface DnsName extends Named {
  readonly kind: 'dns'
  readonly host: string
}
/** An IPv4 or IPv6 address. */
export interface AddressName extends Named {
  readonly kind: 'ip'
  readonly address: string
}
/** A URI, compared exactly. */
export interface UriName extends Named {
  readonly kind: 'uri'
  readonly uri: string
}
/** A public key's digest. */
export interface PublicKeyPin extends Named {
  readonly kind: 'pin'
  /** base64 of the SHA-256 of the SubjectPublicKeyInfo */
  readonly digest: string
}

/** What only the operating system understands (Winsock's PEER_NAME_IS_RAW_FORMAT). */
export interface RawName extends Named {
  readonly kind: 'raw'
}

/** A parsed target name. */
export type TargetName =
  | ServicePrincipalName
  | DnsName
  | AddressName
  | UriName
  | PublicKeyPin
  | RawName

const forms =
  'a host name, an IP address, service/host[:port][/servicename], a URI such as spiffe://domain/path, or sha256/ and 44 base64 characters'

/**
 * Parses a target name.
 * @throws SocketSecurityError EFAULT where there is none, EINVAL where it cannot be parsed
 */
export function parseTargetName(text: unknown): TargetName {
  const name = parse(text)
  return Object.freeze(name)
}

/**
 * Parses a target name for a socket with these settings.
 * @param settings those that the socket has by now; they say whether a name is raw
 * @throws SocketSecurityError EFAULT where there is none, EINVAL where it cannot be parsed
 */
export function parseTargetNameFor(
  settings: { readonly ipsec?: { readonly rawPeerName: boolean } } | null | undefined,
  text: unknown,
): TargetName {
  return settings?.ipsec?.rawPeerName ? Object.freeze(parseRaw(text)) : parseTargetName(text)
}

/**
 * The target name of a peer that was given none: the host that the application named. A host may
 * come from anywhere, so it is never a pin or a URI.
 * @throws SocketSecurityError EINVAL
 */
export function parseHostTargetName(host: string): DnsName | AddressName {
  const name = parseTargetName(host)
  if (name.kind === 'dns' || name.kind === 'ip') return name
  throw new SocketSecurityError(
    'EINVAL',
    `host is ${show(host)}: give a host name or an address; other names belong in peerTargetName`,
  )
}

function parse(given: unknown): TargetName {
  const text = nameText(given)
  // \p{C}: control and format characters, lone surrogates; invisible in a message and in a log.
  if (/[\s\p{C}]/u.test(text)) throw refused(text, 'it contains white space or control characters')
  if (text.startsWith('sha256/')) return parsePin(text)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) || /^urn:/i.test(text)) return parseUri(text)
  if (text.includes('/')) return parseSpn(text)
  return parseHost(text, text)
}

/** A distinguished name has spaces, and its case is the authority's: only what no text may contain is refused. */
function parseRaw(given: unknown): RawName {
  const text = nameText(given)
  if (/[\p{Cc}\p{Cs}]/u.test(text)) throw refused(text, 'it contains control characters')
  return { kind: 'raw', text }
}

function nameText(text: unknown): string {
  if (text === undefined || text === null || text === '') {
    throw new SocketSecurityError('EFAULT', `a peer target name is required: give ${forms}`, {
      syscall,
    })
  }
  if (typeof text !== 'string') throw refused(text, 'it must be a string')
  if (text.length > 2048) throw refused(text, 'it is longer than 2048 characters')
  return text
}

function parsePin(text: string): PublicKeyPin {
  const digest = text.slice('sha256/'.length)
  // 32 bytes are 43 characters and one '='; the last character carries 4 bits, so re-encode to be exact.
  if (digest.length !== 44 || Buffer.from(digest, 'base64').toString('base64') !== digest) {
    throw refused(text, 'a pin is sha256/ and the 44 base64 characters of a SHA-256 digest')
  }
  return { kind: 'pin', digest, text }
}

function parseUri(text: string): UriName {
  // Compared exactly with the certificate's URI names: nothing is normalised.
  if (!/^[\x21-\x7e]+$/.test(text))
    throw refused(text, 'a URI has ASCII characters only; percent-encode the others')
  const rest = text.slice(text.indexOf(':') + 1)
  if (rest === '' || rest === '//') throw refused(text, 'nothing follows the scheme')
  return { kind: 'uri', uri: text, text }
}

function parseSpn(text: string): ServicePrincipalName {
  const match = /^([^/]+)\/(\[[^\]/]*\]|[^/:]+)(?::(\d{1,5}))?(?:\/([^/]+))?$/.exec(text)
  if (!match) throw refused(text, 'a service principal name is service/host[:port][/servicename]')
  const [, service = '', hostText = '', portText, serviceName] = match
  if (!/^[\w.-]+$/.test(service))
    throw refused(
      text,
      `its service class ${show(service)} has other characters than letters, digits, "-", "_" and "."`,
    )
  const bare = hostText.startsWith('[') ? hostText.slice(1, -1) : hostText
  if (hostText.startsWith('[') && isIP(bare) !== 6)
    throw refused(text, 'what stands in brackets is no IPv6 address')
  const name = parseHost(bare, text)
  const host = name.kind === 'ip' ? name.address : name.host
  const port = portText === undefined ? undefined : Number(portText)
  if (port !== undefined && (port < 1 || port > 65535))
    throw refused(text, 'its port is not between 1 and 65535')
  const shownHost = host.includes(':') ? `[${host}]` : host
  const shownPort = port === undefined ? '' : `:${port}`
  const shownName = serviceName === undefined ? '' : `/${serviceName}`
  return {
    kind: 'spn',
    service,
    host,
    ...(port === undefined ? {} : { port }),
    ...(serviceName === undefined ? {} : { serviceName }),
    text: `${service}/${shownHost}${shownPort}${shownName}`,
  }
}

function parseHost(host: string, whole: string): DnsName | AddressName {
  if (isIP(host) !== 0) {
    // A certificate's IP names have no zone.
    const address = canonicalAddress(host.replace(/%.*$/, ''))
    return { kind: 'ip', address, text: address }
  }
  if (host.includes(':')) throw refused(whole, 'a port stands only in the form service/host:port')
  // A wildcard is what a certificate may contain, never what a peer is called.
  if (host.includes('*')) throw refused(whole, 'a wildcard is no name of a peer')
  // domainToASCII would cut at "?" and "#", and decode "%".
  if (/[^\w.\u0080-\u{10ffff}-]/u.test(host)) throw refused(whole, `give ${forms}`)
  const ascii = domainToASCII(host.endsWith('.') ? host.slice(0, -1) : host)
  const labels = ascii.split('.')
  const label = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/
  if (ascii === '' || ascii.length > 253 || !labels.every(each => label.test(each))) {
    throw refused(whole, `give ${forms}`)
  }
  // "10.0.0" or "300.1.1.1": a mistyped address must not become a name that some certificate has.
  if (/^\d+$/.test(labels.at(-1) ?? ''))
    throw refused(whole, 'it looks like an IP address and is none')
  return { kind: 'dns', host: ascii, text: ascii }
}

/** One text for one address: ::1 and 0:0:0:0:0:0:0:1 are the same, and IPv4-mapped ones are IPv4 (RFC 4291, section 2.5.5.2). */
export function canonicalAddress(address: string): string {
  if (isIP(address) !== 6) return address
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text)
  if (!mapped) return text
  const halves = [mapped[1], mapped[2]].map(each => Number.parseInt(each ?? '', 16))
  return halves.flatMap(each => [each >> 8, each & 0xff]).join('.')
}

const syscall = 'WSASetSocketPeerTargetName'

function refused(value: unknown, why: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `the peer target name ${show(value)} cannot be used: ${why}`,
    { syscall },
  )
}

/**
 * Security settings: what an application asks of a socket (Winsock's SOCKET_SECURITY_SETTINGS).
 *
 * They are parsed once into an immutable value. The same contents give the same value, so a
 * provider can keep what it derives from them (a context, a session cache) beside it.
 */
import { invalid, kindOf, SocketSecurityError } from './errors.js'
import { fingerprintOf } from './fingerprint.js'
import { defaultPolicy } from './policy.js'
import { type AcceptedPsk, type OwnPsk, type ParsedPsk, presharedKeys } from './preshared-keys.js'
import {
  boolean,
  bytes,
  type Check,
  deepCopy,
  milliseconds,
  oneOf,
  oneOrMore,
  pem,
  plainObject,
  protocols,
  text,
  withPassphrase,
} from './setting-values.js'

export type { AcceptedPsk, OwnPsk } from './preshared-keys.js'

/** PEM, as text or as a Buffer of it; PKCS#12 where `pfx` is asked for. */
export type Pem = string | NodeJS.ArrayBufferView
/** A private key, with its passphrase where it has one of its own. */
export type PrivateKey = Pem | { readonly pem: Pem; readonly passphrase?: string }
/** A PKCS#12 archive, with its passphrase where it has one of its own. */
export type Pfx = Pem | { readonly buf: Pem; readonly passphrase?: string }
/** Settings as a user writes them. Every key is optional; what is absent comes from the policy. */
export interface SecuritySettings {
  /** What secures the packets. `'default'` keeps the application neutral. Default: `'default'`. */
  readonly protocol?: 'default' | 'tls' | 'ipsec'
  /** No packet is sent unless it is encrypted. Default: true. */
  readonly guaranteeEncryption?: boolean
  /** Dangerous: lets a connection stay clear where the peer speaks no TLS. Needs `guaranteeEncryption: false`. Default: false. */
  readonly allowInsecure?: boolean
  /** Our certificate chain, leaf first. */
  readonly cert?: Pem | readonly Pem[]
  /** The private key of `cert`. */
  readonly key?: PrivateKey | readonly PrivateKey[]
  /** Certificate and key as PKCS#12, instead of `cert` and `key`. */
  readonly pfx?: Pfx | readonly Pfx[]
  /** The passphrase of `key` or `pfx`. */
  readonly passphrase?: string
  /** Whom we trust. Absent: what node:tls trusts by default. */
  readonly ca?: Pem | readonly Pem[]
  /** Certificate revocation lists; where given, a chain without a list that covers it is refused. */
  readonly crl?: Pem | readonly Pem[]
  /**
   * Cipher suites in OpenSSL's notation. A list without suites of TLS 1.3 leaves those at their
   * default, as in node:tls; add `maxVersion: 'TLSv1.2'` to have only what is listed.
   */
  readonly ciphers?: string
  /** The lowest version that is accepted: `'TLSv1.2'` (default) or `'TLSv1.3'`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** The highest version that is offered. */
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Signature algorithms, colon-separated, in OpenSSL's notation. */
  readonly sigalgs?: string
  /** Groups for the key exchange, colon-separated. */
  readonly ecdhCurve?: string
  /** The name sent as SNI, where it is not the host of the target name. */
  readonly servername?: string
  /** Application protocols, most wanted first (RFC 7301). */
  readonly alpn?: readonly string[]
  /** Pre-shared keys: `{identity, key}` is our own, any other object or a function is what we accept, an array gives both. */
  readonly psk?:
    | OwnPsk
    | AcceptedPsk
    | readonly [OwnPsk, AcceptedPsk]
    | readonly [AcceptedPsk, OwnPsk]
  /** Server: a hint that helps the client to choose its key (TLS 1.2). */
  readonly pskIdentityHint?: string
  /** Server: ask clients for a certificate. Default: false. */
  readonly requestCert?: boolean
  /** Server: refuse clients whose certificate is missing or not trusted. Default: true. */
  readonly rejectUnauthorized?: boolean
  /** Milliseconds that a handshake may take. Default: 60000. */
  readonly handshakeTimeout?: number
  /** Server: 48 bytes that encrypt session tickets; the same in several processes lets clients resume at any of them. */
  readonly ticketKeys?: NodeJS.ArrayBufferView
  /** Dangerous: emit `'keylog'` with the secrets of every connection. Default: false. */
  readonly keylog?: boolean
  /** Allow other sockets on the same port (reusePort, cluster). Default: false. */
  readonly sharePort?: boolean
  /** IPsec's own settings; only with `protocol: 'ipsec'`. */
  readonly ipsec?: Readonly<Record<string, unknown>>
}

/** Settings after parsing: complete, checked, copied and frozen. */
export interface ParsedSettings
  extends Omit<SecuritySettings, 'protocol' | 'psk' | Completed>,
    Required<Pick<SecuritySettings, Completed>>,
    ParsedPsk {
  readonly protocol: 'tls' | 'ipsec'
  /** A digest of the contents: equal for equal settings, different for different ones. */
  readonly fingerprint: string
}

/** What the policy fills in where the application sets nothing. */
type Completed =
  | 'guaranteeEncryption'
  | 'allowInsecure'
  | 'minVersion'
  | 'alpn'
  | 'requestCert'
  | 'rejectUnauthorized'
  | 'handshakeTimeout'
  | 'keylog'
  | 'sharePort'

/** One line a setting: how its value is checked and copied. */
const checks: Record<keyof SecuritySettings, Check> = {
  protocol: oneOf('default', 'tls', 'ipsec'),
  guaranteeEncryption: boolean,
  allowInsecure: boolean,
  cert: oneOrMore(pem),
  key: oneOrMore(withPassphrase('pem')),
  pfx: oneOrMore(withPassphrase('buf')),
  passphrase: text,
  ca: oneOrMore(pem),
  crl: oneOrMore(pem),
  ciphers: text,
  minVersion: oneOf('TLSv1.2', 'TLSv1.3'),
  maxVersion: oneOf('TLSv1.2', 'TLSv1.3'),
  sigalgs: text,
  ecdhCurve: text,
  servername: text,
  alpn: protocols,
  psk: presharedKeys,
  pskIdentityHint: text,
  requestCert: boolean,
  rejectUnauthorized: boolean,
  handshakeTimeout: milliseconds,
  ticketKeys: bytes(48),
  keylog: boolean,
  sharePort: boolean,
  ipsec: (key, value) => deepCopy(`security.${key}`, plainObject(key, value)),
}

/** Keys that are named otherwise elsewhere, or belong elsewhere: what was meant. */
const meant = new Map(
  Object.entries({
    ALPNProtocols: 'did you mean alpn?',
    ALPNCallback: 'did you mean alpn?',
    pskCallback: 'did you mean psk?',
    pskIdentity: 'did you mean psk: {identity, key}?',
    sessionTimeout: 'sessions are resumed for 2 h; it cannot be set',
    session: 'sessions are resumed by themselves',
    checkServerIdentity: 'set peerTargetName instead: it says whom the peer must prove to be',
    secureContext: 'give cert, key and ca themselves; the context made of them is shared',
    secureProtocol: 'did you mean minVersion?',
    host: 'it belongs to the options of connect(), beside security',
    port: 'it belongs to the options of connect(), beside security',
    peerTargetName: 'it belongs beside security, not inside',
    mtu: 'it is for datagram sockets',
    maxSessions: 'it is for datagram sockets',
    maxSessionsPerHost: 'it is for datagram sockets',
    resumeAfter: 'it is for datagram sockets',
    srtp: 'it is for datagram sockets',
  }),
)

/** Equal contents, one value. Bounded, so that a program that makes settings for ever does not grow. */
const known = new Map<string, ParsedSettings>()
const knownLimit = 256

/**
 * Parses settings; null or absent means the default policy (R1).
 * @throws SocketSecurityError EINVAL naming the key and the value
 */
export function parseSettings(settings?: SecuritySettings | null): ParsedSettings {
  if (settings === undefined || settings === null) settings = {}
  if (!isSettings(settings)) {
    throw new SocketSecurityError(
      'EINVAL',
      `security is ${kindOf(settings)}: give an object of settings, or null for the default policy${isThenable(settings) ? '; did you forget to await it?' : ''}`,
      { syscall },
    )
  }
  // Without a prototype, here and below: what somebody puts on Object.prototype is no setting.
  const checked: Record<string, unknown> = Object.create(null)
  for (const [key, value] of Object.entries(settings)) {
    if (!Object.hasOwn(checks, key)) throw unknownKey(key, value)
    if (value === undefined) continue
    checked[key] = checks[key as keyof SecuritySettings](key, value)
  }
  const fingerprint = fingerprintOf(checked)
  const found = known.get(fingerprint)
  if (found) {
    known.delete(fingerprint)
    known.set(fingerprint, found)
    return found
  }
  const parsed = complete(checked as SecuritySettings, fingerprint)
  known.set(fingerprint, parsed)
  if (known.size > knownLimit) known.delete(known.keys().next().value as string)
  return parsed
}

/** Fills in the policy and checks what concerns several keys at once. */
function complete(settings: SecuritySettings, fingerprint: string): ParsedSettings {
  const { psk, protocol = 'default', ...rest } = settings
  if (settings.ipsec !== undefined && protocol !== 'ipsec') {
    throw invalid('security.protocol', protocol, "security.ipsec needs protocol: 'ipsec'", syscall) // R11
  }
  const guaranteeEncryption = settings.guaranteeEncryption ?? defaultPolicy.guaranteeEncryption
  const allowInsecure = settings.allowInsecure ?? defaultPolicy.allowInsecure
  const requestCert = settings.requestCert ?? defaultPolicy.requestCert
  const rejectUnauthorized = settings.rejectUnauthorized ?? defaultPolicy.rejectUnauthorized
  if (allowInsecure && guaranteeEncryption) {
    throw invalid(
      'security.allowInsecure',
      true,
      'it needs an explicit guaranteeEncryption: false',
      syscall,
    ) // R15
  }
  if (allowInsecure && protocol === 'ipsec') {
    throw new SocketSecurityError('EOPNOTSUPP', 'security.allowInsecure is for tls streams only', {
      syscall,
    })
  }
  if (allowInsecure && requestCert && rejectUnauthorized) {
    throw invalid(
      'security.allowInsecure',
      true,
      'a server that requires client certificates accepts no clear connection',
      syscall,
    )
  }
  if ((settings.cert === undefined) !== (settings.key === undefined)) {
    const [given, missing] = settings.key === undefined ? ['cert', 'key'] : ['key', 'cert']
    throw new SocketSecurityError(
      'EINVAL',
      `security.${given} is given without security.${missing}: give both`,
      { syscall },
    )
  }
  const minVersion = settings.minVersion ?? defaultPolicy.minVersion
  if (settings.maxVersion !== undefined && settings.maxVersion < minVersion) {
    throw invalid(
      'security.maxVersion',
      settings.maxVersion,
      `it is below minVersion ${minVersion}`,
      syscall,
    )
  }
  const parsed: ParsedSettings = {
    ...rest,
    ...(psk as ParsedPsk | undefined),
    protocol: protocol === 'default' ? defaultPolicy.protocol : protocol,
    guaranteeEncryption,
    allowInsecure,
    minVersion,
    alpn: settings.alpn ?? Object.freeze([]),
    requestCert,
    rejectUnauthorized,
    handshakeTimeout: settings.handshakeTimeout ?? defaultPolicy.handshakeTimeout,
    keylog: settings.keylog ?? false,
    sharePort: settings.sharePort ?? false,
    fingerprint,
  }
  return Object.freeze(Object.assign(Object.create(null), parsed))
}

function unknownKey(key: string, value: unknown): Error {
  const lower = key.toLowerCase()
  const near = Object.keys(checks).find(each => each.toLowerCase() === lower)
  const known = Object.keys(checks).join(', ')
  const hint = meant.get(key) ?? (near ? `did you mean ${near}?` : `the settings are ${known}`)
  // A misspelt key may hold a secret: the kind of its value says enough.
  return new SocketSecurityError(
    'EINVAL',
    `security.${key} (${kindOf(value)}) is no setting here: ${hint}`,
    { syscall },
  )
}

/** A program that forgot an await, or took something else for settings, has not asked for the default. */
function isSettings(value: unknown): value is SecuritySettings {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (isThenable(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Object.keys(value).length > 0
}

function isThenable(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null)?.then === 'function'
}

const syscall = 'WSASetSocketSecurity'

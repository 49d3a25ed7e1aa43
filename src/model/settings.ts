/**
 * Security settings: what an application asks of a socket (Winsock's SOCKET_SECURITY_SETTINGS).
 *
 * They are parsed once into an immutable value. The same contents give the same value, so a
 * provider can keep what it derives from them (a context, a session cache) beside it.
 */
import { createHash } from 'node:crypto'
import { invalid, kindOf, SocketSecurityError, show } from './errors.js'
import { defaultPolicy } from './policy.js'

/** PEM or DER, as node:tls takes it. */
export type Pem = string | NodeJS.ArrayBufferView
/** A private key, with its passphrase where it has one of its own. */
export type PrivateKey = Pem | { readonly pem: Pem; readonly passphrase?: string }
/** A PKCS#12 archive, with its passphrase where it has one of its own. */
export type Pfx = Pem | { readonly buf: Pem; readonly passphrase?: string }
/** Our own pre-shared key: exactly these two. */
export interface OwnPsk {
  readonly identity: string
  readonly key: NodeJS.ArrayBufferView
}
/** The pre-shared keys that we accept: by identity, or a function that looks them up. */
export type AcceptedPsk =
  | Readonly<Record<string, NodeJS.ArrayBufferView>>
  | ((identity: string) => NodeJS.ArrayBufferView | null | undefined)

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
export interface ParsedSettings {
  readonly protocol: 'tls' | 'ipsec'
  readonly guaranteeEncryption: boolean
  readonly allowInsecure: boolean
  readonly cert?: Pem | readonly Pem[]
  readonly key?: PrivateKey | readonly PrivateKey[]
  readonly pfx?: Pfx | readonly Pfx[]
  readonly passphrase?: string
  readonly ca?: Pem | readonly Pem[]
  readonly crl?: Pem | readonly Pem[]
  readonly ciphers?: string
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3'
  readonly sigalgs?: string
  readonly ecdhCurve?: string
  readonly servername?: string
  readonly alpn: readonly string[]
  readonly ownPsk?: OwnPsk
  readonly acceptedPsk?: AcceptedPsk
  readonly pskIdentityHint?: string
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  /** milliseconds */
  readonly handshakeTimeout: number
  readonly ticketKeys?: NodeJS.ArrayBufferView
  readonly keylog: boolean
  readonly sharePort: boolean
  readonly ipsec?: Readonly<Record<string, unknown>>
  /** A digest of the contents: equal for equal settings, different for different ones. */
  readonly fingerprint: string
}

type Check = (key: string, value: unknown) => unknown

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
  const checked: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(settings)) {
    if (!Object.hasOwn(checks, key)) throw unknownKey(key)
    if (value === undefined) continue
    checked[key] = checks[key as keyof SecuritySettings](key, value)
  }
  const fingerprint = digest(checked)
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
  return Object.freeze({
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
  })
}

function unknownKey(key: string): Error {
  const lower = key.toLowerCase()
  const near = Object.keys(checks).find(each => each.toLowerCase() === lower)
  const known = Object.keys(checks).join(', ')
  const hint = meant.get(key) ?? (near ? `did you mean ${near}?` : `the settings are ${known}`)
  // Not its value: a misspelt key may hold a secret.
  return new SocketSecurityError('EINVAL', `security.${key} is no setting here: ${hint}`, {
    syscall,
  })
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

interface ParsedPsk {
  readonly ownPsk?: OwnPsk
  readonly acceptedPsk?: AcceptedPsk
}

function presharedKeys(key: string, value: unknown): ParsedPsk {
  const given: unknown[] = Array.isArray(value) ? value : [value]
  const own = given.filter(isOwnPsk)
  const accepted = given.filter(each => !isOwnPsk(each))
  if (given.length === 0 || own.length > 1 || accepted.length > 1) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.${key} is ${kindOf(value)}: give our own {identity, key}, what we accept, or an array of the two`,
      { syscall },
    )
  }
  return {
    ...(own.length === 0 ? {} : { ownPsk: ownPsk(own[0] as OwnPsk) }),
    ...(accepted.length === 0 ? {} : { acceptedPsk: acceptedPsk(key, accepted[0]) }),
  }
}

function isOwnPsk(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.keys(value).sort().join() === 'identity,key'
}

function ownPsk({ identity, key }: OwnPsk): OwnPsk {
  if (typeof identity !== 'string' || identity === '')
    throw invalid('security.psk.identity', identity, 'give a string', syscall)
  return Object.freeze({ identity, key: pskKey('security.psk.key', key) })
}

function acceptedPsk(key: string, value: unknown): AcceptedPsk {
  if (typeof value === 'function') return value as AcceptedPsk
  plainObject(key, value)
  const entries = Object.entries(value as object).map(([identity, key]) => [
    identity,
    pskKey(`security.psk[${show(identity)}]`, key),
  ])
  if (entries.length === 0)
    throw invalid('security.psk', value, 'give at least one identity and key', syscall)
  // Without a prototype: an identity such as "constructor" finds nothing.
  return Object.freeze(
    Object.assign(Object.create(null), Object.fromEntries(entries)),
  ) as AcceptedPsk
}

function pskKey(where: string, key: unknown): Buffer {
  // The key itself is never shown.
  if (!isView(key) || key.byteLength === 0) {
    throw new SocketSecurityError(
      'EINVAL',
      `${where} must be a Buffer or typed array of at least one byte`,
      { syscall },
    )
  }
  return copy(key)
}

// What follows: the checks of single values. Each returns a copy that nobody else can change.

function boolean(key: string, value: unknown): unknown {
  if (typeof value !== 'boolean')
    throw invalid(`security.${key}`, value, 'give true or false', syscall)
  return value
}

function text(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || value === '')
    throw invalid(
      `security.${key}`,
      key === 'passphrase' ? undefined : value,
      'give a string',
      syscall,
    )
  return value
}

function milliseconds(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || !(value > 0) || value > 0x7fffffff) {
    throw invalid(`security.${key}`, value, 'give a positive number of milliseconds', syscall)
  }
  return value
}

function oneOf(...allowed: string[]): Check {
  return (key, value) => {
    if (!allowed.includes(value as string))
      throw invalid(`security.${key}`, value, `give one of ${allowed.join(', ')}`, syscall)
    return value
  }
}

function bytes(length: number): Check {
  return (key, value) => {
    if (!isView(value) || value.byteLength !== length) {
      throw new SocketSecurityError(
        'EINVAL',
        `security.${key} is ${kindOf(value)}: give a Buffer of exactly ${length} bytes`,
        { syscall },
      )
    }
    return copy(value)
  }
}

function oneOrMore(check: Check): Check {
  return (key, value) => {
    if (!Array.isArray(value)) return check(key, value)
    return Object.freeze(value.map(each => check(key, each)))
  }
}

function pem(key: string, value: unknown): unknown {
  if (typeof value === 'string' && value !== '') return value
  if (isView(value) && value.byteLength > 0) return copy(value)
  // A private key that was put into the wrong place must not be printed.
  throw invalid(
    `security.${key}`,
    typeof value === 'string' ? 'an empty string' : value,
    'give PEM text or a Buffer, or an array of them',
    syscall,
  )
}

function withPassphrase(field: 'pem' | 'buf'): Check {
  return (key, value) => {
    if (typeof value !== 'object' || value === null || isView(value)) return pem(key, value)
    const { [field]: content, passphrase, ...others } = value as Record<string, unknown>
    const [other] = Object.keys(others)
    if (other !== undefined)
      throw invalid(
        `security.${key}`,
        value,
        `${other} is not known there; give {${field}, passphrase}`,
        syscall,
      )
    return Object.freeze({
      [field]: pem(`${key}.${field}`, content),
      ...(passphrase === undefined ? {} : { passphrase: text('passphrase', passphrase) }),
    })
  }
}

function protocols(key: string, value: unknown): unknown {
  const valid = (each: unknown) =>
    typeof each === 'string' && each.length > 0 && Buffer.byteLength(each) <= 255
  if (!Array.isArray(value) || !value.every(valid)) {
    throw invalid(
      `security.${key}`,
      value,
      'give an array of protocol names of 1 to 255 bytes',
      syscall,
    )
  }
  return Object.freeze([...value])
}

function plainObject(key: string, value: unknown): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isView(value)) {
    throw new SocketSecurityError('EINVAL', `security.${key} is ${kindOf(value)}: give an object`, {
      syscall,
    })
  }
  return { ...value }
}

/** A frozen copy of plain data, of bounded depth. */
function deepCopy(where: string, value: unknown, depth = 0): unknown {
  if (depth > 8)
    throw new SocketSecurityError('EINVAL', `${where} is nested too deeply`, { syscall })
  if (isView(value)) return copy(value)
  if (Array.isArray(value)) {
    return Object.freeze(value.map((each, i) => deepCopy(`${where}[${i}]`, each, depth + 1)))
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    return Object.freeze(
      Object.fromEntries(
        entries.map(([key, each]) => [key, deepCopy(`${where}.${key}`, each, depth + 1)]),
      ),
    )
  }
  return value
}

function isView(value: unknown): value is NodeJS.ArrayBufferView {
  return ArrayBuffer.isView(value)
}

function copy(view: NodeJS.ArrayBufferView): Buffer {
  return Buffer.from(Buffer.from(view.buffer, view.byteOffset, view.byteLength))
}

/** A digest in which every value is framed by its kind and length, so that no two contents collide. */
function digest(settings: Record<string, unknown>): string {
  const hash = createHash('sha256')
  const add = (value: unknown): void => {
    if (isView(value)) {
      hash.update(`b${value.byteLength}:`).update(value)
    } else if (Array.isArray(value)) {
      hash.update(`a${value.length}:`)
      value.forEach(add)
    } else if (typeof value === 'object' && value !== null) {
      const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
      hash.update(`o${entries.length}:`)
      for (const [key, each] of entries) {
        add(key)
        add(each)
      }
    } else {
      const shown =
        typeof value === 'function'
          ? `f${functionNumber(value)}`
          : `${typeof value}${String(value)}`
      hash.update(`${Buffer.byteLength(shown)}:${shown}`)
    }
  }
  add(settings)
  return hash.digest('base64')
}

const functionNumbers = new WeakMap<object, number>()
let functionCount = 0

function functionNumber(value: object): number {
  const known = functionNumbers.get(value)
  if (known !== undefined) return known
  functionCount += 1
  functionNumbers.set(value, functionCount)
  return functionCount
}

const syscall = 'WSASetSocketSecurity'

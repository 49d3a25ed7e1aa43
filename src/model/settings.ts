/**
 * Security settings: what an application asks of a socket (Winsock's SOCKET_SECURITY_SETTINGS).
 *
 * They are parsed once into an immutable value. The same contents give the same value, so a
 * provider can keep what it derives from them (a context, a session cache) beside it.
 */

import { defaultDatagramPolicy, defaultDatagramSettings, defaultPolicy } from './defaults.js'
import { invalid, kindOf, SocketSecurityError } from './errors.js'
import { fingerprintOf } from './fingerprint.js'
import {
  defaultIpsecSettings,
  type IpsecSettings,
  type ParsedIpsecSettings,
  parseIpsecSettings,
} from './ipsec-settings.js'
import { type AcceptedPsk, type OwnPsk, type ParsedPsk, presharedKeys } from './preshared-keys.js'
import {
  boolean,
  type Check,
  keylogFile,
  milliseconds,
  oneOf,
  oneOrMore,
  pem,
  profiles,
  protocols,
  text,
  wholeNumber,
  withPassphrase,
} from './setting-values.js'
import { type TicketKeySource, type TicketKeys, ticketKeys } from './ticket-keys.js'

export type { IpsecSettings, ParsedIpsecSettings, Password } from './ipsec-settings.js'
export type { AcceptedPsk, OwnPsk } from './preshared-keys.js'

/** PEM, as text or as a Buffer of it; PKCS#12 where `pfx` is asked for. */
export type Pem = string | NodeJS.ArrayBufferView
/** A private key, with its passphrase where it has one of its own. */
export type PrivateKey = Pem | { readonly pem: Pem; readonly passphrase?: string }
/** A PKCS#12 archive, with its passphrase where it has one of its own. */
export type Pfx = Pem | { readonly buf: Pem; readonly passphrase?: string }
/** A `file:` URL in the place of a credential: what is in the file, and what comes into it later. */
export type CredentialFileUrl = URL
type OrFile<T> = T | CredentialFileUrl
type PrivateKeyOrFile =
  | OrFile<Pem>
  | { readonly pem: OrFile<Pem>; readonly passphrase?: OrFile<string> }
type PfxOrFile = OrFile<Pem> | { readonly buf: OrFile<Pem>; readonly passphrase?: OrFile<string> }
type OwnPskOrFile = OwnPsk<OrFile<NodeJS.ArrayBufferView>>
type AcceptedPskOrFile = AcceptedPsk<OrFile<NodeJS.ArrayBufferView>>
/** What kind of socket is secured: they share most settings, and each has some of its own. */
export type SocketKind = 'stream' | 'datagram'
/** A version of TLS, for streams. */
export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'
/** A version of DTLS, for datagrams. OpenSSL 3 has no DTLS 1.3. */
export type DtlsVersion = 'DTLSv1.2' | 'DTLSv1.3'

/** Settings of a stream as a user writes them. Every key is optional; what is absent comes from the policy. */
export interface SecuritySettings {
  /** What secures the packets. `'default'` keeps the application neutral. Default: `'default'`. */
  readonly protocol?: 'default' | 'tls' | 'ipsec'
  /** No packet is sent unless it is encrypted. Default: true. */
  readonly guaranteeEncryption?: boolean
  /** Dangerous: lets a connection stay clear where the peer speaks no TLS. Needs `guaranteeEncryption: false`. Default: false. */
  readonly allowInsecure?: boolean
  /** Our certificate chain, leaf first. */
  readonly cert?: OrFile<Pem> | readonly OrFile<Pem>[]
  /** The private key of `cert`. */
  readonly key?: PrivateKeyOrFile | readonly PrivateKeyOrFile[]
  /** Certificate and key as PKCS#12, instead of `cert` and `key`. */
  readonly pfx?: PfxOrFile | readonly PfxOrFile[]
  /** The passphrase of `key` or `pfx`; of a file its text, without a line end at its end. */
  readonly passphrase?: OrFile<string>
  /** Whom we trust. Absent: what node:tls trusts by default. */
  readonly ca?: OrFile<Pem> | readonly OrFile<Pem>[]
  /** Certificate revocation lists; where given, a chain without a list that covers it is refused. */
  readonly crl?: OrFile<Pem> | readonly OrFile<Pem>[]
  /**
   * Cipher suites in OpenSSL's notation. A list without suites of TLS 1.3 leaves those at their
   * default, as in node:tls; add `maxVersion: 'TLSv1.2'` to have only what is listed.
   */
  readonly ciphers?: string
  /** The lowest version that is accepted: `'TLSv1.2'` (default) or `'TLSv1.3'`. */
  readonly minVersion?: TlsVersion
  /** The highest version that is offered. */
  readonly maxVersion?: TlsVersion
  /** Signature algorithms, colon-separated, in OpenSSL's notation. */
  readonly sigalgs?: string
  /** Groups for the key exchange, colon-separated. */
  readonly ecdhCurve?: string
  /** The name sent as SNI, where it is not the host of the target name. */
  readonly servername?: string
  /** Application protocols, most wanted first (RFC 7301). */
  readonly alpn?: readonly string[]
  /**
   * Pre-shared keys: `{identity, key}` is our own, any other object or a function is what we accept, an
   * array gives both. In a file, a key is written in hexadecimal.
   */
  readonly psk?:
    | OwnPskOrFile
    | AcceptedPskOrFile
    | readonly [OwnPskOrFile, AcceptedPskOrFile]
    | readonly [AcceptedPskOrFile, OwnPskOrFile]
  /** Server: a hint that helps the client to choose its key (TLS 1.2). */
  readonly pskIdentityHint?: string
  /** Server: ask clients for a certificate. Default: false. */
  readonly requestCert?: boolean
  /** Server: refuse clients whose certificate is missing or not trusted. Default: true. */
  readonly rejectUnauthorized?: boolean
  /** Milliseconds that a handshake may take. Default: 60000. */
  readonly handshakeTimeout?: number
  /**
   * Server: 48 bytes that encrypt session tickets; the same in several processes lets clients resume
   * at any of them. A list: the first is the current key, the others still open what they have
   * encrypted. A function: asked for either while the server runs, so that keys rotate.
   */
  readonly ticketKeys?: OrFile<TicketKeys> | readonly OrFile<NodeJS.ArrayBufferView>[]
  /**
   * Dangerous: emit `'keylog'` with the secrets of every connection. A path or a `file:` URL: append
   * them to that file as well, which nobody else may read. Default: false.
   */
  readonly keylog?: boolean | string | URL
  /** Allow other sockets on the same port (reusePort, cluster). Default: false. */
  readonly sharePort?: boolean
  /** IPsec's own settings; only with `protocol: 'ipsec'`. */
  readonly ipsec?: IpsecSettings
}

/**
 * Settings of a datagram socket: those of a stream, but for the versions and `allowInsecure` (always
 * EOPNOTSUPP), and its own. `requestCert` and `rejectUnauthorized` are true by default, in the role
 * of a server as well: peers authenticate each other.
 */
export interface DatagramSecuritySettings
  extends Omit<SecuritySettings, 'minVersion' | 'maxVersion' | 'allowInsecure'>,
    Partial<DatagramSettings> {
  /** Datagrams are never sent in clear: anything but false is EOPNOTSUPP. */
  readonly allowInsecure?: false
  /** The lowest version that is accepted. Default: `'DTLSv1.2'`. */
  readonly minVersion?: DtlsVersion
  /** The highest version that is offered. */
  readonly maxVersion?: DtlsVersion
}

/** Settings of either kind of socket, as a user writes them. */
export type AnySettings = SecuritySettings | DatagramSecuritySettings

/** What only datagram sockets have. */
export interface DatagramSettings {
  /** Bytes of a UDP datagram of a handshake, at most: 256 to 65535. Messages are not split. Default: 1200. */
  readonly mtu: number
  /** Peers at one time, with those whose handshake is under way. Default: 10000. */
  readonly maxSessions: number
  /** The same, of one address. Default: 1000. */
  readonly maxSessionsPerHost: number
  /** Profiles of SRTP keys to agree on, most wanted first (RFC 5764). Default: none. */
  readonly srtp: readonly string[]
  /** Milliseconds without anything from a peer, after which the next message to it waits for a new handshake; 0: never. Default: 60000. */
  readonly resumeAfter: number
  /** Milliseconds after which the keys of a peer are replaced. Default: 3600000 (1 h). */
  readonly rekeyAfter: number
  /** Bytes of plaintext in one direction, after which they are replaced. Default: 55e9. */
  readonly rekeyAfterBytes: number
  /** Milliseconds after which a peer proves its identity anew instead of resuming. Default: 7200000 (2 h). */
  readonly fullHandshakeAfter: number
  /** Milliseconds in which nothing came from a peer and nothing was sent to it, after which it is let go. Default: 300000 (5 min). */
  readonly idleTimeout: number
  /** Messages to one peer that wait for its handshake; more fail with ENOBUFS. Default: 64. */
  readonly maxQueuedDatagrams: number
  /** Bytes of such messages. Default: 262144. */
  readonly maxQueuedBytes: number
}

/** Settings after parsing: complete, checked, copied and frozen. Those of the other kind of socket have their defaults. */
export interface ParsedSettings
  extends Omit<
      SecuritySettings,
      'protocol' | 'psk' | 'maxVersion' | 'ipsec' | Completed | keyof Credentials
    >,
    Credentials,
    Omit<Required<Pick<SecuritySettings, Completed>>, 'minVersion' | 'keylog'>,
    DatagramSettings,
    ParsedPsk {
  readonly kind: SocketKind
  readonly protocol: 'tls' | 'ipsec'
  readonly minVersion: TlsVersion | DtlsVersion
  readonly maxVersion?: TlsVersion | DtlsVersion
  /** A string is the absolute path of a file. */
  readonly keylog: boolean | string
  /** Always there for `'ipsec'`, never for anything else. */
  readonly ipsec?: ParsedIpsecSettings
  /** A digest of the contents: equal for equal settings, different for different ones. */
  readonly fingerprint: string
}

/** The credentials themselves, in the place of whatever file they come from. */
interface Credentials {
  readonly cert?: Pem | readonly Pem[]
  readonly key?: PrivateKey | readonly PrivateKey[]
  readonly pfx?: Pfx | readonly Pfx[]
  readonly passphrase?: string
  readonly ca?: Pem | readonly Pem[]
  readonly crl?: Pem | readonly Pem[]
  readonly ticketKeys?: TicketKeySource
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
const streamChecks: Record<keyof SecuritySettings, Check> = {
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
  ticketKeys,
  keylog: keylogFile,
  sharePort: boolean,
  ipsec: parseIpsecSettings,
}

const datagramChecks: Record<keyof DatagramSecuritySettings, Check> = {
  ...streamChecks,
  minVersion: oneOf('DTLSv1.2', 'DTLSv1.3'),
  maxVersion: oneOf('DTLSv1.2', 'DTLSv1.3'),
  mtu: wholeNumber(256, 65535),
  maxSessions: wholeNumber(1),
  maxSessionsPerHost: wholeNumber(1),
  srtp: profiles,
  resumeAfter: (key, value) => (value === 0 ? 0 : milliseconds(key, value)),
  rekeyAfter: milliseconds,
  rekeyAfterBytes: wholeNumber(1),
  fullHandshakeAfter: milliseconds,
  idleTimeout: milliseconds,
  maxQueuedDatagrams: wholeNumber(1),
  maxQueuedBytes: wholeNumber(1),
}

const checksOf: Record<SocketKind, Readonly<Record<string, Check>>> = {
  stream: streamChecks,
  datagram: datagramChecks,
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
    sni: 'a datagram socket has one identity: use a socket for each name',
  }),
)

/** Equal contents, one value. Bounded, so that a program that makes settings for ever does not grow. */
const known = new Map<string, ParsedSettings>()
const knownLimit = 256

/**
 * Parses the settings of a kind of socket; null or absent means the default policy (R1).
 * @throws SocketSecurityError EINVAL naming the key and the value; EOPNOTSUPP for allowInsecure of
 * what is never sent in clear
 */
export function parseSettings(settings?: SecuritySettings | null, kind?: 'stream'): ParsedSettings
export function parseSettings(
  settings: DatagramSecuritySettings | null | undefined,
  kind: 'datagram',
): ParsedSettings
/** For those who are told the kind together with the settings. */
export function parseSettings(
  settings: AnySettings | null | undefined,
  kind: SocketKind,
): ParsedSettings
export function parseSettings(
  settings?: AnySettings | null,
  kind: SocketKind = 'stream',
): ParsedSettings {
  if (settings === undefined || settings === null) settings = {}
  if (!isSettings(settings)) {
    throw new SocketSecurityError(
      'EINVAL',
      `security is ${kindOf(settings)}: give an object of settings, or null for the default policy${isThenable(settings) ? '; did you forget to await it?' : ''}`,
      { syscall },
    )
  }
  // Without a prototype, here and below: what somebody puts on Object.prototype is no setting.
  const checks = checksOf[kind]
  const checked: Record<string, unknown> = Object.create(null)
  for (const [key, value] of Object.entries(settings)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined
    if (check === undefined) throw unknownKey(key, value, kind)
    if (value === undefined) continue
    checked[key] = check(key, value)
  }
  // By a key that no settings have: the same contents are another value for another kind of socket.
  const fingerprint = fingerprintOf({ ...checked, '': kind })
  const found = known.get(fingerprint)
  if (found) {
    known.delete(fingerprint)
    known.set(fingerprint, found)
    return found
  }
  const parsed = complete(checked as CheckedSettings, kind, fingerprint)
  // A password lives as long as the settings of those who use it, no longer.
  if (parsed.ipsec?.password) return parsed
  known.set(fingerprint, parsed)
  if (known.size > knownLimit) known.delete(known.keys().next().value as string)
  return parsed
}

/** Others have taken the place of these settings: with their last socket they go, and their keys. */
export function forgetSettings({ fingerprint }: ParsedSettings): void {
  known.delete(fingerprint)
}

/** What is set, each by itself checked. */
type CheckedSettings = Omit<
  SecuritySettings,
  'minVersion' | 'maxVersion' | 'ipsec' | keyof Credentials
> &
  Credentials &
  Partial<DatagramSettings> & {
    readonly minVersion?: TlsVersion | DtlsVersion
    readonly maxVersion?: TlsVersion | DtlsVersion
    readonly ipsec?: ParsedIpsecSettings
  }

/** Fills in the policy and checks what concerns several keys at once. */
function complete(
  settings: CheckedSettings,
  kind: SocketKind,
  fingerprint: string,
): ParsedSettings {
  const policy = kind === 'datagram' ? defaultDatagramPolicy : defaultPolicy
  const { psk, protocol = 'default', ...rest } = settings
  if (settings.ipsec !== undefined && protocol !== 'ipsec') {
    throw invalid('security.protocol', protocol, "security.ipsec needs protocol: 'ipsec'", syscall) // R11
  }
  const guaranteeEncryption = settings.guaranteeEncryption ?? policy.guaranteeEncryption
  const allowInsecure = settings.allowInsecure ?? policy.allowInsecure
  const requestCert = settings.requestCert ?? policy.requestCert
  const rejectUnauthorized = settings.rejectUnauthorized ?? policy.rejectUnauthorized
  if (allowInsecure && (protocol === 'ipsec' || kind === 'datagram')) {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'security.allowInsecure is for tls streams only: nothing else is ever sent in clear',
      { syscall },
    ) // R15
  }
  if (allowInsecure && guaranteeEncryption) {
    throw invalid(
      'security.allowInsecure',
      true,
      'it needs an explicit guaranteeEncryption: false',
      syscall,
    ) // R15
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
  if (settings.ipsec) checkIpsec(settings.ipsec, kind, guaranteeEncryption)
  const minVersion = settings.minVersion ?? policy.minVersion
  if (settings.maxVersion !== undefined && settings.maxVersion < minVersion) {
    throw invalid(
      'security.maxVersion',
      settings.maxVersion,
      `it is below minVersion ${minVersion}`,
      syscall,
    )
  }
  const parsed: ParsedSettings = {
    ...defaultDatagramSettings,
    ...rest,
    ...(psk as ParsedPsk | undefined),
    kind,
    protocol: protocol === 'default' ? policy.protocol : protocol,
    guaranteeEncryption,
    allowInsecure,
    minVersion,
    alpn: settings.alpn ?? Object.freeze([]),
    requestCert,
    rejectUnauthorized,
    handshakeTimeout: settings.handshakeTimeout ?? policy.handshakeTimeout,
    keylog: (settings.keylog as boolean | string | undefined) ?? false,
    sharePort: settings.sharePort ?? false,
    ...(protocol === 'ipsec' ? { ipsec: settings.ipsec ?? defaultIpsecSettings } : {}),
    fingerprint,
  }
  return Object.freeze(Object.assign(Object.create(null), parsed))
}

/** What would break a promise that the other settings make (R14, R15). */
function checkIpsec(
  ipsec: ParsedIpsecSettings,
  kind: SocketKind,
  guaranteeEncryption: boolean,
): void {
  if (ipsec.allowFirstInboundPacketUnencrypted && guaranteeEncryption) {
    throw invalid(
      'security.ipsec.allowFirstInboundPacketUnencrypted',
      true,
      'it needs an explicit guaranteeEncryption: false',
      syscall,
    )
  }
  // The system is asked about a stream before its first byte, of a datagram peer only after it.
  if (ipsec.skipFilterInstantiation && kind === 'datagram') {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'security.ipsec.skipFilterInstantiation is for streams only: the first datagram would leave without anybody knowing that it is secured',
      { syscall },
    )
  }
}

/** The names of all settings of a kind of socket. */
export function settingNames(kind: SocketKind): string[] {
  return Object.keys(checksOf[kind])
}

/**
 * Checks one setting by itself.
 * @throws SocketSecurityError EINVAL
 */
export function checkSetting(kind: SocketKind, key: string, value: unknown): void {
  checksOf[kind][key]?.(key, value)
}

function unknownKey(key: string, value: unknown, kind: SocketKind): Error {
  const names = Object.keys(checksOf[kind])
  const near = names.find(each => each.toLowerCase() === key.toLowerCase())
  const hint = Object.hasOwn(datagramChecks, key)
    ? 'it is for datagram sockets'
    : (meant.get(key) ?? (near ? `did you mean ${near}?` : `the settings are ${names.join(', ')}`))
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

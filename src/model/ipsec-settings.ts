/**
 * IPsec's own settings (Winsock's SOCKET_SECURITY_SETTINGS_IPSEC, and what an IKE daemon of Linux
 * needs to be told): beside `protocol: 'ipsec'` only.
 *
 * Some are of one system only. They are parsed on every system, so that a program and a policy can
 * be checked anywhere; the provider refuses what its system does not have. None is ignored in silence.
 */
import { isUtf8 } from 'node:buffer'
import { createHmac, randomBytes } from 'node:crypto'
import { invalid, kindOf, SocketSecurityError } from './errors.js'
import { standsFor } from './fingerprint.js'
import { boolean, isView, oneOf, plainObject } from './setting-values.js'

/** A password as text, as UTF-8 in a Buffer, or a function that gives it whenever it is needed. */
export type Password = string | NodeJS.ArrayBufferView | (() => string | NodeJS.ArrayBufferView)

/** IPsec's settings as a user writes them. */
export interface IpsecSettings {
  /**
   * The target name goes to the system as it is written, in the form of its authentication method; on
   * Linux as strongSwan types identities (`user@example.com`, `C=CH, CN=db`). Default: false.
   */
  readonly rawPeerName?: boolean

  /** Linux: the path of the VICI socket of the IKE daemon. Default: `/run/charon.vici`. */
  readonly viciSocket?: string
  /**
   * Linux: who this host says it is, as strongSwan types identities. Default: the first DNS name or
   * address of `cert`, the identity of an own `psk`. Without credentials among the settings it names
   * those that the daemon has.
   */
  readonly localIdentity?: string
  /** Linux: how the daemon's own credentials of `localIdentity` prove it. Default: `'pubkey'`, a certificate. */
  readonly authentication?: 'pubkey' | 'psk'
  /** Linux: how IKE may be protected, best first, as strongSwan writes it: `aes128gcm16-prfsha256-ecp256`. */
  readonly ikeProposals?: readonly string[]
  /** Linux: how packets may be protected, best first: `aes128gcm16-ecp256`. Without a group there is no perfect forward secrecy. */
  readonly espProposals?: readonly string[]

  /** Windows: the key of an AuthIP main mode policy that the administrator has made: a GUID. Default: the system's. */
  readonly mainModePolicy?: string
  /** Windows: the key of an AuthIP quick mode policy: a GUID. Default: the system's. */
  readonly quickModePolicy?: string
  /** Windows: the account to authenticate as; needs `password`. Default: the account that the process runs as. */
  readonly userName?: string
  /** Windows: the domain of `userName`, where the name does not say it itself (`user@domain`). */
  readonly domainName?: string
  /**
   * Windows: the password of `userName`. A string stays in memory until the garbage collector has taken it.
   * A Buffer is copied, and the copy stays as long as the settings. A function is called for each
   * socket, must answer at once, and the Buffer that it returns is overwritten with zeros when its
   * contents have been taken: give one where the password must not stay in memory.
   */
  readonly password?: Password
  /**
   * Windows: no filters are made for this socket: an administrator has made some that secure its traffic.
   * Streams only, whose first byte waits for the system to say that they are secured. Default: false.
   */
  readonly skipFilterInstantiation?: boolean
  /** Windows: the peer may be anybody that the system trusts; where this is set, no target name can be. Default: false. */
  readonly optionalPeerNameVerification?: boolean
  /** Windows: lets the first packet of a peer in that is not encrypted. Needs `guaranteeEncryption: false`. Default: false. */
  readonly allowFirstInboundPacketUnencrypted?: boolean
}

/** IPsec's settings after parsing: complete, checked and frozen. */
export interface ParsedIpsecSettings {
  readonly rawPeerName: boolean
  readonly viciSocket?: string
  readonly localIdentity?: string
  readonly authentication?: 'pubkey' | 'psk'
  readonly ikeProposals?: readonly string[]
  readonly espProposals?: readonly string[]
  /** In lower case, without braces. */
  readonly mainModePolicy?: string
  /** In lower case, without braces. */
  readonly quickModePolicy?: string
  readonly userName?: string
  readonly domainName?: string
  /**
   * A new Buffer with the password in UTF-16LE, without a NUL: whoever asks for it overwrites it.
   * @throws SocketSecurityError EINVAL where the application's function gives none
   */
  readonly password?: () => Buffer
  readonly skipFilterInstantiation: boolean
  readonly optionalPeerNameVerification: boolean
  readonly allowFirstInboundPacketUnencrypted: boolean
}

/** What only the IKE daemon of a Linux host understands. */
export const linuxIpsecSettings = [
  'viciSocket',
  'localIdentity',
  'authentication',
  'ikeProposals',
  'espProposals',
] as const

/** What only Windows understands. */
export const windowsIpsecSettings = [
  'mainModePolicy',
  'quickModePolicy',
  'userName',
  'domainName',
  'password',
  'skipFilterInstantiation',
  'optionalPeerNameVerification',
  'allowFirstInboundPacketUnencrypted',
] as const

/** What holds where a socket of `protocol: 'ipsec'` sets nothing of this. */
export const defaultIpsecSettings: ParsedIpsecSettings = Object.freeze({
  __proto__: null,
  skipFilterInstantiation: false,
  optionalPeerNameVerification: false,
  allowFirstInboundPacketUnencrypted: false,
  rawPeerName: false,
})

/** UNLEN, PWLEN (lmcons.h): characters of an account's name, and of its password. */
const UNLEN = 256
const PWLEN = 256
/** Characters of a DNS name: a domain's. */
const MAX_DOMAIN_LENGTH = 255

/** Bytes of a path (sun_path), and of an identity that strongSwan can read. */
const MAX_SOCKET_PATH = 107
const MAX_IDENTITY_LENGTH = 511
const MAX_PROPOSALS = 32

const checks: Record<keyof IpsecSettings, (key: string, value: unknown) => unknown> = {
  mainModePolicy: guid,
  quickModePolicy: guid,
  userName: characters(UNLEN),
  domainName: characters(MAX_DOMAIN_LENGTH),
  password,
  skipFilterInstantiation: boolean,
  optionalPeerNameVerification: boolean,
  allowFirstInboundPacketUnencrypted: boolean,
  rawPeerName: boolean,
  viciSocket: socketPath,
  localIdentity: characters(MAX_IDENTITY_LENGTH),
  authentication: (key, value) => oneOf('pubkey', 'psk')(key, value),
  ikeProposals: proposals,
  espProposals: proposals,
}

/**
 * Parses `security.ipsec`.
 * @throws SocketSecurityError EINVAL naming the key and, where it cannot be a secret, the value
 */
export function parseIpsecSettings(key: string, value: unknown): ParsedIpsecSettings {
  const checked: Record<string, unknown> = {}
  for (const [name, each] of Object.entries(plainObject(key, value))) {
    if (!Object.hasOwn(checks, name)) throw unknownKey(name, each)
    if (each === undefined) continue
    checked[name] = checks[name as keyof IpsecSettings](`ipsec.${name}`, each)
  }
  const parsed: ParsedIpsecSettings = Object.assign(
    Object.create(null),
    defaultIpsecSettings,
    checked,
  )
  checkAccount(parsed)
  return Object.freeze(parsed)
}

/** An account is a name and a password; a domain alone says nothing. */
function checkAccount({ userName, domainName, password }: ParsedIpsecSettings): void {
  const missing = (given: string, needed: string) =>
    new SocketSecurityError(
      'EINVAL',
      `security.ipsec.${given} is given without security.ipsec.${needed}: give both, or neither for the account that the process runs as`,
      { syscall },
    )
  if (userName !== undefined && password === undefined) throw missing('userName', 'password')
  if (password !== undefined && userName === undefined) throw missing('password', 'userName')
  if (domainName !== undefined && userName === undefined) throw missing('domainName', 'userName')
}

function guid(key: string, value: unknown): unknown {
  // Not of another value's text: an object without a usable toString() has none.
  const text = typeof value === 'string' ? value : ''
  const match = /^(\{?)([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})(\}?)$/i.exec(text)
  const braces = match !== null && (match[1] === '{') === (match[3] === '}')
  if (!match?.[2] || !braces) {
    const example = '0a1b2c3d-4e5f-6789-abcd-ef0123456789'
    throw invalid(`security.${key}`, value, `give the policy's GUID, such as "${example}"`, syscall)
  }
  // The structure says "no policy" by a GUID of zeros.
  if (/^[0-]+$/.test(match[2]))
    throw invalid(`security.${key}`, value, "leave it out for the system's own policy", syscall)
  return match[2].toLowerCase()
}

function characters(most: number) {
  return (key: string, value: unknown): unknown => {
    const fits = typeof value === 'string' && value !== '' && value.length <= most
    if (!fits || !isText(value))
      throw invalid(
        `security.${key}`,
        value,
        `give a string of 1 to ${most} characters without control characters`,
        syscall,
      )
    return value
  }
}

function socketPath(key: string, value: unknown): unknown {
  const fits =
    typeof value === 'string' && isText(value) && Buffer.byteLength(value) <= MAX_SOCKET_PATH
  if (!fits || !value.startsWith('/'))
    throw invalid(
      `security.${key}`,
      value,
      `give an absolute path of at most ${MAX_SOCKET_PATH} bytes, such as "/run/charon.vici"`,
      syscall,
    )
  return value
}

/** Their shape; what the algorithms are worth is for the provider to say. */
function proposals(key: string, value: unknown): unknown {
  const isProposal = (each: unknown) =>
    typeof each === 'string' && each.length <= 200 && /^[a-z0-9_]+(-[a-z0-9_]+)*$/.test(each)
  const fits = Array.isArray(value) && value.length >= 1 && value.length <= MAX_PROPOSALS
  if (!fits || !value.every(isProposal))
    throw invalid(
      `security.${key}`,
      value,
      `give an array of 1 to ${MAX_PROPOSALS} proposals such as "aes128gcm16-ecp256"`,
      syscall,
    )
  return Object.freeze([...value])
}

/** No control characters (NUL would end the text), no half surrogate pair (it would become another text). */
function isText(text: string): boolean {
  return !/[\p{Cc}\p{Cs}]/u.test(text)
}

/**
 * The password as a function of no property: printing the settings shows nothing of it. Equal
 * passwords make equal settings, told by a digest that says nothing outside of this process.
 */
function password(key: string, value: unknown): () => Buffer {
  if (typeof value === 'function') return passwordOfFunction(key, value as () => unknown)
  const bytes = utf16(key, value)
  const password = () => Buffer.from(bytes)
  const text = typeof value === 'string' ? 'text' : 'bytes'
  standsFor(password, createHmac('sha256', digestKey()).update(text).update(bytes).digest('base64'))
  return Object.freeze(password)
}

function passwordOfFunction(key: string, give: () => unknown): () => Buffer {
  const known = functions.get(give)
  if (known) return known
  const password = Object.freeze(() => {
    const given = call(key, give)
    try {
      return utf16(`${key}()`, given)
    } finally {
      if (isView(given)) new Uint8Array(given.buffer, given.byteOffset, given.byteLength).fill(0)
    }
  })
  functions.set(give, password)
  return password
}

/** One wrapper a function: the same function again makes equal settings. */
const functions = new WeakMap<() => unknown, () => Buffer>()

function call(key: string, give: () => unknown): unknown {
  try {
    return give()
  } catch (cause) {
    const message = `security.${key}() has thrown instead of giving the password`
    throw new SocketSecurityError('EINVAL', message, { syscall, cause })
  }
}

/** @returns a Buffer of its own, in no pool: nothing else is overwritten with it */
function utf16(key: string, value: unknown): Buffer {
  const refused = (why: string) =>
    new SocketSecurityError('EINVAL', `security.${key} is ${kindOf(value)}: ${why}`, { syscall })
  let bytes: Buffer
  if (typeof value === 'string') {
    bytes = unmoved(value.length * 2)
    bytes.write(value, 'utf16le')
  } else if (isView(value)) {
    const view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    if (!isUtf8(view)) throw refused('a Buffer holds the password in UTF-8')
    bytes = transcoded(view)
  } else {
    throw refused('give a string, a Buffer, or a function that returns one of them at once')
  }
  const length = bytes.length / 2
  if (length >= 1 && length <= PWLEN && isWellFormed(bytes)) return bytes
  bytes.fill(0)
  throw refused(`give 1 to ${PWLEN} characters, without NUL and without half a surrogate pair`)
}

/**
 * UTF-8 that is known to be such, as UTF-16LE. By hand: Node's own transcode() leaves copies where
 * nobody can overwrite them (seen on Node 24).
 */
function transcoded(utf8: Uint8Array): Buffer {
  // No character takes more than twice its bytes.
  const room = unmoved(utf8.length * 2)
  let end = 0
  for (let at = 0; at < utf8.length; ) {
    const lead = utf8[at] as number
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    let point = length === 1 ? lead : lead & (0x7f >> length)
    for (const next of utf8.subarray(at + 1, at + length)) point = (point << 6) | (next & 0x3f)
    at += length
    if (point > 0xffff) {
      end = room.writeUInt16LE(0xd800 | ((point - 0x10000) >> 10), end)
      point = 0xdc00 | (point & 0x3ff)
    }
    end = room.writeUInt16LE(point, end)
  }
  return room.subarray(0, end)
}

/**
 * Zeroed memory outside of V8's heap. A small Buffer by itself begins on the heap, and what the
 * collector or a native call moves from there leaves a copy behind (seen).
 */
function unmoved(bytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(bytes))
}

/** Looked through as numbers: a string of it could not be overwritten. */
function isWellFormed(utf16: Buffer): boolean {
  for (let at = 0; at < utf16.length; at += 2) {
    const unit = utf16.readUInt16LE(at)
    if (unit === 0) return false
    if (unit < 0xd800 || unit > 0xdfff) continue
    if (unit > 0xdbff || at + 4 > utf16.length) return false
    const low = utf16.readUInt16LE(at + 2)
    if (low < 0xdc00 || low > 0xdfff) return false
    at += 2
  }
  return true
}

let ownDigestKey: Buffer | undefined

/** A digest with a key that nobody else has: a password cannot be guessed from it. */
function digestKey(): Buffer {
  ownDigestKey ??= randomBytes(32)
  return ownDigestKey
}

function unknownKey(name: string, value: unknown): Error {
  const names = Object.keys(checks)
  const near = names.find(each => each.toLowerCase() === name.toLowerCase())
  const hint = near ? `did you mean ${near}?` : `its settings are ${names.join(', ')}`
  // A misspelt key may hold a secret: the kind of its value says enough.
  return new SocketSecurityError(
    'EINVAL',
    `security.ipsec.${name} (${kindOf(value)}) is no setting: ${hint}`,
    { syscall },
  )
}

const syscall = 'WSASetSocketSecurity'

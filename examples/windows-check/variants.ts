/**
 * The structures of Winsock's secure socket extensions, with everything that is in question left to
 * the caller. The library has encoders of its own, which know one answer; these know all of them, and
 * share nothing with them but Microsoft's offsets.
 */

/** SOCKET_SECURITY_PROTOCOL (mstcpip.h). */
export const protocols = { DEFAULT: 0, IPSEC: 1, IPSEC2: 2, INVALID: 3 } as const
export type Protocol = keyof typeof protocols

/** How a length may count. */
export type Unit = 'bytes' | 'characters'

/** SOCKET_SETTINGS_… (mstcpip.h). */
export const GUARANTEE_ENCRYPTION = 1

/** sizeof of each structure on 64 bits. */
export const sizes = {
  SETTINGS: 8,
  SETTINGS_IPSEC: 88,
  PEER_TARGET_NAME: 144,
  QUERY_TEMPLATE: 144,
  QUERY_TEMPLATE_IPSEC2: 152,
  QUERY_INFO: 24,
  QUERY_INFO_IPSEC2: 64,
} as const

export interface Address {
  readonly address: string
  readonly port: number
}

/** SOCKET_SECURITY_SETTINGS */
export function settings(protocol: Protocol, flags = GUARANTEE_ENCRYPTION): Buffer {
  const bytes = Buffer.alloc(sizes.SETTINGS)
  bytes.writeUInt32LE(protocols[protocol], 0)
  bytes.writeUInt32LE(flags, 4)
  return bytes
}

export interface Account {
  readonly user: string
  readonly domain: string
  readonly password: string
}

/**
 * SOCKET_SECURITY_SETTINGS_IPSEC
 * @param size of the structure without strings, which begin at 84 in any case
 */
export function settingsIpsec(
  protocol: Protocol,
  { size = sizes.SETTINGS_IPSEC, account, unit = 'bytes', excess = 0 }: IpsecVariant = {},
): Buffer {
  const texts = account ? [account.user, account.domain, account.password] : []
  const strings = Buffer.from(texts.join(''), 'utf16le')
  const bytes = Buffer.alloc(size + strings.length)
  bytes.writeUInt32LE(protocols[protocol], 0)
  bytes.writeUInt32LE(GUARANTEE_ENCRYPTION, 4)
  texts.forEach((text, index) => {
    const last = index === texts.length - 1
    bytes.writeUInt32LE(length(text, unit) + (last ? excess : 0), 72 + 4 * index)
  })
  strings.copy(bytes, stringsAt)
  return bytes
}

export interface IpsecVariant {
  readonly size?: number
  readonly account?: Account
  readonly unit?: Unit
  /** How much more the last length says than there is. */
  readonly excess?: number
}

const stringsAt = 84

/** SOCKET_PEER_TARGET_NAME: sizeof and the text, as Microsoft's sample makes it. */
export function peerTargetName(
  protocol: Protocol,
  text: string,
  { unit = 'bytes', excess = 0, peer }: NameVariant = {},
): Buffer {
  const bytes = Buffer.alloc(sizes.PEER_TARGET_NAME + text.length * 2)
  bytes.writeUInt32LE(protocols[protocol], 0)
  if (peer) socketAddress(peer).copy(bytes, 8)
  bytes.writeUInt32LE(length(text, unit) + excess, 136)
  bytes.write(text, nameAt, 'utf16le')
  return bytes
}

export interface NameVariant {
  readonly unit?: Unit
  readonly excess?: number
  /** Of datagram sockets. */
  readonly peer?: Address
}

const nameAt = 140

/** SOCKET_SECURITY_QUERY_TEMPLATE, or _IPSEC2 */
export function queryTemplate(
  protocol: Protocol,
  { peer, tokenAccess = 0 }: { peer?: Address; tokenAccess?: number } = {},
): Buffer {
  const wide = protocol === 'IPSEC2'
  const bytes = Buffer.alloc(wide ? sizes.QUERY_TEMPLATE_IPSEC2 : sizes.QUERY_TEMPLATE)
  bytes.writeUInt32LE(protocols[protocol], 0)
  if (peer) socketAddress(peer).copy(bytes, 8)
  bytes.writeUInt32LE(tokenAccess, 136)
  // FieldMask: the numbers of both security associations.
  if (wide) bytes.writeUInt32LE(3, 144)
  return bytes
}

/** What SOCKET_SECURITY_QUERY_INFO says, or _IPSEC2. */
export interface Info {
  readonly secured: boolean
  readonly encrypted: boolean
  readonly flags: number
  /** HANDLEs; 0: none. */
  readonly userToken: number
  readonly machineToken: number
  readonly mainModeSa?: boolean
  readonly quickModeSa?: boolean
  readonly negotiationError?: number
}

export function readInfo(bytes: Buffer): Info {
  const flags = bytes.readUInt32LE(4)
  return {
    secured: (flags & 1) !== 0,
    encrypted: (flags & 2) !== 0,
    flags,
    userToken: Number(bytes.readBigUInt64LE(8)),
    machineToken: Number(bytes.readBigUInt64LE(16)),
    ...(bytes.length < sizes.QUERY_INFO_IPSEC2
      ? {}
      : {
          mainModeSa: bytes.readBigUInt64LE(24) !== 0n,
          quickModeSa: bytes.readBigUInt64LE(32) !== 0n,
          negotiationError: bytes.readUInt32LE(40),
        }),
  }
}

const AF_INET = 2
const AF_INET6 = 23

/** SOCKADDR_IN or SOCKADDR_IN6 */
export function socketAddress({ address, port }: Address): Buffer {
  if (!address.includes(':')) {
    const bytes = Buffer.alloc(16)
    bytes.writeUInt16LE(AF_INET, 0)
    bytes.writeUInt16BE(port, 2)
    address.split('.').forEach((part, index) => {
      bytes[4 + index] = Number(part)
    })
    return bytes
  }
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(AF_INET6, 0)
  bytes.writeUInt16BE(port, 2)
  groups(address).forEach((group, index) => {
    bytes.writeUInt16BE(group, 8 + 2 * index)
  })
  return bytes
}

export function readSocketAddress(bytes: Buffer): Address {
  const port = bytes.readUInt16BE(2)
  if (bytes.readUInt16LE(0) === AF_INET) return { address: bytes.subarray(4, 8).join('.'), port }
  const parts = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(8 + 2 * index))
  const text = parts.map(part => part.toString(16)).join(':')
  return { address: new URL(`http://[${text}]/`).hostname.slice(1, -1), port }
}

/** The eight numbers of an IPv6 address that Node knows as one; a scope is not for here. */
function groups(address: string): number[] {
  const canonical = new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname.slice(1, -1)
  const [left = '', right] = canonical.split('::')
  const numbers = (text: string) =>
    text === '' ? [] : text.split(':').map(part => Number.parseInt(part, 16))
  if (right === undefined) return numbers(left)
  const [before, after] = [numbers(left), numbers(right)]
  return [...before, ...Array(8 - before.length - after.length).fill(0), ...after]
}

function length(text: string, unit: Unit): number {
  return unit === 'bytes' ? text.length * 2 : text.length
}

/**
 * SOCKET_SECURITY_SETTINGS (8 bytes) and SOCKET_SECURITY_SETTINGS_IPSEC (88 bytes and its strings):
 * what WSASetSocketSecurity takes. Strings are UTF-16LE, one behind the other and without NUL, and
 * their lengths count bytes.
 */
import { sizeofGuid, writeGuid } from './guid.js'
import { room } from './room.js'

const syscall = 'WSASetSocketSecurity'

const sizeofSecuritySettings = 8
/** Without strings: the structure ends with 4 bytes that its strings begin in. */
const sizeofSecuritySettingsIpsec = 88
const offsetOfStrings = 84

export interface SecuritySettingsStructure {
  /** SOCKET_SECURITY_PROTOCOL_… */
  readonly protocol: number
  /** SOCKET_SETTINGS_… */
  readonly securityFlags: number
}

export interface SecuritySettingsIpsecStructure extends SecuritySettingsStructure {
  /** SOCKET_SETTINGS_IPSEC_… */
  readonly ipsecFlags: number
  /** GUIDs; none: the system's policy. */
  readonly mainModePolicy?: string | undefined
  readonly quickModePolicy?: string | undefined
  readonly userName?: string | undefined
  readonly domainName?: string | undefined
  /** In UTF-16LE, without a NUL. */
  readonly password?: Buffer | undefined
}

/**
 * Writes it to the beginning of a buffer.
 * @returns its bytes
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function writeSecuritySettings(into: Buffer, settings: SecuritySettingsStructure): number {
  const bytes = room(into, sizeofSecuritySettings, 'SOCKET_SECURITY_SETTINGS', syscall)
  bytes.writeUInt32LE(settings.protocol, 0)
  bytes.writeUInt32LE(settings.securityFlags, 4)
  return bytes.length
}

/** Bytes that the structure takes with its strings, and at least one NUL behind them. */
export function sizeofSecuritySettingsIpsecWith(settings: SecuritySettingsIpsecStructure): number {
  return sizeofSecuritySettingsIpsec + strings(settings).reduce((sum, each) => sum + each.length, 0)
}

/**
 * Writes it to the beginning of a buffer, which the caller overwrites where a password is in it.
 * @returns its bytes
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function writeSecuritySettingsIpsec(
  into: Buffer,
  settings: SecuritySettingsIpsecStructure,
): number {
  const size = sizeofSecuritySettingsIpsecWith(settings)
  const bytes = room(into, size, 'SOCKET_SECURITY_SETTINGS_IPSEC', syscall).fill(0)
  writeSecuritySettings(bytes, settings)
  bytes.writeUInt32LE(settings.ipsecFlags, 8)
  if (settings.mainModePolicy !== undefined) writeGuid(bytes, 12, settings.mainModePolicy)
  if (settings.quickModePolicy !== undefined)
    writeGuid(bytes, 12 + sizeofGuid, settings.quickModePolicy)
  // Reserved (a GUID) and Reserved2 stay zero.
  let end = offsetOfStrings
  for (const [index, each] of strings(settings).entries()) {
    bytes.writeUInt32LE(each.length, 72 + 4 * index)
    end += each.copy(bytes, end)
  }
  return size
}

/** In the order of their lengths. */
function strings(settings: SecuritySettingsIpsecStructure): Buffer[] {
  return [
    Buffer.from(settings.userName ?? '', 'utf16le'),
    Buffer.from(settings.domainName ?? '', 'utf16le'),
    settings.password ?? Buffer.alloc(0),
  ]
}

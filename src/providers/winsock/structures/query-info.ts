/**
 * SOCKET_SECURITY_QUERY_INFO (24 bytes) and _IPSEC2 (64 bytes, Windows 7 and later): what Windows
 * answers about a socket's security.
 */
import {
  SOCKET_INFO_CONNECTION_ENCRYPTED,
  SOCKET_INFO_CONNECTION_IMPERSONATED,
  SOCKET_INFO_CONNECTION_SECURED,
  SOCKET_SECURITY_PROTOCOL_IPSEC2,
} from './constants.js'
import { readGuid } from './guid.js'
import { room } from './room.js'

const syscall = 'WSAQuerySocketSecurity'

export const sizeofQueryInfo = 24
export const sizeofQueryInfoIpsec2 = 64

export interface QueryInfo {
  /** SOCKET_INFO_CONNECTION_…, as answered. */
  readonly flags: number
  readonly secured: boolean
  readonly encrypted: boolean
  readonly impersonated: boolean
  /** PeerApplicationAccessTokenHandle; 0: none. */
  readonly userToken: number
  /** PeerMachineAccessTokenHandle; 0: none. */
  readonly machineToken: number
  /** What only SOCKET_SECURITY_QUERY_INFO_IPSEC2 has. */
  readonly ipsec2?: {
    readonly mmSaId: bigint
    readonly qmSaId: bigint
    /** NegotiationWinerr; 0: none. */
    readonly negotiationError: number
    /** SaLookupContext, as a GUID in lower case. */
    readonly saLookupContext: string
  }
}

/**
 * Reads either structure: its first field says which it is.
 * @param from all that was answered, and no more
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function readQueryInfo(from: Buffer): QueryInfo {
  const bytes = room(from, sizeofQueryInfo, 'SOCKET_SECURITY_QUERY_INFO', syscall)
  const protocol = bytes.readUInt32LE(0)
  const flags = bytes.readUInt32LE(4)
  const encrypted = (flags & SOCKET_INFO_CONNECTION_ENCRYPTED) !== 0
  return {
    flags,
    // Encrypted packets are authenticated ones.
    secured: encrypted || (flags & SOCKET_INFO_CONNECTION_SECURED) !== 0,
    encrypted,
    impersonated: (flags & SOCKET_INFO_CONNECTION_IMPERSONATED) !== 0,
    ...readTokens(bytes),
    ...(protocol === SOCKET_SECURITY_PROTOCOL_IPSEC2 ? { ipsec2: readIpsec2(from) } : {}),
  }
}

/**
 * The handles alone, which somebody has to close even where the rest cannot be read.
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function readTokens(from: Buffer): Pick<QueryInfo, 'userToken' | 'machineToken'> {
  const bytes = room(from, sizeofQueryInfo, 'SOCKET_SECURITY_QUERY_INFO', syscall)
  return {
    userToken: Number(bytes.readBigUInt64LE(8)),
    machineToken: Number(bytes.readBigUInt64LE(16)),
  }
}

function readIpsec2(from: Buffer): NonNullable<QueryInfo['ipsec2']> {
  const name = 'SOCKET_SECURITY_QUERY_INFO_IPSEC2'
  const bytes = room(from, sizeofQueryInfoIpsec2, name, syscall)
  return {
    mmSaId: bytes.readBigUInt64LE(24),
    qmSaId: bytes.readBigUInt64LE(32),
    negotiationError: bytes.readUInt32LE(40),
    saLookupContext: readGuid(bytes, 44),
  }
}

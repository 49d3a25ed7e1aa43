/**
 * SOCKET_SECURITY_QUERY_TEMPLATE (144 bytes) and _IPSEC2 (152 bytes, Windows 7 and later): what
 * WSAQuerySocketSecurity is asked.
 */
import { room } from './room.js'
import { type SocketAddress, sizeofSockaddrStorage, writeSockaddr } from './sockaddr.js'

const syscall = 'WSAQuerySocketSecurity'

export const sizeofQueryTemplate = 144
export const sizeofQueryTemplateIpsec2 = 152

export interface QueryTemplateStructure {
  /** SOCKET_SECURITY_PROTOCOL_… */
  readonly protocol: number
  /** The peer of a datagram socket; a stream has one, which need not be said. */
  readonly peer?: SocketAddress | undefined
  /** Rights to the peer's access tokens; 0: no tokens. */
  readonly tokenAccess: number
}

export interface QueryTemplateIpsec2Structure extends QueryTemplateStructure {
  /** SOCKET_QUERY_IPSEC2_ABORT_CONNECTION_ON_FIELD_CHANGE, or 0. */
  readonly flags: number
  /** SOCKET_QUERY_IPSEC2_FIELD_MASK_… */
  readonly fieldMask: number
}

/**
 * Writes it to the beginning of a buffer.
 * @returns its bytes
 * @throws SocketSecurityError EMSGSIZE (R5), EINVAL for what is no address
 */
export function writeQueryTemplate(into: Buffer, template: QueryTemplateStructure): number {
  const bytes = room(into, sizeofQueryTemplate, 'SOCKET_SECURITY_QUERY_TEMPLATE', syscall).fill(0)
  bytes.writeUInt32LE(template.protocol, 0)
  if (template.peer !== undefined)
    writeSockaddr(bytes.subarray(8, 8 + sizeofSockaddrStorage), template.peer, syscall)
  bytes.writeUInt32LE(template.tokenAccess, 136)
  return bytes.length
}

/** As writeQueryTemplate(). */
export function writeQueryTemplateIpsec2(
  into: Buffer,
  template: QueryTemplateIpsec2Structure,
): number {
  const name = 'SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2'
  const bytes = room(into, sizeofQueryTemplateIpsec2, name, syscall).fill(0)
  writeQueryTemplate(bytes, template)
  bytes.writeUInt32LE(template.flags, 140)
  bytes.writeUInt32LE(template.fieldMask, 144)
  return bytes.length
}

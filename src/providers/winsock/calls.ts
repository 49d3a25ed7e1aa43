/**
 * The verbs of Winsock's secure socket extensions, on the number of a SOCKET.
 */
import { closeHandle } from '../../../lib/kernel32.js'
import {
  requireSecureSocketExtensions,
  WSADeleteSocketPeerTargetName,
  WSAEAFNOSUPPORT,
  WSAEFAULT,
  WSAEINVAL,
  WSAEMSGSIZE,
  WSAEOPNOTSUPP,
  WSAQuerySocketSecurity,
  WSASetSocketPeerTargetName,
  WSASetSocketSecurity,
} from '../../../lib/winsock.js'
import type { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import { type CallTarget, overlapped } from './overlapped.js'
import {
  NAME_PROTOCOL,
  SETTINGS_PROTOCOL,
  SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID,
  SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID,
  SOCKET_SECURITY_PROTOCOL_IPSEC,
  SOCKET_SECURITY_PROTOCOL_IPSEC2,
  SOCKET_SETTINGS_GUARANTEE_ENCRYPTION,
  SOCKET_SETTINGS_IPSEC_ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED,
  SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION,
  SOCKET_SETTINGS_IPSEC_PEER_NAME_IS_RAW_FORMAT,
  SOCKET_SETTINGS_IPSEC_SKIP_FILTER_INSTANTIATION,
} from './structures/constants.js'
import { sizeofPeerTargetNameWith, writePeerTargetName } from './structures/peer-target-name.js'
import {
  type QueryInfo,
  readQueryInfo,
  readTokens,
  sizeofQueryInfo,
  sizeofQueryInfoIpsec2,
} from './structures/query-info.js'
import {
  sizeofQueryTemplate,
  sizeofQueryTemplateIpsec2,
  writeQueryTemplate,
  writeQueryTemplateIpsec2,
} from './structures/query-template.js'
import {
  type SecuritySettingsIpsecStructure,
  sizeofSecuritySettingsIpsecWith,
  writeSecuritySettingsIpsec,
} from './structures/security-settings.js'
import { type SocketAddress, sizeofSockaddrStorage, writeSockaddr } from './structures/sockaddr.js'

export type { CallTarget } from './overlapped.js'
export type { QueryInfo } from './structures/query-info.js'

/** A peer of a SOCKET of that family; an IPv4 address on one of IPv6 is sent as ::ffff:a.b.c.d. */
export type Peer = SocketAddress

/**
 * WSASetSocketSecurity: before bind, connect and the first datagram; once for each SOCKET.
 * @throws (rejects) SocketSecurityError, syscall 'WSASetSocketSecurity'
 */
export async function setSecurity(target: CallTarget, settings: ParsedSettings): Promise<void> {
  requireSecureSocketExtensions()
  const structure = settingsStructure(settings)
  const memory = Buffer.alloc(sizeofSecuritySettingsIpsecWith(structure))
  try {
    writeSecuritySettingsIpsec(memory, structure)
    structure.password?.fill(0)
    const completion = overlapped(target, {
      syscall: 'WSASetSocketSecurity',
      memory,
      call: (socket, at, ovl) => WSASetSocketSecurity(socket, at, memory.length, ovl),
    })
    // The call has its own copy by now.
    memory.fill(0)
    await completion
  } finally {
    structure.password?.fill(0)
    memory.fill(0)
  }
}

/** What the settings are to Windows. Whoever takes it overwrites the password. */
function settingsStructure(settings: ParsedSettings): SecuritySettingsIpsecStructure {
  const { ipsec, guaranteeEncryption } = settings
  const flag = (set: boolean | undefined, value: number) => (set ? value : 0)
  return {
    protocol: SETTINGS_PROTOCOL,
    // SOCKET_SETTINGS_ALLOW_INSECURE is never set (R15).
    securityFlags: flag(guaranteeEncryption, SOCKET_SETTINGS_GUARANTEE_ENCRYPTION),
    ipsecFlags:
      flag(ipsec?.skipFilterInstantiation, SOCKET_SETTINGS_IPSEC_SKIP_FILTER_INSTANTIATION) |
      flag(
        ipsec?.optionalPeerNameVerification,
        SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION,
      ) |
      flag(
        ipsec?.allowFirstInboundPacketUnencrypted,
        SOCKET_SETTINGS_IPSEC_ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED,
      ) |
      flag(ipsec?.rawPeerName, SOCKET_SETTINGS_IPSEC_PEER_NAME_IS_RAW_FORMAT),
    mainModePolicy: ipsec?.mainModePolicy,
    quickModePolicy: ipsec?.quickModePolicy,
    userName: ipsec?.userName,
    domainName: ipsec?.domainName,
    password: ipsec?.password?.(),
  }
}

/**
 * WSASetSocketPeerTargetName: before connect, or before the first datagram to that peer.
 * @param name as it is sent, e.g. `host/db.example.com`
 * @throws (rejects) SocketSecurityError, syscall 'WSASetSocketPeerTargetName'
 */
export async function setPeerTargetName(
  target: CallTarget,
  peer: Peer,
  name: string,
): Promise<void> {
  requireSecureSocketExtensions()
  const memory = Buffer.alloc(sizeofPeerTargetNameWith(name))
  writePeerTargetName(memory, { protocol: NAME_PROTOCOL, peer, name })
  await overlapped(target, {
    syscall: 'WSASetSocketPeerTargetName',
    memory,
    call: (socket, at, ovl) => WSASetSocketPeerTargetName(socket, at, memory.length, ovl),
  })
}

/**
 * WSADeleteSocketPeerTargetName, of datagram sockets: the name serves no future authentication.
 * @throws (rejects) SocketSecurityError, syscall 'WSADeleteSocketPeerTargetName'
 */
export async function deletePeerTargetName(target: CallTarget, peer: Peer): Promise<void> {
  requireSecureSocketExtensions()
  const syscall = 'WSADeleteSocketPeerTargetName'
  const memory = Buffer.alloc(sizeofSockaddrStorage)
  writeSockaddr(memory, peer, syscall)
  await overlapped(target, {
    syscall,
    memory,
    call: (socket, at, ovl) => WSADeleteSocketPeerTargetName(socket, at, memory.length, ovl),
  })
}

export interface QueryOptions {
  /** Datagram sockets: whom it is about. Streams: none, the connected peer. */
  readonly peer?: Peer | undefined
  /** Access rights to the peer's tokens (TOKEN_QUERY, TOKEN_IMPERSONATE…). Default 0: no tokens. */
  readonly tokenAccess?: number | undefined
}

/**
 * WSAQuerySocketSecurity: after connect, accept, or the first datagram to or from that peer.
 * Repeatable. Whoever asked for tokens closes them: `userToken` and `machineToken`, where not 0.
 * What arrives after the promise was rejected is closed here.
 * @throws (rejects) SocketSecurityError, syscall 'WSAQuerySocketSecurity'
 */
export async function querySecurity(
  target: CallTarget,
  { peer, tokenAccess = 0 }: QueryOptions = {},
): Promise<QueryInfo> {
  requireSecureSocketExtensions()
  try {
    return await query(target, ipsec2Template(peer, tokenAccess), sizeofQueryInfoIpsec2)
  } catch (error) {
    const { errno } = error as SocketSecurityError
    if (errno === undefined || !notUnderstood.includes(errno)) throw error
  }
  const template =
    peer === undefined && tokenAccess === 0 ? undefined : plainTemplate(peer, tokenAccess)
  return query(target, template, sizeofQueryInfo)
}

/** A Windows that does not know IPSEC2, or not for such a socket, is asked the plain question. */
const notUnderstood = [WSAEFAULT, WSAEINVAL, WSAEMSGSIZE, WSAEOPNOTSUPP, WSAEAFNOSUPPORT]

function ipsec2Template(peer: Peer | undefined, tokenAccess: number): Buffer {
  const template = Buffer.alloc(sizeofQueryTemplateIpsec2)
  writeQueryTemplateIpsec2(template, {
    protocol: SOCKET_SECURITY_PROTOCOL_IPSEC2,
    peer,
    tokenAccess,
    flags: 0,
    fieldMask: SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID | SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID,
  })
  return template
}

function plainTemplate(peer: Peer | undefined, tokenAccess: number): Buffer {
  const template = Buffer.alloc(sizeofQueryTemplate)
  writeQueryTemplate(template, { protocol: SOCKET_SECURITY_PROTOCOL_IPSEC, peer, tokenAccess })
  return template
}

/** The template, then the ULONG that says how long the info is (in 8 bytes, for the alignment), then the info. */
async function query(
  target: CallTarget,
  template: Buffer | undefined,
  infoSize: number,
): Promise<QueryInfo> {
  const templateSize = template?.length ?? 0
  const infoAt = templateSize + 8
  const memory = Buffer.alloc(infoAt + infoSize)
  template?.copy(memory)
  memory.writeUInt32LE(infoSize, templateSize)
  const answer = await overlapped(target, {
    syscall: 'WSAQuerySocketSecurity',
    memory,
    answerAt: templateSize,
    call: (socket, at, ovl) =>
      WSAQuerySocketSecurity(
        socket,
        template === undefined ? 0 : at,
        templateSize,
        at + infoAt,
        at + templateSize,
        ovl,
      ),
    late: answer => closeTokens(infoOf(answer)),
  })
  const info = infoOf(answer)
  try {
    return readQueryInfo(info)
  } catch (error) {
    closeTokens(info)
    throw error
  }
}

/** As much of the info as the system says it has filled in. */
function infoOf(answer: Buffer): Buffer {
  return answer.subarray(8, 8 + Math.min(answer.readUInt32LE(0), answer.length - 8))
}

/** Of an answer that nobody gets. */
function closeTokens(info: Buffer): void {
  if (info.length < sizeofQueryInfo) return
  const { userToken, machineToken } = readTokens(info)
  for (const token of [userToken, machineToken]) if (token !== 0) closeHandle(token)
}

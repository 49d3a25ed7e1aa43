/**
 * The verbs of Winsock's secure socket extensions, on the number of a SOCKET.
 */
import type { ParsedSettings } from '../../model/settings.js'
import type { CallTarget } from './overlapped.js'
import type { QueryInfo } from './structures/query-info.js'

export type { CallTarget } from './overlapped.js'
export type { QueryInfo } from './structures/query-info.js'

/** A peer of a SOCKET of that family; an IPv4 address on one of IPv6 is sent as ::ffff:a.b.c.d. */
export interface Peer {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
}

/**
 * WSASetSocketSecurity: before bind, connect and the first datagram; once for each SOCKET.
 * @throws (rejects) SocketSecurityError, syscall 'WSASetSocketSecurity'
 */
export async function setSecurity(_target: CallTarget, _settings: ParsedSettings): Promise<void> {
  throw new Error('to come')
}

/**
 * WSASetSocketPeerTargetName: before connect, or before the first datagram to that peer.
 * @param name as it is sent, e.g. `host/db.example.com`
 * @throws (rejects) SocketSecurityError, syscall 'WSASetSocketPeerTargetName'
 */
export async function setPeerTargetName(
  _target: CallTarget,
  _peer: Peer,
  _name: string,
): Promise<void> {
  throw new Error('to come')
}

/**
 * WSADeleteSocketPeerTargetName, of datagram sockets: the name serves no future authentication.
 * @throws (rejects) SocketSecurityError, syscall 'WSADeleteSocketPeerTargetName'
 */
export async function deletePeerTargetName(_target: CallTarget, _peer: Peer): Promise<void> {
  throw new Error('to come')
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
  _target: CallTarget,
  _options: QueryOptions = {},
): Promise<QueryInfo> {
  throw new Error('to come')
}

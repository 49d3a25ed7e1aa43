/**
 * The SOCKET of a connection that Node has accepted. Node does not tell it on Windows, but libuv
 * knows all TCP handles of a thread: the one whose two addresses are those of the connection is it.
 *
 * The walk takes the longer the more handles there are, so it is made on demand, once a connection.
 */
import type { Socket } from 'node:net'
import { walkTcpHandles } from '../../../lib/libuv.js'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import { sockaddr } from './structures/sockaddr.js'

export interface AcceptedSocket {
  readonly socket: number
  /** False once Node's handle of the connection is closed: the number may be somebody else's then. */
  alive(): boolean
}

/**
 * @throws SocketSecurityError ENOTCONN for a connection that has ended, EPROTO where its SOCKET
 * cannot be told for certain, ERR_PROVIDER_UNAVAILABLE where Node does not let it be looked for
 */
export function findAcceptedSocket(connection: Socket): AcceptedSocket {
  const handle = currentHandle(connection)
  const local = address(connection.localAddress, connection.localPort)
  const remote = address(connection.remoteAddress, connection.remotePort)
  if (!handle || !local || !remote)
    throw new SocketSecurityError('ENOTCONN', 'the connection has ended before it was looked at')
  const found = new Set<number>()
  walkTcpHandles(each => {
    // The remote address tells most of them apart.
    if (!isAddress(each.remoteAddress(), remote) || !isAddress(each.localAddress(), local)) return
    found.add(each.socket())
  })
  const [socket = -1] = found
  if (found.size !== 1 || socket < 0) throw unfound(connection, found.size)
  return { socket, alive: () => currentHandle(connection) === handle }
}

/** The handle, while it has not begun to close: then Node takes it away from its socket. */
function currentHandle(connection: Socket): object | null {
  return (connection as unknown as { _handle?: object | null })._handle ?? null
}

/** As libuv gives it: SOCKADDR_IN or SOCKADDR_IN6. */
function address(text: string | undefined, port: number | undefined): Buffer | null {
  if (text === undefined || port === undefined) return null
  const family = text.includes(':') ? 6 : 4
  return sockaddr({ family, address: text, port }, 'WSAQuerySocketSecurity')
}

/** Not compared: what has no meaning in an address (the rest of SOCKADDR_IN, the flow of SOCKADDR_IN6). */
function isAddress(given: Buffer | null, wanted: Buffer): boolean {
  if (given === null || given.length < wanted.length) return false
  if (wanted.length === SOCKADDR_IN) return given.compare(wanted, 0, 8, 0, 8) === 0
  return (
    given.compare(wanted, 0, 4, 0, 4) === 0 &&
    given.compare(wanted, 8, SOCKADDR_IN6, 8, SOCKADDR_IN6) === 0
  )
}

/** Bytes (ws2def.h, ws2ipdef.h). */
const SOCKADDR_IN = 16
const SOCKADDR_IN6 = 28

function unfound(connection: Socket, count: number): SocketSecurityError {
  const { remoteAddress = '', remotePort = 0 } = connection
  const seen =
    count === 0
      ? 'Node has no handle with its addresses'
      : `Node has ${count} handles with its addresses`
  return new SocketSecurityError(
    'EPROTO',
    `the SOCKET of an accepted connection cannot be told: ${seen}, so nobody can say what secures it`,
    { peer: peerText(remoteAddress, remotePort) },
  )
}

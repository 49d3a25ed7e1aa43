/**
 * Types of handshake messages (RFC 5246, section 7.4; RFC 6347, section 4.3.2), and who sends them.
 * Clear ones can be forged or come late from a handshake that was given up, so what the other end
 * of this handshake never sends is dropped.
 */
import type { AssociationRole } from './association-options.js'
import { epochOf, HANDSHAKE, HEADER_LENGTH, recordEnd } from './records.js'

export const CLIENT_HELLO = 1
export const SERVER_HELLO = 2
export const HELLO_VERIFY_REQUEST = 3
const NEW_SESSION_TICKET = 4
const CERTIFICATE = 11
const SERVER_KEY_EXCHANGE = 12
const CERTIFICATE_REQUEST = 13
const SERVER_HELLO_DONE = 14
const CERTIFICATE_VERIFY = 15
const CLIENT_KEY_EXCHANGE = 16
const CERTIFICATE_STATUS = 22

const ofServers = new Set([
  SERVER_HELLO,
  HELLO_VERIFY_REQUEST,
  NEW_SESSION_TICKET,
  SERVER_KEY_EXCHANGE,
  CERTIFICATE_REQUEST,
  SERVER_HELLO_DONE,
])
const ofClients = new Set([CLIENT_HELLO, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE])

/** What follows a ServerHello, and is of no use before it. */
const afterServerHello = new Set([
  NEW_SESSION_TICKET,
  CERTIFICATE,
  SERVER_KEY_EXCHANGE,
  CERTIFICATE_REQUEST,
  SERVER_HELLO_DONE,
  CERTIFICATE_STATUS,
])

export function followsServerHello(type: number): boolean {
  return afterServerHello.has(type)
}

/** The type of the first message in a clear record; -1 where it is no handshake record. */
export function handshakeType(record: Buffer): number {
  if (record[0] !== HANDSHAKE || record.length <= HEADER_LENGTH) return -1
  return record[HEADER_LENGTH] as number
}

/** Does the other end of our handshake send such messages? */
export function isForRole(type: number, ourRole: AssociationRole): boolean {
  return !(ourRole === 'server' ? ofServers : ofClients).has(type)
}

/**
 * The first message of a datagram that only an end of our own role sends; -1 where there is none. A
 * flight is of one end: what stands beside it, a Certificate, say, is not for us either.
 */
export function messageOfOurRole(datagram: Buffer, ourRole: AssociationRole): number {
  let offset = 0
  for (let end = recordEnd(datagram, 0); end >= 0; end = recordEnd(datagram, offset)) {
    const type =
      epochOf(datagram, offset) === 0 ? handshakeType(datagram.subarray(offset, end)) : -1
    if (type !== CLIENT_HELLO && !isForRole(type, ourRole)) return type
    offset = end
  }
  return -1
}

/** ServerHello.random, where the record begins with that (RFC 5246, section 7.4.1.3). */
export function serverRandom(record: Buffer): Buffer | undefined {
  // After the header of the message and server_version.
  const begin = HEADER_LENGTH + 12 + 2
  if (handshakeType(record) !== SERVER_HELLO || record.length < begin + 32) return undefined
  // fragment_offset: a later fragment has other bytes there.
  if (record.readUIntBE(HEADER_LENGTH + 6, 3) > 0) return undefined
  return record.subarray(begin, begin + 32)
}

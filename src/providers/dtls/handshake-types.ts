/**
 * Types of handshake messages (RFC 5246, section 7.4; RFC 6347, section 4.3.2), and who sends them.
 * Clear ones can be forged or come late from a handshake that was given up, so what the other end
 * of this handshake never sends is dropped.
 */
import { HANDSHAKE, HEADER_LENGTH } from './records.js'

export const CLIENT_HELLO = 1
const SERVER_HELLO = 2
export const HELLO_VERIFY_REQUEST = 3
const NEW_SESSION_TICKET = 4
const SERVER_KEY_EXCHANGE = 12
const CERTIFICATE_REQUEST = 13
const SERVER_HELLO_DONE = 14
const CERTIFICATE_VERIFY = 15
const CLIENT_KEY_EXCHANGE = 16

const ofServers = new Set([
  SERVER_HELLO,
  HELLO_VERIFY_REQUEST,
  NEW_SESSION_TICKET,
  SERVER_KEY_EXCHANGE,
  CERTIFICATE_REQUEST,
  SERVER_HELLO_DONE,
])
const ofClients = new Set([CLIENT_HELLO, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE])

/** The type of the first message in a clear record; -1 where it is no handshake record. */
export function handshakeType(record: Buffer): number {
  if (record[0] !== HANDSHAKE || record.length <= HEADER_LENGTH) return -1
  return record[HEADER_LENGTH] as number
}

/** Does the other end of our handshake send such messages? */
export function isForRole(type: number, ourRole: 'client' | 'server'): boolean {
  return !(ourRole === 'server' ? ofServers : ofClients).has(type)
}

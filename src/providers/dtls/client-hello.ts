/**
 * As much of a ClientHello as the decision needs what becomes of it: whose it is, and whether its
 * sender has shown that it receives at its address (RFC 6347, sections 4.2.1 and 4.2.2).
 */
import { CLIENT_HELLO, handshakeType } from './handshake-types.js'
import { HEADER_LENGTH, recordEnd } from './records.js'

export interface ClientHello {
  /** epoch and sequence_number of its record, which the answer repeats */
  readonly recordNumber: Buffer
  /** message_seq: 0, or 1 in answer to a HelloVerifyRequest */
  readonly messageSequence: number
  readonly random: Buffer
  readonly cookie: Buffer
}

/** msg_type 1, length 3, message_seq 2, fragment_offset 3, fragment_length 3 (RFC 6347, section 4.2.2) */
export const HANDSHAKE_HEADER_LENGTH = 12
export const RANDOM_LENGTH = 32

/**
 * Reads the record of a ClientHello, or of its first fragment where that has the cookie too.
 * Undefined for everything else; the record is whole, of epoch 0.
 */
export function parseClientHello(record: Buffer): ClientHello | undefined {
  if (handshakeType(record) !== CLIENT_HELLO) return undefined
  const begin = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH
  if (record.length < begin || fragmentOffset(record) !== 0) return undefined
  const length = record.readUIntBE(HEADER_LENGTH + 1, 3)
  const fragment = record.readUIntBE(HEADER_LENGTH + 9, 3)
  const end = begin + fragment
  if (fragment > length || end > record.length) return undefined

  // client_version 2, random 32, session_id<0..32>, cookie<0..2^8-1>
  const sessionId = begin + 2 + RANDOM_LENGTH
  if (sessionId >= end) return undefined
  const sessionIdLength = record[sessionId] as number
  const cookie = sessionId + 1 + sessionIdLength
  if (sessionIdLength > 32 || cookie >= end || record[begin] !== 0xfe) return undefined
  const cookieEnd = cookie + 1 + (record[cookie] as number)
  if (cookieEnd > end) return undefined
  return {
    recordNumber: record.subarray(3, 11),
    messageSequence: record.readUInt16BE(HEADER_LENGTH + 4),
    random: record.subarray(begin + 2, sessionId),
    cookie: record.subarray(cookie + 1, cookieEnd),
  }
}

/** A later fragment of a ClientHello: it says nothing of whose it is. */
export function isLaterFragment(record: Buffer): boolean {
  if (handshakeType(record) !== CLIENT_HELLO) return false
  return record.length >= HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH && fragmentOffset(record) > 0
}

/** The ClientHello of a flight that answers a HelloVerifyRequest. That is message 1 (RFC 6347, section 4.2.2). */
export function secondHello(flight: Buffer): Buffer | undefined {
  // Before it the first one can stand once more, whose timer has run out meanwhile.
  for (let at = 0, end = 0; at < flight.length; at = end) {
    end = recordEnd(flight, at)
    if (end < 0) break
    const record = flight.subarray(at, end)
    if (handshakeType(record) === CLIENT_HELLO && record.readUInt16BE(HEADER_LENGTH + 4) === 1)
      return record
  }
  return undefined
}

function fragmentOffset(record: Buffer): number {
  return record.readUIntBE(HEADER_LENGTH + 6, 3)
}

/**
 * The form of a handshake's clear records, looked at before OpenSSL: it ends a handshake over one
 * that is malformed, and anybody can send such a record. What a peer never sends is dropped, as if
 * it had not come. Somebody who knows the very message that is awaited can still spoil a handshake;
 * nothing clear is authenticated before its end.
 */
import type { AssociationRole } from './association-options.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
import { CLIENT_HELLO, HELLO_VERIFY_REQUEST, SERVER_HELLO } from './handshake-types.js'
import {
  ALERT,
  CHANGE_CIPHER_SPEC,
  DTLS1_2,
  epochOf,
  HANDSHAKE,
  HEADER_LENGTH,
  PLAINTEXT_LIMIT,
  recordEnd,
} from './records.js'

/** What a handshake message must look like; the lengths are those that OpenSSL takes (statem_clnt.c, statem_srvr.c). */
interface Form {
  readonly from: AssociationRole | 'both'
  readonly shortest: number
  readonly longest: number
  /** Where a length stands that counts all that follows it, and how many bytes it has. */
  readonly length?: readonly [offset: number, bytes: number]
  /** It begins with a version of DTLS. */
  readonly version?: true
}

/** By msg_type (RFC 5246, section 7.4; RFC 6347, section 4.3.2; RFC 5077; RFC 6066, section 8). */
const forms: Readonly<Record<number, Form>> = {
  // client_hello
  1: { from: 'client', shortest: 42, longest: 131_396, version: true },
  // server_hello
  2: { from: 'server', shortest: 38, longest: 20_000, version: true },
  // hello_verify_request
  3: { from: 'server', shortest: 3, longest: 258, version: true, length: [2, 1] },
  // new_session_ticket
  4: { from: 'server', shortest: 6, longest: 65_541, length: [4, 2] },
  // certificate
  11: { from: 'both', shortest: 3, longest: 102_400, length: [0, 3] },
  // server_key_exchange
  12: { from: 'server', shortest: 2, longest: 102_400 },
  // certificate_request
  13: { from: 'server', shortest: 5, longest: 102_400 },
  // server_hello_done
  14: { from: 'server', shortest: 0, longest: 0 },
  // certificate_verify
  15: { from: 'client', shortest: 4, longest: 16_384, length: [2, 2] },
  // client_key_exchange
  16: { from: 'client', shortest: 1, longest: 2048 },
  // certificate_status
  22: { from: 'server', shortest: 4, longest: 16_384, length: [1, 3] },
}

/** No handshake has more messages in one direction. */
const messageLimit = 16

type Turn = readonly [first: number, last: number]

/**
 * The first and the last message_seq of what a client sends; the hello that has shown its address is 1. Of
 * messages that are not their turn yet OpenSSL would keep ten, each with as much memory as it says that it
 * has bytes: a stranger's few fragments could take a megabyte of a server, for each of its handshakes.
 */
const clientsTurns: Readonly<Record<number, Turn>> = {
  [CLIENT_HELLO]: [0, 1],
  // certificate, client_key_exchange, certificate_verify
  11: [2, 2],
  16: [2, 3],
  15: [4, 4],
}

/**
 * The same of what a server sends first. A later HelloVerifyRequest OpenSSL would keep until that is its
 * turn: a second cookie, or an end of the handshake, by one datagram of anybody.
 */
const serversTurns: Readonly<Record<number, Turn>> = {
  [HELLO_VERIFY_REQUEST]: [0, 0],
  [SERVER_HELLO]: [0, 1],
}

/** The records without those clear ones that no peer in the other role sends; the same Buffer where there are none. */
export function withoutMalformed(records: Buffer, ourRole: AssociationRole): Buffer {
  const kept: [begin: number, end: number][] = []
  let left = 0
  for (let at = 0; at < records.length; ) {
    const end = recordEnd(records, at)
    if (end < 0) break
    if (epochOf(records, at) > 0 || isWellFormed(records, at, end, ourRole)) {
      kept.push([at, end])
      left += end - at
    }
    at = end
  }
  if (left === records.length) return records
  return Buffer.concat(kept.map(([begin, end]) => records.subarray(begin, end)))
}

/**
 * Gives whole clear records the version that OpenSSL takes at every point of a handshake. In theirs it is
 * no fact: nobody authenticates it, and the messages have their own. But OpenSSL, which by then expects
 * another, would skip the header alone and take what we have looked at as a message for records.
 */
export function writeVersion(records: Buffer): void {
  for (let at = 0; at < records.length; ) {
    const end = recordEnd(records, at)
    if (end < 0) return
    if (epochOf(records, at) === 0) records.writeUInt16BE(DTLS1_2, at + 1)
    at = end
  }
}

function isWellFormed(
  records: Buffer,
  begin: number,
  end: number,
  ourRole: AssociationRole,
): boolean {
  const payload = begin + HEADER_LENGTH
  if (end - payload > PLAINTEXT_LIMIT) return false
  switch (records[begin]) {
    case CHANGE_CIPHER_SPEC:
      return end - payload === 1 && records[payload] === 1
    case ALERT:
      return end - payload === 2
    case HANDSHAKE:
      return areMessages(records, payload, end, ourRole)
    default:
      return false
  }
}

/** One message, a fragment of one, or several (RFC 6347, section 4.2.3). */
function areMessages(
  records: Buffer,
  begin: number,
  end: number,
  ourRole: AssociationRole,
): boolean {
  if (begin === end) return false
  for (let at = begin; at < end; ) {
    if (end - at < HANDSHAKE_HEADER_LENGTH) return false
    const form = forms[records[at] as number]
    const length = records.readUIntBE(at + 1, 3)
    const sequence = records.readUInt16BE(at + 4)
    const offset = records.readUIntBE(at + 6, 3)
    const fragment = records.readUIntBE(at + 9, 3)
    const body = at + HANDSHAKE_HEADER_LENGTH
    if (form === undefined || form.from === ourRole || sequence >= messageLimit) return false
    if (!isTurnOf(records[at] as number, sequence, ourRole)) return false
    if (length < form.shortest || length > form.longest) return false
    if (offset + fragment > length || (fragment === 0 && length > 0)) return false
    if (fragment > end - body) return false
    if (offset === 0 && !beginsWell(records, body, fragment, length, form)) return false
    at = body + fragment
  }
  return true
}

function isTurnOf(type: number, sequence: number, ourRole: AssociationRole): boolean {
  const [first, last] =
    ourRole === 'server'
      ? (clientsTurns[type] ?? [0, -1])
      : (serversTurns[type] ?? [0, messageLimit - 1])
  return sequence >= first && sequence <= last
}

/** @param there how many bytes of the message are in this fragment */
function beginsWell(
  records: Buffer,
  body: number,
  there: number,
  length: number,
  { version, length: counted }: Form,
): boolean {
  if (version && (there === 0 || records[body] !== 0xfe)) return false
  if (counted === undefined) return true
  const [offset, bytes] = counted
  if (there < offset + bytes) return true
  return records.readUIntBE(body + offset, bytes) === length - offset - bytes
}

/** What a ClientHello of TLS says, as who stands between two ends sees it: the first record of a stream. */

const SESSION_TICKET = 35
const PRE_SHARED_KEY = 41

/** Does it offer a session (RFC 8446, section 4.2.11; RFC 5077, section 3.2)? */
export function offersSession(bytes: Buffer): boolean {
  const ticket = extensionAt(bytes, SESSION_TICKET)
  // An empty one asks for a ticket.
  const hasTicket = ticket >= 0 && bytes.readUInt16BE(ticket + 2) > 0
  return hasTicket || extensionAt(bytes, PRE_SHARED_KEY) >= 0
}

/** Where the extension of that type begins; -1 where there is none. */
export function extensionAt(bytes: Buffer, type: number): number {
  // The headers of the record and of the message, client_version, random.
  let at = 5 + 4 + 2 + 32
  // session_id, cipher_suites, compression_methods, and the length of the extensions.
  at += 1 + bytes.readUInt8(at)
  at += 2 + bytes.readUInt16BE(at)
  at += 1 + bytes.readUInt8(at)
  const end = at + 2 + bytes.readUInt16BE(at)
  for (at += 2; at < end; at += 4 + bytes.readUInt16BE(at + 2))
    if (bytes.readUInt16BE(at) === type) return at
  return -1
}

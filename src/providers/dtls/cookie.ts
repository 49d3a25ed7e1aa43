/**
 * The stateless cookie exchange (RFC 6347, section 4.2.1): before anything is kept of a stranger, it
 * shows that it receives at the address that it sends from. Ours, so that of a flood of hellos
 * OpenSSL sees nothing but what its HMAC is to be computed of, which has a length that we gave it.
 */
import { timingSafeEqual } from 'node:crypto'
import type { ClientHello } from './client-hello.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
import { type CookieSecrets, KEY_LENGTH, STAMP_LENGTH } from './cookie-secrets.js'
import { explainOpenssl, takeError } from './explain.js'
import { HELLO_VERIFY_REQUEST } from './handshake-types.js'
import { openssl } from './openssl.js'
import { HANDSHAKE, HEADER_LENGTH } from './records.js'

export interface Cookies {
  /** When its cookie was given to this address, to the microsecond; undefined where it is not ours, or too old. */
  givenAt(hello: ClientHello, address: Buffer, port: number): number | undefined
  /** The HelloVerifyRequest that answers it: 60 bytes. */
  request(hello: ClientHello, address: Buffer, port: number): Buffer
}

/** An answer to an address that nobody has verified is never longer than this many times the question. */
export const AMPLIFICATION_LIMIT = 3

/** The time at which it was given, and the tag of that and of whom it was given to. */
const COOKIE_LENGTH = 32
/** server_version 2, cookie<0..2^8-1> */
const BODY_LENGTH = 2 + 1 + COOKIE_LENGTH
export const HELLO_VERIFY_REQUEST_LENGTH = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH + BODY_LENGTH

export function createCookies(secrets: CookieSecrets): Cookies {
  return { givenAt, request }

  function givenAt(hello: ClientHello, address: Buffer, port: number): number | undefined {
    const { cookie, messageSequence } = hello
    // The handshake goes on with message 1 only: a cookie in a first message is asked for again.
    if (cookie.length !== COOKIE_LENGTH || messageSequence !== 1) return undefined
    const tag = cookie.subarray(STAMP_LENGTH)
    for (const secret of secrets()) {
      if (timingSafeEqual(tag, tagOf(secret.key, cookie, hello, address, port)))
        return secret.givenAt(cookie.readUIntBE(0, STAMP_LENGTH))
    }
    return undefined
  }

  function request(hello: ClientHello, address: Buffer, port: number): Buffer {
    const [secret] = secrets()
    if (secret === undefined) throw new RangeError('there is no secret for cookies')
    const datagram = Buffer.from(template)
    datagram.set(hello.recordNumber, 3)
    const cookie = datagram.subarray(HELLO_VERIFY_REQUEST_LENGTH - COOKIE_LENGTH)
    cookie.writeUIntBE(secret.stamp(), 0, STAMP_LENGTH)
    cookie.set(tagOf(secret.key, cookie, hello, address, port), STAMP_LENGTH)
    return datagram
  }
}

/** A HelloVerifyRequest without its number and its cookie. */
const template = (() => {
  const datagram = Buffer.alloc(HELLO_VERIFY_REQUEST_LENGTH)
  datagram[0] = HANDSHAKE
  // DTLS 1.0, whatever is negotiated later (RFC 6347, section 4.2.1), in both places.
  datagram.writeUInt16BE(0xfeff, 1)
  datagram.writeUInt16BE(HANDSHAKE_HEADER_LENGTH + BODY_LENGTH, 11)
  datagram[HEADER_LENGTH] = HELLO_VERIFY_REQUEST
  datagram.writeUIntBE(BODY_LENGTH, HEADER_LENGTH + 1, 3)
  // message_seq and fragment_offset stay 0
  datagram.writeUIntBE(BODY_LENGTH, HEADER_LENGTH + 9, 3)
  const body = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH
  datagram.writeUInt16BE(0xfeff, body)
  datagram[body + 2] = COOKIE_LENGTH
  return datagram
})()

/**
 * HMAC-SHA256 of the time that a cookie begins with and of whom it is given to. By one call: an object
 * of node:crypto's for each takes twice the time. The result is to be read at once.
 */
function tagOf(
  secret: Buffer,
  time: Buffer,
  { random }: ClientHello,
  address: Buffer,
  port: number,
): Buffer {
  const { lib, scratch } = openssl()
  const { bytes, address: at } = scratch
  secret.copy(bytes)
  time.copy(bytes, KEY_LENGTH, 0, STAMP_LENGTH)
  const begin = KEY_LENGTH + STAMP_LENGTH
  bytes.writeUInt16BE(port, begin)
  bytes[begin + 2] = address.length
  address.copy(bytes, begin + 3)
  random.copy(bytes, begin + 3 + address.length)
  const length = STAMP_LENGTH + 3 + address.length + random.length
  const end = KEY_LENGTH + length
  const done = lib.HMAC(lib.EVP_sha256(), at, KEY_LENGTH, at + KEY_LENGTH, length, at + end, 0)
  bytes.fill(0, 0, KEY_LENGTH)
  // What stands there then is no tag.
  if (done === 0) throw explainOpenssl(takeError(), 'a cookie')
  return bytes.subarray(end, end + COOKIE_LENGTH - STAMP_LENGTH)
}

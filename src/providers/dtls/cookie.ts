/**
 * The stateless cookie exchange (RFC 6347, section 4.2.1): before anything is kept of a stranger, it
 * shows that it receives at the address that it sends from. Ours, so that of a flood of hellos
 * OpenSSL sees nothing but what its HMAC is to be computed of, which has a length that we gave it.
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { ClientHello } from './client-hello.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
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

/** Milliseconds after which the secret is another; the previous one holds as long again. */
export const COOKIE_PERIOD = 60_000
/** An answer to an address that nobody has verified is never longer than this many times the question. */
export const AMPLIFICATION_LIMIT = 3

/** The time at which it was given, and the tag of that and of whom it was given to. */
const TIME_LENGTH = 6
const COOKIE_LENGTH = 32
/** server_version 2, cookie<0..2^8-1> */
const BODY_LENGTH = 2 + 1 + COOKIE_LENGTH
export const HELLO_VERIFY_REQUEST_LENGTH = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH + BODY_LENGTH

/** @param now milliseconds that never go back */
export function createCookies(now: () => number): Cookies {
  let secret = newSecret()
  let previous = newSecret()
  let since = now()
  // The time in a cookie tells nothing of how long we have been running.
  const epoch = randomInt(2 ** 40) - microseconds(since)
  return { givenAt, request }

  function givenAt(hello: ClientHello, address: Buffer, port: number): number | undefined {
    const { cookie, messageSequence } = hello
    // The handshake goes on with message 1 only: a cookie in a first message is asked for again.
    if (cookie.length !== COOKIE_LENGTH || messageSequence !== 1) return undefined
    rotate()
    const tag = cookie.subarray(TIME_LENGTH)
    const isOf = (each: Buffer) => timingSafeEqual(tag, tagOf(each, cookie, hello, address, port))
    if (!isOf(secret) && !isOf(previous)) return undefined
    return (cookie.readUIntBE(0, TIME_LENGTH) - epoch) / 1000
  }

  function request(hello: ClientHello, address: Buffer, port: number): Buffer {
    rotate()
    const datagram = Buffer.from(template)
    datagram.set(hello.recordNumber, 3)
    const cookie = datagram.subarray(HELLO_VERIFY_REQUEST_LENGTH - COOKIE_LENGTH)
    cookie.writeUIntBE(microseconds(now()) + epoch, 0, TIME_LENGTH)
    cookie.set(tagOf(secret, cookie, hello, address, port), TIME_LENGTH)
    return datagram
  }

  function rotate(): void {
    const periods = Math.floor((now() - since) / COOKIE_PERIOD)
    if (periods < 1) return
    previous = periods === 1 ? secret : newSecret()
    secret = newSecret()
    since += periods * COOKIE_PERIOD
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

const KEY_LENGTH = 32

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
  time.copy(bytes, KEY_LENGTH, 0, TIME_LENGTH)
  const begin = KEY_LENGTH + TIME_LENGTH
  bytes.writeUInt16BE(port, begin)
  bytes[begin + 2] = address.length
  address.copy(bytes, begin + 3)
  random.copy(bytes, begin + 3 + address.length)
  const length = TIME_LENGTH + 3 + address.length + random.length
  const end = KEY_LENGTH + length
  const done = lib.HMAC(lib.EVP_sha256(), at, KEY_LENGTH, at + KEY_LENGTH, length, at + end, 0)
  bytes.fill(0, 0, KEY_LENGTH)
  // What stands there then is no tag.
  if (done === 0) throw explainOpenssl(takeError(), 'a cookie')
  return bytes.subarray(end, end + COOKIE_LENGTH - TIME_LENGTH)
}

function microseconds(milliseconds: number): number {
  return Math.floor(milliseconds * 1000)
}

function newSecret(): Buffer {
  return randomBytes(KEY_LENGTH)
}

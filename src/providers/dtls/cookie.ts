/**
 * The stateless cookie exchange (RFC 6347, section 4.2.1): before anything is kept of a stranger, it
 * shows that it receives at the address that it sends from. Ours and not OpenSSL's, so that a flood
 * of hellos reaches no foreign code.
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import type { ClientHello } from './client-hello.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
import { HELLO_VERIFY_REQUEST } from './handshake-types.js'
import { hmacSha256, type Mac } from './hmac.js'
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
    const message = bound(cookie, hello, address, port)
    const tag = cookie.subarray(TIME_LENGTH)
    const isOurs =
      timingSafeEqual(tag, tagOf(secret, message)) || timingSafeEqual(tag, tagOf(previous, message))
    return isOurs ? (cookie.readUIntBE(0, TIME_LENGTH) - epoch) / 1000 : undefined
  }

  function request(hello: ClientHello, address: Buffer, port: number): Buffer {
    rotate()
    const datagram = Buffer.from(template)
    datagram.set(hello.recordNumber, 3)
    const cookie = datagram.subarray(HELLO_VERIFY_REQUEST_LENGTH - COOKIE_LENGTH)
    cookie.writeUIntBE(microseconds(now()) + epoch, 0, TIME_LENGTH)
    cookie.set(tagOf(secret, bound(cookie, hello, address, port)), TIME_LENGTH)
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

/** What a cookie is bound to: the time that it begins with, and whom it is given to. */
function bound(cookie: Buffer, { random }: ClientHello, address: Buffer, port: number): Buffer {
  const message = Buffer.allocUnsafe(TIME_LENGTH + 3 + address.length + random.length)
  cookie.copy(message, 0, 0, TIME_LENGTH)
  message.writeUInt16BE(port, TIME_LENGTH)
  message[TIME_LENGTH + 2] = address.length
  message.set(address, TIME_LENGTH + 3)
  message.set(random, TIME_LENGTH + 3 + address.length)
  return message
}

function tagOf(secret: Mac, message: Buffer): Buffer {
  return secret(message).subarray(0, COOKIE_LENGTH - TIME_LENGTH)
}

function microseconds(milliseconds: number): number {
  return Math.floor(milliseconds * 1000)
}

function newSecret(): Mac {
  return hmacSha256(randomBytes(32))
}

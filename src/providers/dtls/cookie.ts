/**
 * The stateless cookie exchange (RFC 6347, section 4.2.1): before anything is kept of a stranger, it
 * shows that it receives at the address that it sends from. Ours and not OpenSSL's, so that a flood
 * of hellos reaches no foreign code.
 */
import {
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
  randomInt,
  timingSafeEqual,
} from 'node:crypto'
import type { ClientHello } from './client-hello.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
import { HELLO_VERIFY_REQUEST } from './handshake-types.js'
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
    const time = cookie.subarray(0, TIME_LENGTH)
    const isOurs = [secret, previous].some(each =>
      timingSafeEqual(cookie.subarray(TIME_LENGTH), tag(each, time, hello, address, port)),
    )
    return isOurs ? (time.readUIntBE(0, TIME_LENGTH) - epoch) / 1000 : undefined
  }

  function request(hello: ClientHello, address: Buffer, port: number): Buffer {
    rotate()
    const datagram = Buffer.alloc(HELLO_VERIFY_REQUEST_LENGTH)
    datagram[0] = HANDSHAKE
    // DTLS 1.0, whatever is negotiated later (RFC 6347, section 4.2.1), in both places.
    datagram.writeUInt16BE(0xfeff, 1)
    hello.recordNumber.copy(datagram, 3)
    datagram.writeUInt16BE(HANDSHAKE_HEADER_LENGTH + BODY_LENGTH, 11)
    datagram[HEADER_LENGTH] = HELLO_VERIFY_REQUEST
    datagram.writeUIntBE(BODY_LENGTH, HEADER_LENGTH + 1, 3)
    // message_seq and fragment_offset stay 0
    datagram.writeUIntBE(BODY_LENGTH, HEADER_LENGTH + 9, 3)
    const body = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH
    datagram.writeUInt16BE(0xfeff, body)
    datagram[body + 2] = COOKIE_LENGTH
    const cookie = datagram.subarray(body + 3)
    cookie.writeUIntBE(microseconds(now()) + epoch, 0, TIME_LENGTH)
    const time = cookie.subarray(0, TIME_LENGTH)
    tag(secret, time, hello, address, port).copy(cookie, TIME_LENGTH)
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

function tag(
  secret: KeyObject,
  time: Buffer,
  { random }: ClientHello,
  address: Buffer,
  port: number,
): Buffer {
  const bound = Buffer.allocUnsafe(3)
  bound.writeUInt16BE(port, 0)
  bound[2] = address.length
  const mac = createHmac('sha256', secret).update(time).update(bound).update(address).update(random)
  return mac.digest().subarray(0, COOKIE_LENGTH - TIME_LENGTH)
}

function microseconds(milliseconds: number): number {
  return Math.floor(milliseconds * 1000)
}

/** As a KeyObject: with a Buffer each HMAC would import the key anew, which takes ten times as long. */
function newSecret(): KeyObject {
  return createSecretKey(randomBytes(32))
}

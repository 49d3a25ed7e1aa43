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
  timingSafeEqual,
} from 'node:crypto'
import type { ClientHello } from './client-hello.js'
import { HANDSHAKE_HEADER_LENGTH } from './client-hello.js'
import { HELLO_VERIFY_REQUEST } from './handshake-types.js'
import { HANDSHAKE, HEADER_LENGTH } from './records.js'

export interface Cookies {
  /** Is the cookie in it ours, for this address, and not too old? */
  verifies(hello: ClientHello, address: Buffer, port: number): boolean
  /** The HelloVerifyRequest that answers it: 60 bytes. */
  request(hello: ClientHello, address: Buffer, port: number): Buffer
}

/** Milliseconds after which the secret is another; the previous one holds as long again. */
export const COOKIE_PERIOD = 60_000
/** An answer to an address that nobody has verified is never longer than this many times the question. */
export const AMPLIFICATION_LIMIT = 3

const COOKIE_LENGTH = 32
/** server_version 2, cookie<0..2^8-1> */
const BODY_LENGTH = 2 + 1 + COOKIE_LENGTH
export const HELLO_VERIFY_REQUEST_LENGTH = HEADER_LENGTH + HANDSHAKE_HEADER_LENGTH + BODY_LENGTH

/** @param now milliseconds that never go back */
export function createCookies(now: () => number): Cookies {
  let secret = newSecret()
  let previous = newSecret()
  let since = now()
  return { verifies, request }

  function verifies(hello: ClientHello, address: Buffer, port: number): boolean {
    // The handshake goes on with message 1 only: a cookie in a first message is asked for again.
    if (hello.cookie.length !== COOKIE_LENGTH || hello.messageSequence !== 1) return false
    rotate()
    return [secret, previous].some(each =>
      timingSafeEqual(hello.cookie, cookie(each, hello, address, port)),
    )
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
    cookie(secret, hello, address, port).copy(datagram, body + 3)
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

function cookie(secret: KeyObject, hello: ClientHello, address: Buffer, port: number): Buffer {
  const bound = Buffer.allocUnsafe(3)
  bound.writeUInt16BE(port, 0)
  bound[2] = address.length
  return createHmac('sha256', secret).update(bound).update(address).update(hello.random).digest()
}

/** As a KeyObject: with a Buffer each HMAC would import the key anew, which takes ten times as long. */
function newSecret(): KeyObject {
  return createSecretKey(randomBytes(32))
}

/** What strangers send: hellos that a server of ours would answer, cookies of others, pieces and garbage. */
import { clientHello, handshakeFragment, helloBody, record } from '../../providers/dtls/hellos.js'

/** x25519 and P-256, uncompressed points, three signatures, extended_master_secret, renegotiation_info. */
const extensions = Buffer.from(
  [
    '000a00060004001d0017',
    '000b00020100',
    '000d00080006040308040401',
    '00170000',
    'ff01000100',
  ].join(''),
  'hex',
)

/** A client that has an address and a random; what it is told to do with them is the flood's affair. */
export class Stranger {
  readonly random: Buffer

  /** @param random 32 bytes */
  constructor(random: Buffer) {
    this.random = random
  }

  /** The first hello, or with a cookie the second. */
  hello(cookie?: Buffer, random: Buffer = this.random): Buffer {
    return clientHello({ random, extensions, ...(cookie && { cookie }) })
  }

  /** The second hello in fragments of so many bytes, of which the first has the cookie. */
  helloInPieces(cookie: Buffer, size: number): Buffer[] {
    const body = helloBody({ random: this.random, extensions, cookie })
    const first = 2 + 32 + 1 + 1 + cookie.length
    return [
      record(22, 0, handshakeFragment(1, 1, body, 0, first), 1),
      ...pieces(1, 1, body, size, first),
    ]
  }
}

/** A message in fragments of so many bytes. */
export function pieces(
  type: number,
  messageSequence: number,
  body: Buffer,
  size: number,
  begin = 0,
): Buffer[] {
  const all: Buffer[] = []
  for (let at = begin; at < body.length; at += size) {
    const end = Math.min(body.length, at + size)
    all.push(record(22, 0, handshakeFragment(type, messageSequence, body, at, end), 2 + all.length))
  }
  return all
}

/** A fragment that claims to be a part of a message of any length, whether it can be or not. */
export function claim(
  type: number,
  messageSequence: number,
  length: number,
  offset: number,
  bytes: Buffer,
  claimed = bytes.length,
): Buffer {
  const header = Buffer.alloc(12)
  header[0] = type
  header.writeUIntBE(length, 1, 3)
  header.writeUInt16BE(messageSequence, 4)
  header.writeUIntBE(offset, 6, 3)
  header.writeUIntBE(claimed, 9, 3)
  return record(22, 0, Buffer.concat([header, bytes]), 3)
}

/** The cookie of a HelloVerifyRequest; undefined where it is something else. */
export function cookieIn(datagram: Buffer): Buffer | undefined {
  if (datagram[0] !== 22 || datagram[13] !== 3) return undefined
  const length = datagram[27] as number
  return datagram.subarray(28, 28 + length)
}

/** Records of DTLS made by hand, for tests that need none of OpenSSL. */
import { randomBytes } from 'node:crypto'

export interface HelloOptions {
  readonly random?: Buffer
  readonly sessionId?: Buffer
  readonly cookie?: Buffer
  readonly messageSequence?: number
  readonly recordNumber?: Buffer
  /** Without the length of them all; none by default. */
  readonly extensions?: Buffer
  /** Bytes of its end that go into a fragment of their own. */
  readonly cut?: number
}

/** A record of any type, epoch and length. */
export function record(type: number, epoch: number, fragment: Buffer, number = 0): Buffer {
  const header = Buffer.alloc(13)
  header[0] = type
  header.writeUInt16BE(0xfefd, 1)
  header.writeUInt16BE(epoch, 3)
  header.writeUIntBE(number, 5, 6)
  header.writeUInt16BE(fragment.length, 11)
  return Buffer.concat([header, fragment])
}

/** The record of a ClientHello with one cipher suite; or of its first fragment. */
export function clientHello(options: HelloOptions = {}): Buffer {
  const { cut = 0, messageSequence = options.cookie === undefined ? 0 : 1 } = options
  const body = helloBody(options)
  const hello = record(22, 0, handshakeFragment(1, messageSequence, body, 0, body.length - cut))
  options.recordNumber?.copy(hello, 3)
  return hello
}

/** A part of a handshake message, with its header. */
export function handshakeFragment(
  type: number,
  messageSequence: number,
  body: Buffer,
  begin = 0,
  end = body.length,
): Buffer {
  const header = Buffer.alloc(12)
  header[0] = type
  header.writeUIntBE(body.length, 1, 3)
  header.writeUInt16BE(messageSequence, 4)
  header.writeUIntBE(begin, 6, 3)
  header.writeUIntBE(end - begin, 9, 3)
  return Buffer.concat([header, body.subarray(begin, end)])
}

/** A ClientHello without headers. */
export function helloBody(options: HelloOptions): Buffer {
  const {
    random = randomBytes(32),
    sessionId = Buffer.alloc(0),
    cookie = Buffer.alloc(0),
    extensions = Buffer.alloc(0),
  } = options
  const length = Buffer.alloc(extensions.length === 0 ? 0 : 2)
  if (length.length > 0) length.writeUInt16BE(extensions.length)
  return Buffer.concat([
    Buffer.from('fefd', 'hex'),
    random,
    Buffer.from([sessionId.length]),
    sessionId,
    Buffer.from([cookie.length]),
    cookie,
    Buffer.from('0002c02b0100', 'hex'),
    length,
    extensions,
  ])
}

/** The type of the first handshake message of a datagram; -1 where it is none, or protected. */
export function messageType(datagram: Buffer): number {
  return datagram[0] === 22 && datagram.readUInt16BE(3) === 0 ? (datagram[13] as number) : -1
}

/** Is there a clear handshake message of this type at the beginning of one of its records? */
export function messageOf(datagram: Buffer, type: number): boolean {
  let offset = 0
  while (offset + 13 < datagram.length) {
    if (messageType(datagram.subarray(offset)) === type) return true
    offset += 13 + datagram.readUInt16BE(offset + 11)
  }
  return false
}

/** The body of a ServerHello that chooses a cipher suite which nobody offered. */
export function badServerHello(): Buffer {
  return Buffer.concat([
    Buffer.from('fefd', 'hex'),
    randomBytes(32),
    Buffer.from('00000100', 'hex'),
  ])
}

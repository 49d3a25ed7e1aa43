/** Cuts the clear messages of a handshake anew, in a way in which no end that we know cuts its own. */
import type { Random } from '../../model/random.js'
import { handshakeFragment, record } from '../../providers/dtls/hellos.js'

export interface Pieces {
  /** Bytes of a message in each piece. */
  readonly size: number
  /** So many of them are in the piece before, too. */
  readonly overlap?: number
  /** What was cut comes as it was, besides its pieces. */
  readonly whole?: boolean
}

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const HELLO_VERIFY_REQUEST = 3
/** To the cookie of a hello, and behind it. */
const HELLO_BEGINS = 150
const RECORD_HEADER = 13
const MESSAGE_HEADER = 12

/**
 * For one direction, from its first datagram on.
 *
 * @returns what makes many datagrams of one: each piece is a datagram, and they come in any order
 */
export function recutting(random: Random, pieces: Pieces): (datagram: Buffer) => Buffer[] {
  let number = 0
  return datagram => {
    const all = recordsOf(datagram).flatMap(each => (isClear(each) ? cut(each, pieces) : [each]))
    // A hello must come first with its beginning, which has the cookie.
    const isHello = isClear(datagram) && typeOf(datagram) === CLIENT_HELLO
    const ordered = isHello ? all : random.some(all, all.length)
    return ordered.map(numbered)
  }

  /** There are more records than before, and none may have the number of another. */
  function numbered(piece: Buffer): Buffer {
    if (epochOf(piece) > 0) return piece
    const changed = Buffer.from(piece)
    changed.writeUIntBE(number, 5, 6)
    number += 1
    return changed
  }
}

/** The records of a datagram, each with its header. */
export function recordsOf(datagram: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at + RECORD_HEADER <= datagram.length; ) {
    const end = at + RECORD_HEADER + datagram.readUInt16BE(at + 11)
    records.push(datagram.subarray(at, end))
    at = end
  }
  return records
}

function cut(whole: Buffer, { size, overlap = 0, whole: isWhole = false }: Pieces): Buffer[] {
  const type = typeOf(whole)
  const length = whole.readUIntBE(14, 3)
  const sequence = whole.readUInt16BE(17)
  const offset = whole.readUIntBE(19, 3)
  const fragment = whole.subarray(RECORD_HEADER + MESSAGE_HEADER)
  if (type === HELLO_VERIFY_REQUEST || fragment.length === 0) return [whole]
  const body = Buffer.alloc(length)
  fragment.copy(body, offset)
  const first = type === CLIENT_HELLO && offset === 0 ? Math.max(size, HELLO_BEGINS) : size
  const pieces: Buffer[] = []
  for (let at = 0; at < fragment.length; ) {
    const end = Math.min(fragment.length, at + (at === 0 ? first : size))
    const piece = handshakeFragment(type, sequence, body, offset + at, offset + end)
    pieces.push(record(HANDSHAKE, 0, piece))
    at = end === fragment.length ? end : end - Math.min(overlap, end - at - 1)
  }
  return isWhole ? [...pieces, whole] : pieces
}

function isClear(record: Buffer): boolean {
  return record[0] === HANDSHAKE && epochOf(record) === 0
}

function epochOf(record: Buffer): number {
  return record.readUInt16BE(3)
}

function typeOf(record: Buffer): number {
  return record[RECORD_HEADER] as number
}

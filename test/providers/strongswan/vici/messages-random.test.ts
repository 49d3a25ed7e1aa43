/**
 * The bytes of VICI at random: any tree comes back as it was, in whatever pieces it arrives; and what
 * was changed on the way is refused or is a message of just those bytes.
 */
import t from 'tap'
import { decodeMessage } from '../../../../src/providers/strongswan/vici/decode.js'
import { encodeMessage, measure } from '../../../../src/providers/strongswan/vici/encode.js'
import {
  decodePacket,
  MAX_PACKET,
  Packets,
} from '../../../../src/providers/strongswan/vici/packets.js'
import type { Message, Section } from '../../../../src/providers/strongswan/vici/section.js'
import { type Random, seededRandom } from '../../../model/random.js'
import { charon, hostile } from './corpus.js'

t.test('random trees', async t => {
  const random = seededRandom(t)
  for (let run = 0; run < 500; run++) {
    const [message, expected] = randomTree(random, 4)
    const bytes = encodeMessage(message)
    t.equal(bytes.length, measure(message))
    const decoded = decodeMessage(bytes, 'latin1')
    if (JSON.stringify(decoded) === JSON.stringify(expected)) continue
    return t.same(decoded, expected)
  }
})

t.test('messages with whatever has happened to them on the way', async t => {
  const random = seededRandom(t)
  const seeds = [
    ...charon.map(({ bytes }) => decodePacket(bytes).message),
    ...hostile.map(({ bytes }) => bytes),
  ]
  let refused = 0
  for (let run = 0; run < 5000; run++) {
    const bytes = mutated(random, random.of(seeds), random.of(seeds))
    let section: Section
    try {
      section = decodeMessage(bytes, 'latin1')
    } catch (error) {
      refused++
      if (error instanceof Error && error.constructor === Error) continue
      throw error
    }
    // Nothing is made of bytes that are not there, and nothing of them is lost.
    if (sizeOf(section) !== bytes.length) return t.fail(bytes.toString('hex'))
  }
  t.ok(refused > 500 && refused < 4900, `${refused} of 5000 were refused`)
})

t.test('packets in random pieces', async t => {
  const random = seededRandom(t)
  for (let run = 0; run < 50; run++) {
    const sent = Array.from({ length: random.below(20) }, () => random.of(charon).bytes)
    const stream = Buffer.concat(sent.map(bytes => Buffer.concat([length(bytes.length), bytes])))
    const packets = new Packets()
    const received: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const size = 1 + random.below(random.of([2, 10, 5000]))
      received.push(...packets.push(stream.subarray(at, at + size)))
      at += size
    }
    t.same(received, sent)
  }
  for (const bytes of [0, MAX_PACKET + 1, 2 ** 32 - 1])
    t.throws(() => new Packets().push(length(bytes)), { message: `a packet of ${bytes} bytes` })
  t.same(new Packets().push(length(MAX_PACKET)), [], 'as large as a packet can be')
})

/** A message, and what it is to be decoded to. */
function randomTree(random: Random, depth: number): [Message, Section] {
  const message: Record<string, Message[string]> = Object.create(null)
  const expected: Record<string, Section[string]> = Object.create(null)
  for (let n = random.below(6); n > 0; n--) {
    // No digits: an object puts such keys first, whatever the order.
    const name = random.text('abc-_. ~', 1, random.of([1, 3, 255]))
    const kind = random.below(depth > 0 ? 5 : 3)
    if (kind < 2) {
      const [value, text] = randomValue(random)
      message[name] = value
      expected[name] = text
    } else if (kind === 2) {
      const items = Array.from({ length: random.below(5) }, () => randomValue(random))
      message[name] = items.map(([value]) => value)
      expected[name] = items.map(([, text]) => text)
    } else {
      ;[message[name], expected[name]] = randomTree(random, depth - 1)
    }
  }
  return [message, expected]
}

function randomValue(random: Random): [string | number | boolean | Buffer, string] {
  const kind = random.below(10)
  if (kind === 0) return [true, 'yes']
  if (kind === 1) return [false, 'no']
  const number = random.below(1e9)
  if (kind === 2) return [number, String(number)]
  const text = random.text(
    Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)),
    0,
    random.of([0, 5, 500]),
  )
  return [Buffer.from(text, 'latin1'), text]
}

function mutated(random: Random, bytes: Buffer, other: Buffer): Buffer {
  let result = Buffer.from(bytes)
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(result.length + 1)
    const kind = random.below(5)
    if (kind === 0 && result.length > 0) result[at % result.length] = random.below(8)
    else if (kind === 1 && result.length > 0) result[at % result.length] = random.below(256)
    else if (kind === 2) result = result.subarray(0, at)
    else if (kind === 3)
      result = Buffer.concat([result.subarray(0, at), other, result.subarray(at)])
    else result = Buffer.concat([result, other.subarray(random.below(other.length + 1))])
  }
  return result
}

/** How many bytes a decoded message was made of. */
function sizeOf(section: Section): number {
  let size = 0
  for (const [name, value] of Object.entries(section)) {
    size += 2 + name.length
    if (typeof value === 'string') size += 2 + value.length
    else if (Array.isArray(value)) size += 1 + value.reduce((sum, item) => sum + 3 + item.length, 0)
    else size += 1 + sizeOf(value as Section)
  }
  return size
}

function length(bytes: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(bytes)
  return buffer
}

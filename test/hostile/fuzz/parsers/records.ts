/** The framing and screening of a datagram of DTLS, before OpenSSL sees any of it. */
import { withoutMalformed, writeVersion } from '../../../../src/providers/dtls/clear-records.js'
import { isLaterFragment, parseClientHello } from '../../../../src/providers/dtls/client-hello.js'
import { countRecords, groupRecords } from '../../../../src/providers/dtls/flight.js'
import {
  handshakeType,
  messageOfOurRole,
  serverRandom,
} from '../../../../src/providers/dtls/handshake-types.js'
import {
  endOfRun,
  epochOf,
  HEADER_LENGTH,
  isProtected,
  recordEnd,
} from '../../../../src/providers/dtls/records.js'
import { clientHello, handshakeFragment, record } from '../../../providers/dtls/hellos.js'
import { must, type Parser } from '../parser.js'

const MINIMUM = 24
const version = Buffer.from([0xfe, 0xfd])

export const records: Parser = {
  name: 'records',
  seeds: () => [
    clientHello(),
    clientHello({ cookie: Buffer.alloc(32, 1), sessionId: Buffer.alloc(32, 2), cut: 5 }),
    record(23, 1, Buffer.alloc(40), 7),
    Buffer.concat([record(20, 0, Buffer.from([1])), record(22, 1, Buffer.alloc(40))]),
    record(21, 0, Buffer.from([2, 40])),
    ...[1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 22].map(type =>
      record(22, 0, handshakeFragment(type, 1, Buffer.concat([version, Buffer.alloc(60)]))),
    ),
  ],
  words: [Buffer.from([22, 254, 253, 0, 0]), Buffer.from([23, 254, 253, 0, 1]), version],
  check(input) {
    const seen = look(input)
    // What stands before and behind it in the same memory is not of it.
    const memory = Buffer.concat([Buffer.alloc(40, 22), input, Buffer.alloc(40, 254)])
    const inside = memory.subarray(40, 40 + input.length)
    must(same(look(inside), seen), 'bytes of others change what is seen')
    must(memory.subarray(40, 40 + input.length).equals(input), 'a look changes nothing')
  },
}

function look(input: Buffer): unknown[] {
  const framed = frames(input)
  if (input.length > 0) {
    const whole = framed.length > 0 && framed.at(-1) === input.length
    const isOurs = isProtected(input, MINIMUM)
    must(!isOurs || whole, 'what is protected consists of whole records')
    must(!isOurs || framed.every((_, at) => epochOf(input, framed[at - 1] ?? 0) === 1), 'epoch')
    must(countRecords(input) === framed.length + (whole ? 0 : 1), 'the records are counted')
  }
  const grouped = groupRecords(input, 100)
  must(Buffer.concat(grouped).equals(input.subarray(0, framed.at(-1) ?? 0)), 'pieces of the whole')
  const { length } = input
  const limits = { recordVersion: 0xfefd, minimumRecord: MINIMUM }
  for (const segment of [13, 37, 53, length]) {
    if (segment === 0) continue
    const end = endOfRun(input, 0, segment, limits, 4000)
    must(end === length || end % segment === 0, 'a run ends with a datagram')
    must(end === 0 || isProtected(input.subarray(0, end), MINIMUM), 'a run is protected')
  }
  return [
    framed,
    ...clear(input),
    ...framed.map((end, at) => hello(input, framed[at - 1] ?? 0, end)),
  ]
}

/** Where the records end, one behind the other. */
function frames(input: Buffer): number[] {
  const ends: number[] = []
  for (let at = 0; at < input.length; ) {
    const end = recordEnd(input, at)
    if (end < 0) break
    must(end >= at + HEADER_LENGTH && end <= input.length, 'a record is inside of its datagram')
    ends.push(end)
    at = end
  }
  return ends
}

function clear(input: Buffer): unknown[] {
  return (['client', 'server'] as const).map(role => {
    const kept = withoutMalformed(input, role)
    must(withoutMalformed(kept, role).equals(kept), 'what is well formed stays so')
    const copy = Buffer.from(kept)
    writeVersion(copy)
    must(withoutMalformed(copy, role).equals(copy), 'by whatever version')
    for (let at = 0; at < copy.length; at = recordEnd(copy, at)) {
      must(recordEnd(copy, at) > 0, 'nothing but whole records goes on')
      if (epochOf(copy, at) > 0) continue
      must(copy.readUInt16BE(at + 1) === 0xfefd, 'each of which OpenSSL takes whole')
      if (copy[at] === 22) messages(copy.subarray(at + 13, recordEnd(copy, at)), role)
    }
    return [kept, messageOfOurRole(input, role)]
  })
}

/** Once more, by a reader that does nothing else: whole messages or fragments, of the other end. */
function messages(content: Buffer, role: 'client' | 'server'): void {
  must(content.length > 0, 'there is a message')
  for (let at = 0; at < content.length; ) {
    must(content.length - at >= 12, 'a message has its header')
    const [length, offset, fragment] = [1, 6, 9].map(from => content.readUIntBE(at + from, 3))
    must((offset as number) + (fragment as number) <= (length as number), 'a fragment is inside')
    const type = content[at] as number
    must(type !== 20, 'Finished is never clear')
    must(![2, 3, 4, 12, 13, 14].includes(type) || role === 'client', 'it is of a server')
    must(![1, 15, 16].includes(type) || role === 'server', 'it is of a client')
    at += 12 + (fragment as number)
    must(at <= content.length, 'a fragment is there')
  }
}

function hello(input: Buffer, begin: number, end: number): unknown {
  const one = input.subarray(begin, end)
  const found = parseClientHello(one)
  if (found !== undefined) {
    must(handshakeType(one) === 1 && !isLaterFragment(one), 'it is the beginning of a hello')
    must(found.random.length === 32, 'a random has 32 bytes')
    must(found.recordNumber.length === 8 && found.cookie.length < 256, 'and the others their own')
    for (const field of [found.random, found.cookie, found.recordNumber])
      must(isInside(field, one), 'a field is inside of its record')
  }
  const random = serverRandom(one)
  must(random === undefined || (random.length === 32 && isInside(random, one)), 'server random')
  return found
}

function isInside(part: Buffer, whole: Buffer): boolean {
  const begin = part.byteOffset - whole.byteOffset
  return part.buffer === whole.buffer && begin >= 0 && begin + part.length <= whole.length
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

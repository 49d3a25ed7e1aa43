/** What the IKE daemon says: what is not exactly a message is refused, and of one nothing is lost. */
import { decodeMessage } from '../../../../src/providers/strongswan/vici/decode.js'
import { MAX_DEPTH } from '../../../../src/providers/strongswan/vici/elements.js'
import { encodeMessage } from '../../../../src/providers/strongswan/vici/encode.js'
import {
  decodePacket,
  MAX_PACKET,
  Packets,
} from '../../../../src/providers/strongswan/vici/packets.js'
import type { Message, Section } from '../../../../src/providers/strongswan/vici/section.js'
import { charon, hostile } from '../../../providers/strongswan/vici/corpus.js'
import { must, type Parser, resultOr } from '../parser.js'

/** The connection ends over any error of these, which are plain ones. */
const plain = (error: unknown) => Object(error).constructor?.name === 'Error'

export const vici: Parser = {
  name: 'vici',
  seeds: () => [
    ...charon.map(({ bytes }) => bytes.subarray(0, 2048)),
    ...charon.slice(0, 8).map(({ bytes }) => decodePacket(bytes).message.subarray(0, 1000)),
    ...hostile.map(({ bytes }) => bytes.subarray(0, 2048)),
  ],
  words: [
    ...[1, 2, 3, 4, 5, 6].map(type => Buffer.from([type])),
    ...['\x03\x01a\x00\x00', '\x09__proto__', '\x0bconstructor', '\x01\x01a\x02', '\x04\x01a\x06'],
    ...['\x05\x00\x01a', '\x00\x00\x00\x05', '\x07\x03evt'],
  ],
  check(input) {
    const section = resultOr(() => decodeMessage(input, 'latin1'), plain)
    if (section !== undefined) {
      must(depth(section) <= MAX_DEPTH, 'no deeper than is allowed')
      must(Object.getPrototypeOf(section) === null, 'every key is the daemon’s')
      isWholeMessage(section, input)
    }
    if (input.length > 0) {
      const packet = resultOr(() => decodePacket(input), plain)
      must(
        packet === undefined || isEnd(packet.message, input),
        'a message is the end of its packet',
      )
    }
    const all = stream(input, [input.length])
    const pieces = stream(input, [1, 2, 3, 5, 8, 13])
    must(JSON.stringify(all) === JSON.stringify(pieces), 'pieces change nothing')
  },
}

/** The same bytes again. The daemon's keys can be what ours may not, and numbers come first in an object. */
function isWholeMessage(section: Section, input: Buffer): void {
  if (hasOddName(section)) return
  const again = encodeMessage(asBytes(section))
  must(again.equals(input), 'it is written as it was read', again.toString('hex'))
}

function hasOddName(section: Section): boolean {
  return Object.entries(section).some(
    ([name, value]) =>
      !/^[\x20-\x7e]+$/.test(name) ||
      /^\d+$/.test(name) ||
      (typeof value === 'object' && !Array.isArray(value) && hasOddName(value as Section)),
  )
}

function asBytes(section: Section): Message {
  const message: Record<string, Message[string]> = Object.create(null)
  for (const [name, value] of Object.entries(section)) {
    if (typeof value === 'string') message[name] = Buffer.from(value, 'latin1')
    else if (Array.isArray(value))
      message[name] = value.map(each => Buffer.from(each as string, 'latin1'))
    else message[name] = asBytes(value as Section)
  }
  return message
}

function depth(section: Section): number {
  const inner = Object.values(section).filter(
    each => typeof each === 'object' && !Array.isArray(each),
  )
  return inner.length === 0 ? 0 : 1 + Math.max(...inner.map(each => depth(each as Section)))
}

function isEnd(part: Buffer, whole: Buffer): boolean {
  return (
    part.buffer === whole.buffer &&
    part.byteOffset + part.length === whole.byteOffset + whole.length
  )
}

/** What a stream of bytes is taken apart into, and whether it ended in an error. */
function stream(input: Buffer, sizes: readonly number[]): string[] {
  const packets = new Packets()
  const found: string[] = []
  for (let at = 0, turn = 0; at < input.length; turn += 1) {
    const size = Math.max(1, sizes[turn % sizes.length] as number)
    const complete = resultOr(() => packets.push(input.subarray(at, at + size)), plain)
    // What came before it in the same piece is lost with it, as the connection is.
    if (complete === undefined) return ['refused']
    for (const each of complete) {
      must(each.length >= 1 && each.length <= MAX_PACKET, 'a packet has a length that packets have')
      found.push(each.toString('hex'))
    }
    at += size
  }
  return found
}

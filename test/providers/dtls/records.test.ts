/** What reaches OpenSSL is whole, and could be authentic; everything else costs only itself. */
import t from 'tap'
import {
  couldBeAuthentic,
  epochOf,
  fragmentLength,
  hasKnownType,
  isProtected,
  recordEnd,
} from '../../../src/providers/dtls/records.js'
import { seededRandom } from '../../model/random.js'
import { record } from './hellos.js'

const bytes = (length: number) => Buffer.alloc(length, 7)

t.test('a record ends where its length says, or is none', async t => {
  const one = record(23, 1, bytes(40), 5)
  t.equal(recordEnd(one, 0), one.length)
  t.equal(epochOf(one, 0), 1)
  t.equal(fragmentLength(one, 0), 40)
  const two = Buffer.concat([one, record(22, 0, bytes(3))])
  t.equal(recordEnd(two, one.length), two.length, 'the second one')
  t.equal(epochOf(two, one.length), 0)
  for (let length = 0; length < one.length; length++)
    t.equal(recordEnd(one.subarray(0, length), 0), -1, `cut after ${length} bytes`)
  const other = Buffer.from(one)
  other[1] = 3
  t.equal(recordEnd(other, 0), -1, 'TLS')
  t.equal(recordEnd(record(23, 1, bytes(2 ** 14 + 257)), 0), -1, 'too long')
  t.equal(recordEnd(record(23, 1, bytes(2 ** 14 + 256)), 0), 13 + 2 ** 14 + 256)
})

t.test('types that DTLS 1.2 has', async t => {
  for (let type = 0; type < 256; type++)
    t.equal(hasKnownType(record(type, 0, bytes(1)), 0), type >= 20 && type <= 23, `${type}`)
})

t.test('a protected record is long enough for what its cipher adds', async t => {
  // One record that is shorter ends an association in OpenSSL, whoever sent it.
  for (let length = 0; length <= 64; length++) {
    for (const minimum of [16, 24]) {
      const one = record(23, 1, bytes(length))
      t.equal(couldBeAuthentic(one, 0, minimum), length >= minimum)
      t.equal(isProtected(one, minimum), length >= minimum)
    }
  }
  for (const epoch of [0, 2, 3, 255, 256, 65535])
    t.notOk(couldBeAuthentic(record(23, epoch, bytes(64)), 0, 24), `epoch ${epoch}`)
})

t.test('a datagram is protected when all its records are', async t => {
  const good = record(23, 1, bytes(24))
  t.ok(isProtected(Buffer.concat([good, good, good]), 24))
  for (const bad of [
    record(23, 1, bytes(23)),
    record(22, 0, bytes(40)),
    record(24, 1, bytes(40)),
    Buffer.from([0]),
    good.subarray(0, 30),
  ]) {
    t.notOk(isProtected(Buffer.concat([good, bad]), 24))
    t.notOk(isProtected(Buffer.concat([bad, good]), 24))
  }
  t.notOk(isProtected(Buffer.alloc(0), 24))
})

t.test('random bytes never break the framing', async t => {
  const random = seededRandom(t)
  for (let i = 0; i < 20_000; i++) {
    const datagram = Buffer.alloc(random.below(60))
    for (let at = 0; at < datagram.length; at++) datagram[at] = random.below(256)
    if (datagram.length > 2) datagram[1] = 0xfe
    if (datagram.length > 12) datagram.writeUInt16BE(random.below(80), 11)
    const end = recordEnd(datagram, 0)
    if (end !== -1 && (end < 13 || end > datagram.length)) t.fail(datagram.toString('hex'))
    isProtected(datagram, 24)
  }
})

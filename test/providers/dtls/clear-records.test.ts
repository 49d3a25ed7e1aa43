/** The form of clear records: what OpenSSL would end a handshake over goes no further. */
import t from 'tap'
import { withoutMalformed } from '../../../src/providers/dtls/clear-records.js'
import { countRecords, groupRecords } from '../../../src/providers/dtls/flight.js'
import { testIdentity } from '../../support/identities.js'
import { handshakeFragment, record } from './hellos.js'
import { handshake } from './pair.js'

const message = (type: number, body: Buffer, sequence = 1) =>
  record(22, 0, handshakeFragment(type, sequence, body))
const versioned = (length: number) =>
  Buffer.concat([Buffer.from([0xfe, 0xfd]), Buffer.alloc(length)])
const done = message(14, Buffer.alloc(0))

const kept = (given: Buffer, role: 'client' | 'server' = 'client') =>
  withoutMalformed(given, role).length === given.length

t.test('everything that a real peer sends goes on, in both directions', async t => {
  const { cert, key, ca } = (await testIdentity()) as { cert: string; key: string; ca: string }
  for (const mtu of [256, 1200]) {
    const identity = { cert, key, ca }
    const pair = handshake({ client: identity, server: identity, targetName: 'localhost', mtu })
    for (const sent of pair.server.sent) t.equal(withoutMalformed(sent, 'client'), sent)
    for (const sent of pair.client.sent) t.equal(withoutMalformed(sent, 'server'), sent)
  }
})

t.test('what is cut, too long, too short or of another role does not', t => {
  const whole = Buffer.concat([handshakeFragment(2, 1, versioned(60))])
  t.ok(kept(record(22, 0, whole)))
  for (let length = 0; length < whole.length; length += 1)
    t.notOk(kept(record(22, 0, whole.subarray(0, length))), `cut after ${length}`)
  t.ok(kept(Buffer.concat([done])))
  t.notOk(kept(done, 'server'), 'a server sends it, no client')
  t.notOk(kept(message(14, Buffer.alloc(1))), 'it has no content')
  t.notOk(kept(message(2, Buffer.alloc(60))), 'no version of DTLS')
  t.notOk(kept(message(2, versioned(10))), 'too short')
  t.notOk(kept(message(11, Buffer.from([0, 0, 9, 1, 2]))), 'a length that does not fit')
  t.notOk(kept(message(2, versioned(60), 16)), 'no handshake has so many messages')
  t.notOk(kept(message(20, Buffer.alloc(12))), 'Finished is never clear')
  t.notOk(kept(message(99, Buffer.alloc(12))))
  const empty = handshakeFragment(2, 1, versioned(60), 5, 5)
  t.notOk(kept(record(22, 0, empty)), 'a fragment with nothing in it')
  const beyond = handshakeFragment(2, 1, versioned(60), 50, 62)
  beyond.writeUIntBE(60, 6, 3)
  t.notOk(kept(record(22, 0, beyond)), 'a fragment beyond the end')
  t.end()
})

t.test('what a client says out of its turn does not: a server would keep it until then', t => {
  // client_hello, certificate, client_key_exchange, certificate_verify
  const turns = { 1: [0, 1], 11: [2], 16: [2, 3], 15: [4] }
  for (const [type, expected] of Object.entries(turns)) {
    const part = (sequence: number) =>
      record(22, 0, handshakeFragment(Number(type), sequence, Buffer.alloc(1000), 500, 600))
    const given = Array.from({ length: 20 }, (_, sequence) => sequence)
    t.same(
      given.filter(sequence => kept(part(sequence), 'server')),
      expected,
      type,
    )
  }
  t.end()
})

t.test('nor does a second hello of a server: a client would keep it until then', t => {
  // server_hello, hello_verify_request, and a certificate for comparison
  const turns = { 2: [0, 1], 3: [0], 11: Array.from({ length: 16 }, (_, sequence) => sequence) }
  for (const [type, expected] of Object.entries(turns)) {
    const part = (sequence: number) =>
      record(22, 0, handshakeFragment(Number(type), sequence, Buffer.alloc(200), 50, 150))
    const given = Array.from({ length: 20 }, (_, sequence) => sequence)
    t.same(
      given.filter(sequence => kept(part(sequence))),
      expected,
      type,
    )
  }
  t.end()
})

t.test('other types of record, clear and protected', t => {
  t.ok(kept(record(20, 0, Buffer.from([1]))))
  t.notOk(kept(record(20, 0, Buffer.from([2]))))
  t.notOk(kept(record(20, 0, Buffer.from([1, 1]))))
  t.ok(kept(record(21, 0, Buffer.from([2, 40]))))
  t.notOk(kept(record(21, 0, Buffer.from([2]))))
  t.notOk(kept(record(23, 0, Buffer.alloc(40))))
  for (const type of [20, 21, 22, 23]) t.ok(kept(record(type, 1, Buffer.alloc(40))))
  t.end()
})

t.test('the good ones of a datagram stay, and several messages in a record', t => {
  const both = record(
    22,
    0,
    Buffer.concat([
      handshakeFragment(2, 1, versioned(60)),
      handshakeFragment(14, 2, Buffer.alloc(0)),
    ]),
  )
  t.ok(kept(both))
  const bad = record(22, 0, Buffer.alloc(30))
  const left = withoutMalformed(Buffer.concat([bad, both, bad, done, bad]), 'client')
  t.same(left, Buffer.concat([both, done]))
  t.equal(withoutMalformed(bad, 'client').length, 0)
  t.end()
})

t.test('records are grouped into datagrams, none is cut', t => {
  const records = [100, 50, 200, 400, 10].map(length => record(22, 0, Buffer.alloc(length)))
  const all = Buffer.concat(records)
  t.equal(countRecords(all), 5)
  t.same(
    groupRecords(all, 256).map(each => each.length),
    [113 + 63, 213, 413, 23],
  )
  t.same(Buffer.concat(groupRecords(all, 256)), all)
  t.same(groupRecords(all, 1e4), [all])
  t.same(
    Buffer.concat(groupRecords(all.subarray(0, -1), 256)),
    all.subarray(0, -23),
    'cut: left out',
  )
  t.same(groupRecords(Buffer.alloc(0), 256), [])
  t.equal(countRecords(Buffer.alloc(5)), 1, 'what is no record is not counted further')
  t.end()
})

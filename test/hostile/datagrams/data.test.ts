/**
 * Records of a secured association that come again, late, far ahead, cut, changed or forged. Nothing
 * is delivered twice, nothing forged is delivered, and the association and all others live on. The
 * short records of every type and length are in test/providers/dtls/forged-records.test.ts, records
 * among garbage in one datagram in second-handshake.test.ts, and runs of datagrams in runs.test.ts.
 */
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { seededRandom } from '../../model/random.js'
import { record } from '../../providers/dtls/hellos.js'
import type { Station } from '../../providers/dtls/network.js'
import { flipBit } from '../../support/flip-bit.js'
import {
  handshakeKinds,
  type Kind,
  type Meeting,
  meeting,
  SERVER_NAME,
} from './simulated-handshake.js'

const [mutual, , , , psk] = (await handshakeKinds()) as [Kind, Kind, Kind, Kind, Kind]
const suites: [string, Kind][] = [
  ['GCM', mutual],
  ['ChaCha20', withCipher(mutual, 'ECDHE-ECDSA-CHACHA20-POLY1305')],
  ['CCM8', withCipher(psk, 'PSK-AES128-CCM8')],
]

for (const [name, kind] of suites) {
  t.test(`every record twice, and every old one after 200 newer: ${name}`, async t => {
    const { network, client, server } = secured(t, kind)
    const old: Buffer[] = []
    network.passage = (datagram, from, to) => {
      if (from !== client) return datagram
      old.push(Buffer.from(datagram))
      to.endpoint.receive(Buffer.from(datagram), from.address, from.port)
      return datagram
    }
    const before = server.messages.length
    for (let number = 0; number < 300; number++) client.send(`${number}`, server, SERVER_NAME)
    network.pass(10)
    const expected = Array.from({ length: 300 }, (_, number) => `${number}`)
    t.same(server.messages.slice(before), expected)
    for (const each of old) server.endpoint.receive(each, client.address, client.port)
    t.equal(server.messages.length, before + 300, 'nothing comes again')
    t.equal(server.endpoint.stats.dropped.unauthenticated, 600)
    alive(t, { network, client, server })
  })

  t.test(`records in any order within the window, and gaps far beyond it: ${name}`, async t => {
    const random = seededRandom(t)
    const { network, client, server } = secured(t, kind)
    const waiting: Buffer[] = []
    network.passage = (datagram, from) => {
      if (from !== client) return datagram
      waiting.push(Buffer.from(datagram))
      return undefined
    }
    const before = server.messages.length
    for (let number = 0; number < 3000; number++) client.send(`${number}`, server, SERVER_NAME)
    network.pass(10)
    // 40 swapped at random, then a gap of 1023, then one of 1500: what is left out is old for ever.
    const first = waiting.slice(0, 40)
    while (first.length > 0) {
      const [each] = first.splice(random.below(first.length), 1) as [Buffer]
      server.endpoint.receive(each, client.address, client.port)
    }
    const far = [40 + 1023, 40 + 1023 + 1500]
    for (const at of far)
      server.endpoint.receive(waiting[at] as Buffer, client.address, client.port)
    const numbers = server.messages.slice(before).map(Number)
    t.same(
      numbers.sort((a, b) => a - b),
      [...Array.from({ length: 40 }, (_, number) => number), ...far],
    )
    for (const late of [41, 500, 1000, 2000])
      server.endpoint.receive(waiting[late] as Buffer, client.address, client.port)
    t.equal(server.messages.length, before + 42, 'older than the window: it may have come before')
    network.passage = datagram => datagram
    alive(t, { network, client, server })
  })

  t.test(`each bit of a record, each shorter length, other epochs: ${name}`, async t => {
    const { network, client, server } = secured(t, kind)
    const bystander = network.station(kind.client, { address: '10.9.0.1', acceptsStrangers: false })
    bystander.send('hello', server, SERVER_NAME)
    t.ok(network.until(() => server.messages.includes('hello'), 10_000))
    let held: Buffer | undefined
    network.passage = (datagram, from) => {
      if (from !== client) return datagram
      held = Buffer.from(datagram)
      return undefined
    }
    client.send('the true one', server, SERVER_NAME)
    network.pass(10)
    network.passage = datagram => datagram
    const truth = held as Buffer
    const before = server.messages.length
    const give = (forged: Buffer) =>
      server.endpoint.receive(Buffer.from(forged), client.address, client.port)
    for (let bit = 0; bit < truth.length * 8; bit++) {
      const forged = Buffer.from(truth)
      flipBit(forged, bit)
      give(forged)
    }
    for (let length = 0; length < truth.length; length++) give(truth.subarray(0, length))
    for (const epoch of [0, 2, 3, 0xffff]) {
      const forged = Buffer.from(truth)
      forged.writeUInt16BE(epoch, 3)
      give(forged)
    }
    for (const type of [20, 21, 22, 23]) {
      give(record(type, 0, Buffer.from('clear text')))
      give(record(type, 0, Buffer.from([2, 40])))
      give(record(type, 1, Buffer.alloc(40, 7), 2 ** 47))
    }
    t.same(server.messages.slice(before), [], 'nothing forged is delivered')
    give(Buffer.concat([Buffer.alloc(20, 0x17), truth]))
    t.same(server.messages.slice(before), [], 'garbage before it: no record begins there')
    give(Buffer.concat([truth, Buffer.alloc(20, 0x17)]))
    t.same(server.messages.slice(before), ['the true one'], 'garbage behind it costs itself')
    alive(t, { network, client, server })
    bystander.send('still here', server, SERVER_NAME)
    t.ok(
      network.until(() => server.messages.includes('still here'), 100),
      'others notice nothing',
    )
    t.same(server.closedPeers, [])
  })

  t.test(`nothing after close_notify: ${name}`, async t => {
    const { network, client, server } = secured(t, kind)
    let late: Buffer | undefined
    network.passage = (datagram, from) => {
      if (from !== client || datagram[0] !== 23) return datagram
      late = Buffer.from(datagram)
      return undefined
    }
    client.send('too late', server, SERVER_NAME)
    network.pass(10)
    client.endpoint.closePeer(server.address, server.port)
    network.pass(10)
    t.equal(server.closedPeers.length, 1)
    const before = server.messages.length
    server.endpoint.receive(late as Buffer, client.address, client.port)
    t.equal(server.messages.length, before)
  })
}

/**
 * Which records are taken, one after the other, by number. OpenSSL's window has 64 places: the newest
 * number and the 63 below it (RFC 6347, section 4.1.2.6). A forged one, marked by a letter, moves nothing.
 */
const windows: readonly (readonly [
  what: string,
  numbers: readonly Given[],
  taken: readonly number[],
])[] = [
  ['the same at once', [0, 0, 1, 1, 0], [0, 1]],
  ['backwards through the whole window', backwards(100, 37), backwards(100, 37)],
  ['63 behind, once', [100, 37, 37], [100, 37]],
  ['64 behind, never', [100, 36, 36, 35, 0], [100]],
  ['the lower edge, while the newest moves by one', [100, 101, 37, 38, 38], [100, 101, 38]],
  ['a jump by 63 leaves the last one known', [100, 163, 100, 99, 101], [100, 163, 101]],
  ['a jump by 64 leaves it behind', [100, 164, 100, 101, 101], [100, 164, 101]],
  ['a jump by 65 too, and its places are free', [100, 165, 100, 101, 102, 102], [100, 165, 102]],
  [
    'a jump by 32 and by 31: words of a bitmap',
    [10, 42, 10, 11, 73, 42, 43, 10],
    [10, 42, 11, 73, 43],
  ],
  ['far ahead, then all that is behind it', [3, 190, 3, 126, 127, 127], [3, 190, 127]],
  ['a forged one far ahead does not move it', [100, 'f190', 37, 101, 190], [100, 37, 101, 190]],
  ['a forged one takes nobody its place', [100, 'f99', 99, 'f99', 99], [100, 99]],
]
type Given = number | `f${number}`

for (const [name, kind] of suites)
  t.test(`the window, by number: ${name}`, t => {
    for (const [what, numbers, taken] of windows) {
      const { network, client, server } = secured(t, kind)
      const records: Buffer[] = []
      network.passage = (datagram, from) => {
        if (from !== client) return datagram
        records.push(Buffer.from(datagram))
        return undefined
      }
      for (let number = 0; number < 200; number++) client.send(`${number}`, server, SERVER_NAME)
      network.pass(10)
      const first = (records[0] as Buffer).readUIntBE(5, 6)
      const before = server.messages.length
      for (const each of numbers) {
        const number = Number(`${each}`.replace('f', ''))
        const given = Buffer.from(records[number] as Buffer)
        t.equal(given.readUIntBE(5, 6), first + number, 'one number after the other')
        if (number !== each) flipBit(given, given.length * 8 - 1)
        server.endpoint.receive(given, client.address, client.port)
      }
      t.same(server.messages.slice(before).map(Number), taken, what)
    }
    t.end()
  })

function backwards(newest: number, oldest: number): number[] {
  return Array.from({ length: newest - oldest + 1 }, (_, index) => newest - index)
}

function withCipher(kind: Kind, ciphers: string): Kind {
  const give = (settings: DatagramSecuritySettings) => ({ ...settings, ciphers })
  return { ...kind, client: give(kind.client), server: give(kind.server) }
}

type Test = Parameters<typeof seededRandom>[0]

/** Two that have spoken to each other. */
function secured(t: Test, kind: Kind): Meeting {
  const pair = meeting(seededRandom(t), kind)
  const { network, client, server } = pair
  client.send('first', server, SERVER_NAME)
  t.ok(network.until(() => server.messages.includes('first'), 10_000))
  return pair
}

/** Each hears the other by the same association, and nobody was told of an error or an end. */
function alive(t: Test, { network, client, server }: Meeting): void {
  const say = (from: Station, to: Station, text: string) => {
    from.send(text, to, to === server ? SERVER_NAME : to.address)
    t.ok(
      network.until(() => to.messages.includes(text), 100),
      text,
    )
  }
  say(client, server, 'question')
  say(server, client, 'answer')
  t.same([client.errors, server.errors, client.closedPeers], [[], [], []])
  t.equal(client.associations.length, 1)
}

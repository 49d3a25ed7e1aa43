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

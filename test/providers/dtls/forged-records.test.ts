/**
 * One forged datagram must never end an association, nor a handshake. OpenSSL alone is ended by a
 * protected record that is shorter than its tag, and by a malformed clear one. So: every type of
 * record, every length from 0 to 64, clear and protected, at every step of the handshake and after
 * it, to both ends, with each kind of cipher suite.
 */
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { type Random, seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { record } from './hellos.js'
import { Network, type Station } from './network.js'

const identityOf = async (name: string) => {
  const { cert, key, ca } = await testIdentity([name])
  return { cert, key, ca: ca as string }
}
const client = await identityOf('a.example')
const server = await identityOf('b.example')
const key = Buffer.alloc(16, 7)

interface Suite {
  readonly name: string
  readonly client: DatagramSecuritySettings
  readonly server: DatagramSecuritySettings
}

const withCertificates = (ciphers: string): Suite => ({
  name: ciphers,
  // Many small datagrams, so many steps.
  client: { ...client, ciphers, mtu: 400 },
  server: { ...server, ciphers, mtu: 400 },
})
const withPsk = (ciphers: string): Suite => ({
  name: ciphers,
  client: { psk: { identity: 'me', key }, ciphers },
  server: { psk: { me: key }, ciphers },
})

const suites = [
  withCertificates('ECDHE-ECDSA-AES128-GCM-SHA256'),
  withCertificates('ECDHE-ECDSA-CHACHA20-POLY1305'),
  withCertificates('ECDHE-ECDSA-AES128-CCM8'),
  withPsk('PSK-AES128-CCM8'),
  withPsk('PSK-AES256-GCM-SHA384'),
]

/** change_cipher_spec, alert, handshake, application_data, heartbeat, and what is none. */
const types = [20, 21, 22, 23, 24, 0, 25, 255]
const lengths = Array.from({ length: 65 }, (_, length) => length)
const epochs = [0, 1]

/** Every forged record once, with zeros or noise in it. */
function* forgeries(random: Random): Generator<Buffer> {
  for (const type of types) {
    for (const length of lengths) {
      for (const epoch of epochs) {
        const noise = random.below(2) === 0 ? () => 0 : () => random.below(256)
        const number = random.of([0, 1, 5, random.below(2 ** 31)])
        yield record(type, epoch, Buffer.from(Array.from({ length }, noise)), number)
      }
    }
  }
}

function attack(victim: Station, from: Station, random: Random): void {
  for (const forgery of forgeries(random)) victim.endpoint.receive(forgery, from.address, from.port)
}

/** A handshake that is attacked as its n-th datagram arrives. False where it has fewer. */
function attackAt(t: Test, suite: Suite, step: number, random: Random): boolean {
  const network = new Network(random)
  const a = network.station(suite.client)
  const b = network.station(suite.server)
  let arrived = 0
  network.passage = (datagram, from, to) => {
    arrived += 1
    if (arrived === step) {
      attack(to, from, random)
      attack(from, to, random)
    }
    return datagram
  }
  a.send('question', b, 'b.example')
  const delivered = network.until(() => b.messages.length === 1, 60_000)
  const steps = arrived
  if (!delivered || a.errors.length > 0) {
    t.fail(`${suite.name}, step ${step}: ${a.errors[0]?.message ?? 'it did not get through'}`)
    t.comment(network.log.join('\n'))
    return false
  }
  b.send('answer', a)
  network.until(() => a.messages.length === 1, 60_000)
  t.same([a.messages, b.messages], [['answer'], ['question']], `${suite.name}, step ${step}`)
  t.equal(a.closedPeers.length + b.closedPeers.length, 0)
  return steps > step
}

for (const suite of suites) {
  t.test(`${suite.name}: forged records at each step of the handshake`, async t => {
    const random = seededRandom(t)
    let step = 1
    while (attackAt(t, suite, step, random)) step += 1
    t.ok(step >= 6, `${step} steps`)
  })

  t.test(`${suite.name}: forged records once it is secured`, async t => {
    const random = seededRandom(t)
    const network = new Network(random)
    const a = network.station(suite.client)
    const b = network.station(suite.server)
    a.send('0', b, 'b.example')
    network.until(() => b.messages.length === 1)
    for (let round = 1; round <= 3; round += 1) {
      attack(a, b, random)
      attack(b, a, random)
      a.send(`${round}`, b, 'b.example')
      b.send(`${round}`, a)
      network.until(() => b.messages.length > round && a.messages.length >= round, 10_000)
    }
    t.same(
      [a.messages, b.messages],
      [
        ['1', '2', '3'],
        ['0', '1', '2', '3'],
      ],
    )
    t.equal(a.associations.length, 1, 'and by the same association')
    t.equal(a.closedPeers.length + b.closedPeers.length + a.errors.length, 0)
  })
}

/**
 * One forged datagram never ends an association, nor a handshake: every record type, every length
 * from 0 to 64, both epochs, at each stage, with each kind of cipher. Such a record made of nothing
 * but a header and one byte ends an association of OpenSSL that is not screened.
 */
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { record } from './hellos.js'
import { Network, type Station } from './network.js'

const { ca } = await testIdentity()
const { cert, key } = await testIdentity(['a.example'])
const psk = { identity: 'device', key: Buffer.alloc(16, 7) }
const certificates = { cert, key, ca }
const accepted = { psk: { device: psk.key } }

const suites: [string, DatagramSecuritySettings, DatagramSecuritySettings][] = [
  ['GCM', certificates, certificates],
  ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-ECDSA-AES128-CCM', 'ECDHE-ECDSA-AES128-CCM8'].map(
    ciphers =>
      [ciphers, { ...certificates, ciphers }, { ...certificates, ciphers }] as [
        string,
        DatagramSecuritySettings,
        DatagramSecuritySettings,
      ],
  ),
  ['PSK-AES128-CCM8', { psk, ciphers: 'PSK-AES128-CCM8' }, accepted],
]

function forged(random: { below(limit: number): number }): Buffer[] {
  const records: Buffer[] = []
  for (const type of [19, 20, 21, 22, 23, 24, 255])
    for (const epoch of [0, 1, 2])
      for (let length = 0; length <= 64; length++) {
        const fragment = Buffer.alloc(length)
        for (let at = 0; at < length; at++) fragment[at] = random.below(256)
        records.push(record(type, epoch, fragment, random.below(2 ** 31)))
      }
  return records
}

for (const [name, ofClient, ofServer] of suites) {
  t.test(name, async t => {
    const random = seededRandom(t)
    const network = new Network(random)
    const client = network.station(ofClient)
    const server = network.station(ofServer)
    const attack = (to: Station, from: Station) => {
      for (const each of forged(random)) to.endpoint.receive(each, from.address, from.port)
    }
    // At each stage: before every datagram that arrives.
    let stages = 0
    network.passage = (datagram, from, to) => {
      stages += 1
      attack(to, from)
      attack(from, to)
      return datagram
    }
    client.send('first', server, 'a.example')
    const done = network.until(() => server.messages.length === 1, 60_000)
    t.ok(done, `secured, after ${stages} stages`)
    server.send('back', client)
    t.ok(network.until(() => client.messages.length === 1, 10_000))
    attack(client, server)
    attack(server, client)
    client.send('last', server, 'a.example')
    t.ok(network.until(() => server.messages.includes('last'), 10_000))
    t.same([client.errors, server.errors, client.closedPeers, server.closedPeers], [[], [], [], []])
    t.equal(client.endpoint.stats.handshakes, 1)
    t.equal(client.endpoint.stats.datagramsReceived, 1)
    t.equal(server.endpoint.stats.datagramsReceived, 2)
  })
}

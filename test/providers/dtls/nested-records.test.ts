/**
 * A record inside of a record. Of one whose version or length OpenSSL does not take it skips the header
 * alone, and reads what it contains as the next records, which nobody has screened: one forged datagram
 * would end a secured association. So nothing goes on of which OpenSSL could see other records than we.
 */
import t from 'tap'
import { APPLICATION_DATA } from '../../../src/providers/dtls/records.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { handshakeFragment, record } from './hellos.js'
import { Network, type Station } from './network.js'

const { ca } = await testIdentity()
const { cert, key } = await testIdentity(['a.example'])
const identity = { cert, key, ca }
const versions = [0xfeff, 0xfefe, 0xfefc, 0xfe00]

function withVersion(version: number, record: Buffer): Buffer {
  record.writeUInt16BE(version, 1)
  return record
}

t.test('a protected one of another version, or of a length that no cipher gives', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(identity)
  const server = network.station(identity)
  client.send('first', server, 'a.example')
  t.ok(network.until(() => server.messages.length === 1, 60_000))
  // Too short to be authentic: OpenSSL ends an association over it.
  const inner = [20, 21, 22, 23].flatMap(type =>
    [1, 2, 16, 23].map(length => record(type, 1, Buffer.alloc(length, 7), 1000)),
  )
  const outer = inner.flatMap(each => [
    ...[20, 21, 22, 23].flatMap(type =>
      versions.map(version =>
        withVersion(version, record(type, 1, Buffer.concat([each, Buffer.alloc(40)]), 999)),
      ),
    ),
    ...[257, 320, 321, 1024, 1345, 2048].map(more =>
      record(
        APPLICATION_DATA,
        1,
        Buffer.concat([each, Buffer.alloc(2 ** 14 + more - each.length)]),
      ),
    ),
  ])
  for (const to of [client, server]) {
    const from = to === client ? server : client
    for (const each of outer) to.endpoint.receive(each, from.address, from.port)
    for (const each of outer.slice(0, 64)) {
      // As the system gives it: two datagrams of one length, one behind the other.
      to.endpoint.receive(Buffer.concat([each, each]), from.address, from.port, each.length)
    }
  }
  server.send('back', client)
  t.ok(
    network.until(() => client.messages.includes('back'), 10_000),
    'the server is there',
  )
  client.send('last', server, 'a.example')
  t.ok(
    network.until(() => server.messages.includes('last'), 10_000),
    'so is the client',
  )
  t.same([client.errors, server.errors, client.closedPeers, server.closedPeers], [[], [], [], []])
  t.equal(client.endpoint.stats.handshakes, 1, 'by the same keys')
})

t.test('a clear one of another version, at each stage of a handshake', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(identity)
  // The one above has left no session for this address, so that the handshake is a full one.
  const server = network.station(identity, { address: '198.51.100.1' })
  const fatal = record(21, 0, Buffer.from([2, 40]), 900)
  const bad = record(22, 0, Buffer.alloc(40, 0xff), 900)
  const short = record(23, 1, Buffer.alloc(1), 900)
  // A later fragment of a message that is far from its turn: of no effect by itself, as long as none says
  // that the message has another length. Its header is as long as a record's but for one byte.
  const forged = [fatal, bad, short].flatMap(inner =>
    [11, 1, 2].flatMap(type =>
      versions.map(version => {
        const body = Buffer.concat([Buffer.alloc(61), inner, Buffer.alloc(40)], 170)
        return withVersion(version, record(22, 0, handshakeFragment(type, 15, body, 60), 899))
      }),
    ),
  )
  const attack = (to: Station, from: Station) => {
    for (const each of forged) to.endpoint.receive(each, from.address, from.port)
  }
  let stages = 0
  network.passage = (datagram, from, to) => {
    stages += 1
    attack(to, from)
    attack(from, to)
    return datagram
  }
  client.send('first', server, 'a.example')
  t.ok(
    network.until(() => server.messages.length === 1, 60_000),
    'secured',
  )
  t.equal(client.securedPeers[0]?.info.resumed, false)
  t.ok(stages >= 6, `${stages} stages`)
  t.same([client.errors, server.errors], [[], []])
  t.equal(client.endpoint.stats.handshakes, 1)
  t.equal(client.endpoint.stats.handshakesFailed, 0, 'and none had to be tried again')
  t.equal(server.endpoint.stats.handshakesFailed, 0)
})

/** Endpoints over a network in memory: one socket, many peers, and what each is told. */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { Network } from './network.js'

const { ca } = await testIdentity()
/** Both ends in one: a certificate for these names, and trust in the test authority. */
async function identity(...names: string[]) {
  const { cert, key } = await testIdentity(names)
  return { cert, key, ca }
}

t.test('the first send handshakes, and the queue follows in order', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(await identity('a.example'))
  const b = network.station(await identity('b.example'))
  b.onMessage = (message, { address, port }) => b.send(`re ${message}`, { address, port })
  const sendings = ['1', '2', '3'].map(text => a.send(text, b, 'b.example'))
  t.same(a.endpoint.queued, { datagrams: 3, bytes: 3 })
  t.ok(network.until(() => a.messages.length === 3))
  t.same(b.messages, ['1', '2', '3'])
  t.same(a.messages, ['re 1', 're 2', 're 3'])
  for (const sending of sendings) t.match(sending, { calls: 1, error: null, bytes: 1 })
  t.same(a.endpoint.queued, { datagrams: 0, bytes: 0 })
  t.match(a.securedPeers, [
    { info: { secured: true, encrypted: true, peer: { names: ['b.example'] } } },
  ])
  t.match(b.securedPeers, [{ info: { peer: { names: ['a.example'] } } }])
  t.match(a.sources[0], { address: b.address, port: b.port, targetName: undefined })
  t.match(a.query(b), { version: 'DTLSv1.2', peer: { targetName: 'b.example' } })
  t.same(a.endpoint.peers(), [{ address: b.address, port: b.port }])
  t.match(a.endpoint.stats, {
    datagramsSent: 3,
    bytesSent: 3,
    handshakes: 1,
    peers: 1,
    handshaking: 0,
  })
  t.match(b.endpoint.stats, { bytesReceived: 3, handshakes: 1 })
  t.match(b.endpoint.peerStats(a.address, a.port), { datagramsReceived: 3, handshakes: 1 })
  t.equal(a.associations.length + b.associations.length, 2)
  t.same([...a.errors, ...b.errors], [])
})

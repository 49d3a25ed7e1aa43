/**
 * Several handshakes for one peer: one that begins anew on the same port is served (RFC 6347, section
 * 4.2.8), and nobody without a good cookie can touch what is there.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { clientHello, messageType, record } from './hellos.js'
import { Network, type Station } from './network.js'

const { ca } = await testIdentity()
async function identity(name: string) {
  const { cert, key } = await testIdentity([name])
  return { cert, key, ca }
}
const [ofA, ofB, ofC] = [
  await identity('a.example'),
  await identity('b.example'),
  await identity('c.example'),
]

let subnet = 0
/** A client and a server that have exchanged a message; addresses of their own, so that nothing is resumed. */
function secured(t: Parameters<typeof seededRandom>[0], more: object = {}) {
  subnet += 1
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: `203.0.113.${subnet}`, acceptsStrangers: false })
  const server = network.station({ ...ofB, ...more }, { address: `198.51.100.${subnet}` })
  client.send('first', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  return { network, client, server }
}

/** The same address and port, another program. */
function reboot(network: Network, station: Station, settings: object): Station {
  network.unplug(station)
  const { address, port } = station
  return network.station(settings, { address, port, acceptsStrangers: false })
}

t.test('a peer that has rebooted on the same port is served at once', async t => {
  const { network, client, server } = secured(t)
  const again = reboot(network, client, { ...ofA, alpn: [] })
  again.send('after the crash', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('after the crash'), 1000))
  server.send('welcome', again)
  t.ok(network.until(() => again.messages.includes('welcome'), 1000))
  t.equal(server.endpoint.stats.peers, 1)
  t.equal(server.securedPeers.length, 1, 'the same identity: no news')
  t.equal(server.closedPeers.length, 0)
  t.same(
    server.associations.map(({ state }) => state),
    ['secured', 'secured'],
  )
  network.pass(90_000)
  t.same(
    server.associations.map(({ state }) => state),
    ['ended', 'secured'],
    'the old one is gone',
  )
})

t.test('one that reboots just after its hello gets no flight for that one again', async t => {
  // Nothing in it is signed with a pre-shared key: who has begun anew would take it for the answer.
  const psk = { identity: 'sensor', key: Buffer.alloc(32, 9) }
  const network = new Network(seededRandom(t))
  const client = network.station({ psk }, { address: '203.0.113.201', acceptsStrangers: false })
  const server = network.station({ psk: { sensor: psk.key } }, { address: '198.51.100.201' })
  client.send('before', server)
  t.ok(network.until(() => server.associations.length === 1))
  const again = reboot(network, client, { psk, alpn: [] })
  network.pass(500)
  again.send('after the crash', server)
  t.ok(network.until(() => server.messages.includes('after the crash'), 600))
  t.equal(again.associations.length, 1)
  t.equal(server.associations.length, 2)
})

t.test('of many hellos in a second one is served', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: '203.0.113.202', acceptsStrangers: false })
  const server = network.station(ofB, { address: '198.51.100.202' })
  let last = client
  for (let life = 0; life < 20; life++) {
    last.send(`life ${life}`, server, 'b.example')
    // Its hello has come with the cookie, and the answer is under way.
    network.pass(3)
    last = reboot(network, last, { ...ofA, alpn: [] })
    network.pass(37)
  }
  t.equal(server.associations.length, 1)
  last.send('the last one', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('the last one'), 1000))
  t.equal(server.associations.length, 2)
  // On a busy machine OpenSSL's own short timer repeats some.
  t.ok(server.endpoint.stats.dropped.limit >= 19)
})

t.test('somebody else on the same port is somebody else', async t => {
  const { network, client, server } = secured(t)
  const other = reboot(network, client, ofC)
  other.send('it is me', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('it is me'), 1000))
  t.same(server.sources.at(-1)?.peer?.names, ['c.example'])
  t.equal(server.closedPeers.length, 1, 'the one before has ended')
  t.same(
    server.associations.map(({ state }) => state),
    ['ended', 'secured'],
  )
  t.match(
    server.securedPeers.map(({ info }) => info.peer?.names),
    [['a.example'], ['c.example']],
  )
})

t.test('who ends a peer when he hears that another has its address is told of nobody', async t => {
  const { network, client, server } = secured(t)
  const { endpoint } = server
  server.peerClosed = peer => {
    server.closedPeers.push(peer)
    endpoint.closePeer(peer.address, peer.port)
  }
  const other = reboot(network, client, ofC)
  other.send('it is me', server, 'b.example')
  t.ok(network.until(() => server.closedPeers.length === 1, 1000))
  t.equal(server.securedPeers.length, 1, 'only the one before')
  t.same(endpoint.peers(), [])
})

t.test('where the peer has a name, somebody else does not replace it', async t => {
  subnet += 1
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: `203.0.113.${subnet}`, acceptsStrangers: false })
  const server = network.station(ofB, { address: `198.51.100.${subnet}` })
  server.name(client, 'a.example')
  client.send('first', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  t.equal(server.sources[0]?.targetName, 'a.example')
  const other = reboot(network, client, ofC)
  const refused = other.send('it is me', server, 'b.example')
  network.pass(120_000)
  t.equal(server.messages.length, 1)
  t.match(refused, { calls: 1, error: { message: /./ } })
  t.match(server.query(client)?.peer?.names, ['a.example'])
  t.match(server.endpoint.stats, { peers: 1, handshaking: 0, handshakesFailed: 1 })
  t.same(server.errors, [], 'a handshake that a stranger starts and fails is no error of ours')
})

t.test('the current association is untouched until the replacement is complete', async t => {
  const { network, client, server } = secured(t)
  // The new client never gets the server's flight, so its handshake does not complete.
  const ghost = network.station(ofC, { address: '203.0.113.200', acceptsStrangers: false })
  network.passage = (datagram, from, to) => {
    if (from === ghost) {
      server.endpoint.receive(datagram, client.address, client.port)
      return undefined
    }
    // It hears the cookie, and nothing else.
    if (from === server && to === client && messageType(datagram) === 3)
      ghost.endpoint.receive(Buffer.from(datagram), server.address, server.port)
    return datagram
  }
  ghost.send('x', server, 'b.example')
  t.ok(network.until(() => server.endpoint.stats.handshaking === 1, 1000))
  for (const text of ['still', 'here']) {
    client.send(text, server, 'b.example')
    server.send(`re ${text}`, client)
    t.ok(
      network.until(
        () => server.messages.includes(text) && client.messages.includes(`re ${text}`),
        1000,
      ),
    )
  }
  network.pass(70_000)
  t.equal(server.endpoint.stats.handshaking, 0, 'it has run out of time')
  client.send('and still', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('and still'), 10_000))
  t.same([...server.errors, ...client.errors], [])
})

t.test('what comes late on the old association is delivered for 10 s, and not after', async t => {
  const { network, client, server } = secured(t)
  const late: Buffer[] = []
  network.passage = datagram => {
    late.push(datagram)
    return undefined
  }
  for (const text of ['late 1', 'late 2']) client.send(text, server, 'b.example')
  network.pass(10)
  network.passage = datagram => datagram
  const again = reboot(network, client, ofA)
  again.send('new', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('new'), 1000))
  network.pass(9000)
  server.endpoint.receive(late[0] as Buffer, client.address, client.port)
  t.equal(server.messages.at(-1), 'late 1')
  network.pass(2000)
  server.endpoint.receive(late[1] as Buffer, client.address, client.port)
  t.not(server.messages.at(-1), 'late 2')
})

t.test('an alert closes only the association that authenticated it', async t => {
  const { network, client, server } = secured(t)
  let farewell: Buffer | undefined
  network.passage = datagram => {
    farewell = datagram
    return undefined
  }
  client.endpoint.closePeer(server.address, server.port)
  network.pass(10)
  network.passage = datagram => datagram
  const again = reboot(network, client, ofA)
  again.send('new', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('new'), 1000))
  server.endpoint.receive(farewell as Buffer, client.address, client.port)
  again.send('newer', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('newer'), 1000))
  t.equal(server.closedPeers.length, 0)
})

t.test('a hello without a good cookie is asked for one, and does nothing else', async t => {
  const { network, client, server } = secured(t)
  const before = server.endpoint.stats
  for (let i = 0; i < 50; i++) {
    server.endpoint.receive(clientHello(), client.address, client.port)
    server.endpoint.receive(
      clientHello({ cookie: Buffer.alloc(32, i) }),
      client.address,
      client.port,
    )
  }
  t.equal(server.endpoint.stats.cookiesSent - before.cookiesSent, 100)
  t.match(server.endpoint.stats, { handshaking: 0, peers: 1 })
  client.send('fine', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('fine'), 1000))
})

t.test('old hellos, repeated, begin nothing', async t => {
  subnet += 1
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: `203.0.113.${subnet}`, acceptsStrangers: false })
  const server = network.station(ofB, { address: `198.51.100.${subnet}` })
  const hellos: Buffer[] = []
  network.passage = (datagram, from) => {
    if (from === client && messageType(datagram) === 1) hellos.push(Buffer.from(datagram))
    return datagram
  }
  client.send('first', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  t.ok(hellos.length >= 2)
  const { cookiesSent } = server.endpoint.stats
  for (const hello of hellos) server.endpoint.receive(hello, client.address, client.port)
  t.match(server.endpoint.stats, { cookiesSent, handshaking: 0, peers: 1 })
  // Our own, sent back to us.
  for (const hello of hellos) client.endpoint.receive(hello, server.address, server.port)
  t.match(client.endpoint.stats, { cookiesSent: 0, handshaking: 0, peers: 1 })
})

t.test(
  'our own hello that comes back while it waits for its answer is dropped and counted',
  async t => {
    subnet += 1
    const network = new Network(seededRandom(t))
    const client = network.station(ofA, { address: `203.0.113.${subnet}` })
    const other = { address: `198.51.100.${subnet}`, port: 5000 }
    client.send('first', other)
    const [hello] = client.sentDatagrams as [Buffer]
    client.endpoint.receive(Buffer.from(hello), other.address, other.port)
    t.match(client.endpoint.stats, { cookiesSent: 0, handshaking: 1, dropped: { reflected: 1 } })
    t.equal(client.associations.length, 1)
  },
)

t.test('records of two epochs in one datagram are routed one by one', async t => {
  const { network, client, server } = secured(t)
  let message: Buffer | undefined
  network.passage = datagram => {
    message = datagram
    return undefined
  }
  client.send('with company', server, 'b.example')
  network.pass(10)
  network.passage = datagram => datagram
  const junk = [
    record(22, 0, Buffer.alloc(40)),
    record(23, 0, Buffer.alloc(40)),
    record(21, 0, Buffer.from([2, 40])),
    record(23, 1, Buffer.alloc(5)),
    record(99, 1, Buffer.alloc(40)),
  ]
  const datagram = Buffer.concat([...junk, message as Buffer, ...junk, Buffer.alloc(7)])
  server.endpoint.receive(datagram, client.address, client.port)
  t.equal(server.messages.at(-1), 'with company', 'junk costs only itself')
  const { dropped } = server.endpoint.stats
  t.match(dropped, { malformed: 3, screened: 4, unauthenticated: 4 })
  client.send('on', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('on'), 1000))
})

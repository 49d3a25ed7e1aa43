/**
 * What a stranger, a hurry or a careless caller cannot do: fill memory, be answered many times, stop
 * the clock, or change what is on its way.
 */
import t from 'tap'
import { CHANGE_CIPHER_SPEC } from '../../../src/providers/dtls/records.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { clientHello, record } from './hellos.js'
import { Network, type Station } from './network.js'

const { ca } = await testIdentity()
async function identity(...names: string[]) {
  const { cert, key } = await testIdentity(names)
  return { cert, key, ca }
}

t.test('a datagram full of hellos is answered once', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(await identity('b.example'))
  const hellos = Array.from({ length: 24 }, () => clientHello())
  server.endpoint.receive(Buffer.concat(hellos), '192.0.2.99', 4000)
  t.equal(server.sentDatagrams.length, 1)
  t.equal(server.endpoint.stats.cookiesSent, 1)
  server.endpoint.receive(clientHello(), '192.0.2.99', 4000)
  t.equal(server.endpoint.stats.cookiesSent, 2, 'the next datagram has an answer of its own')
})

t.test('a handshake takes few protected records before it has keys', async t => {
  // OpenSSL keeps each of them in a buffer for the largest record, and anybody can send them.
  const network = new Network(seededRandom(t))
  const client = network.station(await identity('a.example'))
  const server = network.station(await identity('b.example'))
  // The client's last flight is kept from arriving, so the handshake stays half open.
  network.passage = (datagram, from) =>
    from === client && datagram.length > 400 ? undefined : datagram
  client.send('x', server, 'b.example')
  network.until(() => server.endpoint.stats.handshaking === 1)
  const early = record(23, 1, Buffer.alloc(40))
  for (let count = 0; count < 100; count++) {
    server.endpoint.receive(Buffer.from(early), client.address, client.port)
  }
  const { dropped } = server.endpoint.stats
  t.ok(dropped.screened >= 92, `${dropped.screened} of 100 were screened`)
  network.passage = datagram => datagram
  t.ok(
    network.until(() => server.messages.length === 1),
    'and it goes on nevertheless',
  )
})

t.test('the keys of many peers are replaced at once, and time goes on', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station({ ...(await identity('a.example')), rekeyAfter: 1500 })
  const servers: Station[] = []
  for (let count = 0; count < 8; count++) servers.push(network.station(await identity('b.example')))
  for (const server of servers) client.send('x', server, 'b.example')
  t.ok(network.until(() => servers.every(each => each.messages.length === 1)))
  // Work takes time here, as it does in life: what does not fit into one portion has to wait.
  const { clock } = network
  const now = clock.now.bind(clock)
  clock.now = () => {
    clock.time += 0.1
    return now()
  }
  t.ok(
    network.until(() => client.endpoint.stats.handshakes >= 2 * servers.length, 10_000),
    'every peer gets new keys',
  )
  t.same(client.errors, [])
})

t.test('a message that waits is as it was when send() was called', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(await identity('a.example'))
  const server = network.station(await identity('b.example'))
  const reused = Buffer.alloc(1)
  for (const text of ['1', '2', '3']) {
    reused.write(text)
    client.endpoint.send(reused, server.address, server.port, 'b.example', () => {})
  }
  t.ok(network.until(() => server.messages.length === 3))
  t.same(server.messages, ['1', '2', '3'])
})

t.test('what follows a handshake that has to wait for its turn waits behind it', async t => {
  // A resumed client sends its Finished and all that has waited at once, before the server has read any.
  const network = new Network(seededRandom(t))
  const client = network.station(await identity('a.example'))
  const server = network.station(await identity('b.example'))
  client.send('0', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  client.endpoint.closePeer(server.address, server.port)
  network.pass(1000)
  // Other handshakes have used up the portion when the client's last flight comes.
  let late = false
  Object.defineProperty(server.endpoint.budget, 'open', { get: () => !late })
  network.passage = (datagram, from) => {
    if (from === client && datagram[0] === CHANGE_CIPHER_SPEC) late = true
    return datagram
  }
  for (let count = 1; count <= 40; count++) client.send(`${count}`, server, 'b.example')
  t.ok(
    network.until(() => server.messages.length === 41, 5000),
    `${server.messages.length} of 41 came`,
  )
  t.ok(late)
  t.equal(client.query(server)?.resumed, true)
  t.equal(client.endpoint.stats.retransmissions, 0)
})

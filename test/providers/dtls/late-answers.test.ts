/**
 * What a server still answers to a hello that the client has given up comes to the handshake that
 * follows. It must not be taken for an answer to that one: its keys and signatures would fit nothing.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { handshakeFragment, messageOf, messageType, record } from './hellos.js'
import { Network, type Station } from './network.js'

const { ca } = await testIdentity()
const { cert, key } = await testIdentity(['a.example'])
const ofA = { cert, key, ca }
const other = await testIdentity(['b.example'])
const ofB = { cert: other.cert, key: other.key, ca }

const HELLO = 1
const SERVER_HELLO = 2
const HELLO_VERIFY_REQUEST = 3
const SERVER_KEY_EXCHANGE = 12

t.test('a ServerHello that comes before its turn is not kept for it', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: '198.18.20.1' })
  const server = network.station(ofB, { address: '198.18.20.2' })
  const late = await resumedInVain(network, client, server)
  // It overtakes the HelloVerifyRequest, which is message 0: OpenSSL would keep message 1 for later.
  network.passage = (datagram, from) => {
    if (from === server && messageType(datagram) === HELLO_VERIFY_REQUEST)
      for (const each of late.splice(0)) client.endpoint.receive(each, server.address, server.port)
    return datagram
  }
  t.ok(late.length > 0)
  t.ok(network.until(() => server.messages.includes('second'), 10_000))
  t.equal(late.length, 0)
  t.match(client.endpoint.stats, { handshakesFailed: 0 })
  t.same([client.errors, server.errors], [[], []])
})

t.test('a hello is not sent again in the moment in which it is given up', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: '198.18.20.3' })
  const server = network.station(ofB, { address: '198.18.20.4' })
  client.sentDatagrams = []
  await resumedInVain(network, client, server)
  const hellos = client.sentDatagrams.filter(each => messageType(each) === HELLO)
  const randoms = hellos.map(each => each.toString('hex', 27, 59))
  const [first, last] = [randoms[0], randoms.at(-1)]
  t.not(first, last, 'it has begun anew')
  // With and without a cookie, and again after 1, 2 and 4 s; then, after 8 more, the next handshake.
  t.equal(randoms.filter(each => each === first).length, 5, `${randoms}`)
})

t.test('a handshake that may take long is not ended by the limit of OpenSSL', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(
    { ...ofA, handshakeTimeout: 1_200_000 },
    { address: '198.18.20.5' },
  )
  const sending = client.send('x', { address: '198.18.20.6', port: 5000 }, 'b.example')
  network.pass(1_199_000)
  t.equal(sending.calls, 0)
  network.pass(2000)
  t.match(sending, { calls: 1, error: { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' } })
  t.match(client.endpoint.stats, { handshakesFailed: 1 })
})

t.test('a server that has forgotten the handshake answers the same hello anew', async t => {
  // The halves of the two answers meet and fit nothing; or the first half is all that comes.
  for (const both of [true, false]) {
    const network = new Network(seededRandom(t))
    // Small datagrams: the first has the ServerHello, and another what the server signs.
    const host = both ? 7 : 8
    const client = network.station({ ...ofA, mtu: 256 }, { address: `198.18.21.${host}` })
    const server = network.station({ ...ofB, mtu: 256 }, { address: `198.18.22.${host}` })
    let cookies = 0
    network.passage = (datagram, from) => {
      const isLate = network.clock.time > 25_000
      if (from === server) {
        const passes = client.associations.length > 1 || (isLate && both)
        return messageOf(datagram, SERVER_KEY_EXCHANGE) && !passes ? undefined : datagram
      }
      if (messageType(datagram) === HELLO && datagram.readUInt16BE(17) === 1) cookies += 1
      return cookies > 1 && !isLate ? undefined : datagram
    }
    const sending = client.send('x', server, 'b.example')
    t.ok(
      network.until(() => client.associations.length === 2, 35_000),
      'it has begun anew',
    )
    t.equal(server.associations.length, 2)
    t.ok(network.until(() => server.messages.length === 1, 5000))
    t.match(sending, { calls: 1, error: null })
    t.same(client.errors, [])
  }
})

t.test('a cookie that the server does not take costs a second, and not the handshake', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: '198.18.20.11' })
  let server = network.station(ofB, { address: '198.18.20.12' })
  network.passage = (datagram, from) => {
    if (from === server && messageType(datagram) === HELLO_VERIFY_REQUEST) {
      // It is started again, or another process takes its place: with other secrets.
      network.passage = each => each
      network.unplug(server)
      server = network.station(ofB, { address: server.address })
    }
    return datagram
  }
  const sending = client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1, 1500))
  t.match(sending, { calls: 1, error: null })
  t.match(client.endpoint.stats, { handshakes: 1, handshakesFailed: 0 })
})

t.test('nor does one that anybody has sent, before the true one or after it', async t => {
  for (const before of [true, false]) {
    const network = new Network(seededRandom(t))
    const host = before ? 13 : 15
    const client = network.station(ofA, { address: `198.18.20.${host}` })
    const server = network.station(ofB, { address: `198.18.20.${host + 1}` })
    network.passage = (datagram, from) => {
      if (from !== server || messageType(datagram) !== HELLO_VERIFY_REQUEST) return datagram
      network.passage = each => each
      const forged = Buffer.from(datagram)
      forged.fill(0xee, forged.length - 32)
      // Of the second one the number is that of an answer to our hello with a cookie.
      if (!before) forged.writeUIntBE(1, 5, 6)
      const both = before ? [forged, datagram] : [datagram, forged]
      const [first, second] = both as [Buffer, Buffer]
      network.at(network.clock.time, () =>
        client.endpoint.receive(second, server.address, server.port),
      )
      return first
    }
    client.send('x', server, 'b.example')
    t.ok(network.until(() => server.messages.length === 1, before ? 2500 : 500))
    t.match(client.endpoint.stats, { handshakesFailed: 0 })
    t.equal(client.associations.length, before ? 2 : 1, 'what goes on is not begun again')
  }
})

t.test('one that comes before its turn is not kept for it', async t => {
  // OpenSSL would keep it: as number 1 it would be a second cookie, later an unexpected message.
  for (const sequence of [1, 2, 3, 4, 5, 6]) {
    const network = new Network(seededRandom(t))
    const client = network.station(ofA, { address: `198.18.23.${2 * sequence}` })
    const server = network.station(ofB, { address: `198.18.23.${2 * sequence + 1}` })
    network.passage = (datagram, from) => {
      if (from !== server || messageType(datagram) !== HELLO_VERIFY_REQUEST) return datagram
      const forged = record(22, 0, handshakeFragment(3, sequence, Buffer.of(0xfe, 0xfd, 0)), 20)
      client.endpoint.receive(forged, server.address, server.port)
      return datagram
    }
    client.send('x', server, 'b.example')
    t.ok(
      network.until(() => server.messages.length === 1, 500),
      `number ${sequence}`,
    )
    t.match(client.endpoint.stats, { handshakes: 1, handshakesFailed: 0 })
  }
})

t.test('a late answer to a hello without a cookie says nothing of the cookie', async t => {
  const network = new Network(seededRandom(t), { delay: [700, 700] })
  const client = network.station(ofA, { address: '198.18.20.17' })
  const server = network.station(ofB, { address: '198.18.20.18' })
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1, 6000))
  t.equal(client.associations.length, 1, 'both hellos were answered, for they crossed')
})

t.test('who repeats a hello is not forgotten', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station(ofA, { address: '198.18.20.9' })
  const server = network.station(ofB, { address: '198.18.20.10' })
  network.passage = (datagram, from) =>
    from === server && network.clock.time < 31_000 && messageType(datagram) !== HELLO_VERIFY_REQUEST
      ? undefined
      : datagram
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1, 40_000))
  t.equal(server.associations.length, 1)
})

t.test('nor who repeats its flight, of which a part is always lost', async t => {
  const network = new Network(seededRandom(t))
  const client = network.station({ ...ofA, mtu: 256 }, { address: '198.18.20.19' })
  const server = network.station({ ...ofB, mtu: 256 }, { address: '198.18.20.20' })
  const CERTIFICATE = 11
  network.passage = (datagram, from) => {
    const isEarly = from === client && network.clock.time < 30_000
    const isFirstPart = messageType(datagram) === CERTIFICATE && datagram.readUIntBE(19, 3) === 0
    return isEarly && isFirstPart ? undefined : datagram
  }
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1, 40_000))
  t.equal(server.associations.length, 1)
  t.match(client.endpoint.stats, { handshakesFailed: 0 })
})

/**
 * The client resumes, and hears no ServerHello until it gives the session up and begins anew: the
 * answers that it has not heard. Its next hello is under way.
 */
async function resumedInVain(network: Network, client: Station, server: Station) {
  client.send('first', server, 'b.example')
  network.until(() => server.messages.length === 1)
  client.endpoint.closePeer(server.address, server.port)
  network.pass(1000)
  client.sentDatagrams = []
  const associations = client.associations.length
  const late: Buffer[] = []
  network.passage = (datagram, from) => {
    if (from !== server || !messageOf(datagram, SERVER_HELLO)) return datagram
    late.push(Buffer.from(datagram))
    return undefined
  }
  client.send('second', server, 'b.example')
  if (!network.until(() => client.associations.length === associations + 2, 20_000))
    throw new Error('the client has not begun anew')
  return late
}

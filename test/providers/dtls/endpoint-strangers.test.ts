/**
 * What a stranger can do to an endpoint: nothing before it has shown that it receives at its address,
 * little after that, and never anything to others.
 */
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import { parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { HELLO_VERIFY_REQUEST_LENGTH } from '../../../src/providers/dtls/cookie.js'
import { recordEnd } from '../../../src/providers/dtls/records.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { instancesOf } from '../../support/instances.js'
import { badServerHello, clientHello, handshakeFragment, messageType, record } from './hellos.js'
import { Network, type Station } from './network.js'
import { createEnd, handshake } from './pair.js'

const { ca } = await testIdentity()
async function identity(...names: string[]) {
  const { cert, key } = await testIdentity(names)
  return { cert, key, ca }
}
const [ofA, ofB] = [await identity('a.example'), await identity('b.example')]

t.test('who is served: with credentials, bound, or by those that were sent to', async t => {
  const hello = clientHello()
  const answers = (
    settings: DatagramSecuritySettings,
    acceptsStrangers: boolean,
    sentTo = false,
  ) => {
    const network = new Network(seededRandom(t))
    const station = network.station(settings, { acceptsStrangers })
    if (sentTo) station.send('x', { address: '203.0.113.1', port: 5 })
    station.sentDatagrams = []
    station.endpoint.receive(hello, '203.0.113.1', 5)
    station.endpoint.receive(hello, '203.0.113.2', 5)
    return station.sentDatagrams.length
  }
  t.equal(answers(ofB, true), 2)
  t.equal(answers({ psk: { device: Buffer.alloc(16) } }, true), 2)
  t.equal(answers({ ca }, true), 0, 'no credentials')
  t.equal(answers({ psk: { identity: 'device', key: Buffer.alloc(16) } }, true), 0, 'only our own')
  t.equal(answers(ofB, false), 0, 'not bound')
  t.equal(answers(ofB, false, true), 1, 'the one that was sent to')
  t.equal(answers({ ca }, false, true), 0)
})

t.test('an unverified address gets at most three times what it sent, and no alert', async t => {
  const random = seededRandom(t)
  const network = new Network(random)
  const station = network.station(ofB)
  for (let i = 0; i < 3000; i++) {
    const records = Array.from({ length: 1 + random.below(3) }, () => {
      if (random.below(2) === 0) return clientHello({ cookie: Buffer.alloc(random.below(64)) })
      return record(20 + random.below(4), random.below(2), Buffer.alloc(random.below(60)))
    })
    const datagram = Buffer.concat(records)
    station.sentDatagrams = []
    station.endpoint.receive(datagram, '203.0.113.1', random.below(65536))
    const sent = Buffer.concat(station.sentDatagrams).length
    if (sent > 3 * datagram.length) t.fail(datagram.toString('hex'))
    if (station.sentDatagrams.some(each => messageType(each) !== 3))
      t.fail('something else than a cookie')
  }
  t.match(station.endpoint.stats, { peers: 0, handshaking: 0 })
  t.equal(station.associations.length, 0, 'nothing is allocated')
  t.equal(station.endpoint.deadline, Number.POSITIVE_INFINITY)
})

t.test('a session is no way around the cookie', async t => {
  // Its full handshake would be a large answer, and much work (CVE-2022-2576).
  const settings = { client: ofA, server: ofB, targetName: 'b.example' }
  const [session] = handshake(settings).client.sessions
  const client = createEnd('client', ofA, { targetName: parseTargetName('b.example'), session })
  client.association.start()
  const [hello] = client.sent as [Buffer]
  t.not(parseClientHello(hello), undefined)
  t.ok(hello.length > 200, 'with a ticket in it')
  const station = new Network(seededRandom(t)).station(ofB)
  station.endpoint.receive(hello, '203.0.113.1', 5)
  t.same(
    station.sentDatagrams.map(each => [messageType(each), each.length]),
    [[3, HELLO_VERIFY_REQUEST_LENGTH]],
  )
  t.equal(station.associations.length, 0)
})

t.test('what servers say is answered by none: two of them never begin a loop', async t => {
  const network = new Network(seededRandom(t))
  const [one, other] = [network.station(ofA), network.station(ofB)]
  one.endpoint.receive(clientHello(), other.address, other.port)
  t.equal(one.sentDatagrams.length, 1)
  const said = [
    ...one.sentDatagrams,
    record(22, 0, handshakeFragment(2, 0, badServerHello())),
    record(20, 0, Buffer.of(1)),
  ]
  for (const alert of [0, 10, 40, 50, 70]) said.push(record(21, 0, Buffer.of(2, alert)))
  for (const datagram of said) other.endpoint.receive(datagram, one.address, one.port)
  t.same(other.sentDatagrams, [])
  t.match(other.endpoint.stats, { peers: 0, handshaking: 0 })
})

t.test('as many peers as there may be, of all and of one address; then silence', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station({ ...ofB, maxSessions: 4, maxSessionsPerHost: 2 })
  const clients: Station[] = []
  const begin = (address: string, port: number) => {
    const client = network.station(
      { ...ofA, handshakeTimeout: 5000 },
      { address, port, acceptsStrangers: false },
    )
    client.send('hi', server, 'b.example')
    clients.push(client)
    network.pass(1000)
    return client
  }
  for (const port of [1, 2, 3]) begin('203.0.113.1', port)
  t.equal(server.messages.length, 2, 'two of one address')
  for (const address of ['203.0.113.2', '203.0.113.3', '203.0.113.4']) begin(address, 1)
  t.equal(server.messages.length, 4, 'four in all')
  t.match(server.endpoint.stats, { peers: 4, handshaking: 0 })
  t.ok(server.endpoint.stats.dropped.limit > 0)
  network.pass(10_000)
  t.match(
    clients.map(each => each.errors.length),
    [0, 0, 1, 0, 0, 1],
  )
  // One goes, another comes.
  clients[0]?.endpoint.close()
  network.pass(10)
  begin('203.0.113.5', 1)
  t.equal(server.messages.length, 5)
  // Those that are there are not strangers: they may begin anew.
  const known = clients[1] as Station
  network.unplug(known)
  const again = network.station(ofA, {
    address: known.address,
    port: known.port,
    acceptsStrangers: false,
  })
  again.send('again', server, 'b.example')
  network.pass(1000)
  t.equal(server.messages.at(-1), 'again')
})

t.test('half-open handshakes make room: a flood of hellos keeps nobody out', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station({ ...ofB, maxSessions: 10, maxSessionsPerHost: 4 })
  const good = network.station(ofA, { acceptsStrangers: false })
  good.send('first', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  // Hellos whose cookies are good, and nothing after them.
  const addresses = Array.from({ length: 30 }, (_, i) => `2001:db8:0:${i % 6}::${i}`)
  network.passage = (datagram, from, to) => {
    if (to !== server || !addresses.includes(from.address)) return datagram
    return only(datagram, isHello)
  }
  for (const address of addresses) {
    const flood = network.station(ofA, { address, acceptsStrangers: false })
    flood.send('x', server, 'b.example')
    network.pass(10)
    network.unplug(flood)
  }
  t.match(server.endpoint.stats, { peers: 1, handshaking: 9 })
  const late = network.station(ofA, { address: '203.0.113.250', acceptsStrangers: false })
  late.send('late', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('late'), 1000))
  good.send('still', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('still'), 1000))
  network.pass(21_000)
  t.match(server.endpoint.stats, { peers: 2, handshaking: 0 }, 'and they are given up early')
})

t.test('those that go on by one step and then stand make room after a while', async t => {
  const network = new Network(seededRandom(t))
  // An address of its own: a resumed handshake has no such step.
  const address = '192.0.2.150'
  const server = network.station({ ...ofB, maxSessions: 10, maxSessionsPerHost: 4 }, { address })
  const floods: Station[] = []
  // Their certificate, which is no secret, and nothing after it.
  network.passage = (datagram, from) => {
    if (!floods.includes(from)) return datagram
    return only(datagram, record => [1, 11].includes(messageType(record)))
  }
  for (let i = 0; i < 10; i++) {
    const address = `2001:db8:0:${i + 1}::1`
    const flood = network.station(ofA, { address, acceptsStrangers: false })
    floods.push(flood)
    flood.send('x', server, 'b.example')
    network.pass(10)
    network.unplug(flood)
  }
  t.match(server.endpoint.stats, { peers: 0, handshaking: 10, handshakesFailed: 0 })
  const late = network.station(ofA, { address: '203.0.113.250', acceptsStrangers: false })
  late.send('late', server, 'b.example')
  network.pass(3000)
  t.match(server.endpoint.stats, { peers: 0, handshaking: 10 }, 'not while they may be under way')
  t.ok(network.until(() => server.messages.includes('late'), 10_000))
  t.match(server.endpoint.stats, { peers: 1, handshaking: 9 })
})

t.test('the addresses of one IPv6 network count together', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station({ ...ofB, maxSessionsPerHost: 2 })
  for (const address of ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1']) {
    const client = network.station(ofA, { address, acceptsStrangers: false })
    client.send(address, server, 'b.example')
    network.pass(100)
  }
  t.same(server.messages, ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'])
})

t.test('a handshake that does not go on is forgotten after its time', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station({ ...ofB, handshakeTimeout: 10_000 })
  const client = network.station(ofA, { acceptsStrangers: false })
  network.passage = (datagram, from) => (from === client ? only(datagram, isHello) : datagram)
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.endpoint.stats.handshaking === 1))
  network.unplug(client)
  network.pass(11_000)
  t.match(server.endpoint.stats, { handshaking: 0, peers: 0, handshakesFailed: 1 })
  t.equal(server.endpoint.deadline, Number.POSITIVE_INFINITY)
  t.same(server.errors, [], 'nobody here asked for it')
})

t.test('of those that are forgotten nothing is kept, not even their addresses', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station({ ...ofB, handshakeTimeout: 10_000 })
  network.passage = (datagram, from) => (from !== server ? only(datagram, isHello) : datagram)
  const visit = (address: string) => {
    const client = network.station(ofA, { address, acceptsStrangers: false })
    client.send('x', server, 'b.example')
    network.pass(10)
    network.unplug(client)
  }
  visit('203.0.113.1')
  network.pass(21_000)
  server.associations.length = 0
  const before = collections()
  for (let i = 0; i < 50; i++) visit(`2001:db8:${i}::1`)
  t.match(server.endpoint.stats, { handshaking: 50 })
  network.pass(21_000)
  t.match(server.endpoint.stats, { handshaking: 0 })
  server.associations.length = 0
  // An address has a Map of its peers, its network a Set.
  const { maps, sets } = collections()
  t.ok(maps - before.maps < 20, `${maps - before.maps} more maps`)
  t.ok(sets - before.sets < 20, `${sets - before.sets} more sets`)
})

t.test('handshakes come in portions: others need not wait for all of them', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(ofB)
  const clients = Array.from({ length: 20 }, () =>
    network.station(ofA, { acceptsStrangers: false }),
  )
  const first = clients[0] as Station
  first.send('first', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  const hellos: [Buffer, Station][] = []
  network.passage = (datagram, from, to) => {
    const isSecond = (each: Buffer) => parseClientHello(each)?.messageSequence === 1
    const second = to === server ? only(datagram, isSecond) : undefined
    if (second === undefined) return datagram
    hellos.push([second, from])
    return only(datagram, each => !isSecond(each))
  }
  for (const client of clients.slice(1)) client.send('x', server, 'b.example')
  t.ok(network.until(() => hellos.length >= 19, 5000))
  network.clock.workTakes = 0.8
  const before = server.associations.length
  for (const [hello, from] of hellos) server.endpoint.receive(hello, from.address, from.port)
  const atOnce = server.associations.length - before
  t.ok(atOnce < 19, `${atOnce} of 19 at once`)
  t.ok(server.endpoint.deadline <= network.clock.now(), 'the rest at the next opportunity')
  let ticks = 0
  while (server.associations.length - before < 19 && ticks < 100) {
    server.endpoint.tick()
    ticks += 1
  }
  t.equal(server.associations.length - before, 19)
  t.ok(ticks > 3, `in ${ticks} portions`)
  t.equal(server.endpoint.deadline > network.clock.now(), true, 'and then nothing waits')
})

t.test('work that waits costs no retransmission: what comes behind it waits too', async t => {
  for (const [index, workTakes] of [0.5, 0.9, 1.1, 1.7, 2.5, 5].entries()) {
    const network = new Network(seededRandom(t), { delay: [0, 0] })
    // Each its own address: a resumed handshake has no flight to wait.
    const server = network.station(ofB, { address: `192.0.2.${200 + index}` })
    const client = network.station(ofA)
    network.clock.workTakes = workTakes
    client.send('x', server, 'b.example')
    t.ok(
      network.until(() => server.messages.length === 1, 900),
      `a step takes ${workTakes} ms`,
    )
    t.equal(client.endpoint.stats.retransmissions, 0)
    t.equal(server.endpoint.stats.retransmissions, 0)
  }
})

t.test('random datagrams: none is answered, none throws, nothing is kept', async t => {
  const random = seededRandom(t)
  const network = new Network(random)
  const server = network.station(ofB)
  const client = network.station(ofA)
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  const sources = [client.address, '203.0.113.7', 'fe80::1%eth0', '::ffff:203.0.113.7', '::1']
  for (let i = 0; i < 20_000; i++) {
    const datagram = Buffer.alloc(random.below(200))
    for (let at = 0; at < datagram.length; at++) datagram[at] = random.below(256)
    if (random.below(4) > 0 && datagram.length > 26) {
      datagram[0] = 20 + random.below(5)
      datagram.writeUInt16BE(0xfefd, 1)
      datagram.writeUInt16BE(random.below(3), 3)
      datagram.writeUInt16BE(datagram.length - 13, 11)
      if (random.below(2) === 0) datagram[13] = random.below(25)
    }
    const address = random.of(sources)
    server.endpoint.receive(
      datagram,
      address,
      address === client.address ? client.port : random.below(9),
    )
  }
  t.match(server.endpoint.stats, { peers: 1, handshaking: 0 })
  client.send('y', server, 'b.example')
  t.ok(network.until(() => server.messages.includes('y'), 5000))
})

t.test('an address in another spelling is the same peer', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(ofB)
  const client = network.station(ofA)
  client.send('x', server, 'b.example')
  t.ok(network.until(() => server.messages.length === 1))
  const mapped = `::ffff:${client.address}`
  t.ok(server.endpoint.query(mapped, client.port))
  t.same(server.endpoint.peers(), [{ address: client.address, port: client.port }])
  server.endpoint.send(Buffer.from('hello'), mapped, client.port, mapped, () => {})
  t.ok(network.until(() => client.messages.includes('hello'), 100))
  t.equal(server.endpoint.stats.peers, 1)
  for (let i = 0; i < 100; i++)
    server.endpoint.query(`::ffff:${client.address}`.padStart(60 + i, '0'), client.port)
})

/** How many are alive. */
function collections() {
  return { maps: instancesOf(Map), sets: instancesOf(Set) }
}

/**
 * Those of its records, where there are any. OpenSSL has a clock of its own: where the machine is slow it sends
 * its last flight once more, in front of the next one and in the same datagram.
 */
function only(datagram: Buffer, isWanted: (record: Buffer) => boolean): Buffer | undefined {
  const records: Buffer[] = []
  for (let at = 0, end = 0; at < datagram.length; at = end) {
    end = recordEnd(datagram, at)
    const record = datagram.subarray(at, end)
    if (isWanted(record)) records.push(record)
  }
  return records.length === 0 ? undefined : Buffer.concat(records)
}

function isHello(record: Buffer): boolean {
  return messageType(record) === 1
}

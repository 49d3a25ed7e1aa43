/** Whom a peer must prove to be: R16 to R21 for many peers on one socket, in either role. */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { selfSignedIdentity, testIdentity } from '../../support/identities.js'
import { messageType } from './hellos.js'
import { Network } from './network.js'

const { ca } = await testIdentity()
async function identity(...names: string[]) {
  const { cert, key } = await testIdentity(names)
  return { cert, key, ca }
}
const [ofA, ofB, ofC] = [
  await identity('a.example'),
  await identity('b.example'),
  await identity('c.example'),
]
const twoNames = await identity('b.example', 'other.example', '198.51.100.77')

t.test('many names on one socket, one wrong: the others go on (R19, R20)', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const [b, c, d] = [network.station(ofB), network.station(ofC), network.station(ofC)]
  a.name(b, 'sensor/b.example')
  a.name(c, 'c.example')
  a.name(d, 'd.example')
  for (const each of [b, c, d]) each.onMessage = (text, from) => each.send(`re ${text}`, from)
  const sendings = [b, c, d].map(each => a.send('hello', each))
  t.ok(network.until(() => sendings.every(({ calls }) => calls > 0), 10_000))
  network.pass(1000)
  t.match(
    sendings.map(({ error }) => error),
    [null, null, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }],
  )
  t.match(sendings[2]?.error, { message: /d\.example.*c\.example/, peer: '192.0.2.4:5000' })
  t.same([b.messages, c.messages, d.messages], [['hello'], ['hello'], []])
  t.same(
    a.sources.map(each => each.targetName),
    ['sensor/b.example', 'c.example'],
  )
  t.equal(a.errors.length, 1)
  t.equal(a.query(d), undefined)
})

t.test('an exact port wins over the whole address', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB, { address: '192.0.2.9', port: 1 })
  const c = network.station(ofC, { address: '192.0.2.9', port: 2 })
  a.name(b, 'b.example', 0)
  a.name(c, 'c.example')
  const sendings = [a.send('x', b), a.send('x', c)]
  t.ok(network.until(() => sendings.every(({ calls }) => calls > 0), 10_000))
  t.match(sendings, [{ error: null }, { error: null }])
})

t.test('a mapped address is the same host', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  a.name({ ...b, address: `::ffff:${b.address}` } as never, 'c.example', 0)
  const sending = a.send('x', b)
  t.ok(network.until(() => sending.calls > 0, 10_000))
  t.match(sending.error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
})

t.test('an incoming peer with a name must prove it too', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(ofB)
  const good = network.station(ofA)
  const bad = network.station(ofC)
  server.name(good, 'a.example')
  server.name(bad, 'a.example')
  for (const each of [good, bad]) each.send('hi', server, 'b.example')
  network.pass(70_000)
  t.same(server.messages, ['hi'])
  t.equal(server.sources[0]?.targetName, 'a.example')
  t.equal(server.sources[0]?.peer?.targetName, 'a.example')
  t.equal(bad.errors.length, 1)
  t.same(server.errors, [])
})

t.test('a name comes before the first message, and before the peer is secured (R18)', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  a.send('x', b, 'b.example')
  const tooLate = { code: 'EISCONN', winsock: 'WSAEISCONN', syscall: 'WSASetSocketPeerTargetName' }
  t.throws(() => a.name(b, 'b.example'), tooLate, 'while the handshake goes on')
  t.throws(() => a.name(b, 'b.example', 0), tooLate, 'all ports of it')
  t.doesNotThrow(() => a.name(b, 'b.example', b.port + 1))
  t.ok(network.until(() => b.messages.length === 1))
  t.throws(() => a.name(b, 'b.example'), tooLate)
  t.throws(() => b.name(a, 'a.example'), tooLate, 'a stranger that is secured')
  a.endpoint.closePeer(b.address, b.port)
  t.doesNotThrow(() => a.name(b, 'b.example'), 'when it has ended')
})

t.test('a name that is set while a stranger handshakes counts for it', async t => {
  const network = new Network(seededRandom(t))
  const server = network.station(ofB)
  const client = network.station(ofC)
  client.send('hi', server, 'b.example')
  t.ok(network.until(() => server.endpoint.stats.handshaking === 1))
  server.name(client, 'a.example')
  network.pass(70_000)
  t.same(server.messages, [])
})

t.test(
  'a deleted name serves no handshake any more; its association lives to its limit (R21)',
  async t => {
    const network = new Network(seededRandom(t))
    const a = network.station({ ...ofA, resumeAfter: 60_000 })
    const b = network.station(twoNames)
    b.onMessage = (text, from) => b.send(`re ${text}`, from)
    a.name(b, 'other.example')
    a.send('1', b, 'b.example')
    t.ok(network.until(() => a.messages.length === 1))
    t.equal(a.endpoint.deleteTargetName(b.address, b.port), true)
    t.equal(a.endpoint.deleteTargetName(b.address, b.port), false)
    const hour = 3_600_000
    while (network.clock.time < hour - 10_000) {
      network.pass(120_000)
      if (network.clock.time > hour - 10_000) break
      a.send('on', b, 'b.example')
      if (network.clock.time < 200_000)
        t.equal(a.endpoint.stats.handshaking, 0, 'silent, and not resumed')
    }
    t.equal(a.associations.length, 1)
    t.equal(a.sources.at(-1)?.targetName, 'other.example', 'it was proved')
    network.pass(120_000)
    t.equal(a.closedPeers.length, 1, 'not rekeyed: it has ended')
    const { length } = a.messages
    a.send('2', b, 'b.example')
    t.ok(network.until(() => a.messages.length > length))
    t.equal(a.sources.at(-1)?.targetName, undefined)
    t.match(a.query(b), { resumed: false, peer: { targetName: 'b.example' } })
  },
)

t.test(
  'without a set name the host is the name; an address means who is secured there',
  async t => {
    const network = new Network(seededRandom(t))
    const a = network.station(ofA)
    const b = network.station(twoNames, { address: '198.51.100.77' })
    const first = a.send('by name', b, 'b.example')
    t.ok(network.until(() => first.calls > 0))
    const others = ['198.51.100.77', 'other.example', 'b.example', 'wrong.example', 'sha256/x'].map(
      host => a.send(host, b, host),
    )
    network.pass(1000)
    t.match(others, [
      { error: null },
      { error: null },
      { error: null },
      { calls: 1, error: { code: 'ERR_PEER_TARGET_NAME_MISMATCH' } },
      { calls: 1, error: { code: 'EINVAL' } },
    ])
    t.same(b.messages, ['by name', '198.51.100.77', 'other.example', 'b.example'])
    // In the queue as well.
    const c = network.station(twoNames, { address: '198.51.100.77', port: 2 })
    const queued = ['198.51.100.77', 'other.example', 'wrong.example'].map(host =>
      a.send(host, c, host),
    )
    network.pass(1000)
    t.match(queued, [
      { error: null },
      { error: null },
      { error: { code: 'ERR_PEER_TARGET_NAME_MISMATCH' } },
    ])
    t.rejects(a.endpoint.secure(c.address, c.port, 'wrong.example'), {
      code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    })
  },
)

t.test('a wrong host fails all that waits for it, and is no reason to try again', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  const sendings = [a.send('1', b, 'wrong.example'), a.send('2', b, 'wrong.example')]
  const securing = a.endpoint.secure(b.address, b.port, 'wrong.example')
  t.ok(network.until(() => sendings.every(({ calls }) => calls === 1)))
  const mismatch = { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }
  t.match(sendings, [{ error: mismatch }, { error: mismatch }])
  await t.rejects(securing, mismatch)
  t.equal(a.associations.length, 1)
  t.equal(a.errors.length, 1)
  const right = a.send('3', b, 'b.example')
  t.ok(network.until(() => right.calls > 0))
  t.match(right, { error: null }, 'another name, another try')
})

t.test('a pinned key needs no authority', async t => {
  const network = new Network(seededRandom(t))
  const mine = await selfSignedIdentity(['pinned'])
  const a = network.station({ requestCert: false })
  const b = network.station({ cert: mine.cert, key: mine.key, requestCert: false })
  a.name(b, mine.pin)
  const sending = a.send('x', b)
  t.ok(network.until(() => b.messages.length === 1))
  t.match(sending, { error: null })
  const c = network.station({ cert: mine.cert, key: mine.key, requestCert: false })
  a.name(c, `sha256/${Buffer.alloc(32).toString('base64')}`)
  const refused = a.send('x', c)
  t.ok(network.until(() => refused.calls > 0))
  t.match(refused.error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
})

t.test(
  'whoever begins from an address is not whom we mean by it, before he has said anything',
  async t => {
    const network = new Network(seededRandom(t))
    const a = network.station(ofA)
    const b = network.station(twoNames, { address: '198.51.100.77' })
    const c = network.station(ofC, { address: '198.51.100.78' })
    // They begin, and say nothing.
    for (const each of [b, c]) each.endpoint.secure(a.address, a.port, 'a.example')
    t.ok(network.until(() => a.endpoint.stats.peers === 2, 5000))
    const roles = () => a.associations.map(({ role }) => role)
    t.same(roles(), ['server', 'server'])

    const proved = a.send('he has proved his address', b)
    network.pass(0)
    t.match(proved, { calls: 1, error: null }, 'at once')
    const refused = a.send('he has not', c)
    t.equal(refused.calls, 0)
    t.ok(network.until(() => a.associations.length === 3, 2000))
    t.same(roles(), ['server', 'server', 'client'], 'we begin ourselves')
    t.ok(network.until(() => refused.calls === 1, 10_000))
    t.match(refused.error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
    t.rejects(a.endpoint.secure(c.address, c.port, c.address), {
      code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    })
    network.pass(5000)
    t.same(c.messages, [])
    t.equal(a.endpoint.stats.peers, 2, 'he himself is secured as before')

    // An answer is for whoever has asked.
    c.send('hello', a, 'a.example')
    t.ok(network.until(() => a.messages.length === 1, 5000))
    const answer = a.send('hello yourself', c)
    network.pass(0)
    t.match(answer, { calls: 1, error: null })
    t.ok(network.until(() => c.messages.length === 1, 1000))

    // The right name for him is right.
    const d = network.station(ofC, { address: '198.51.100.79' })
    d.endpoint.secure(a.address, a.port, 'a.example')
    t.ok(network.until(() => a.endpoint.stats.peers === 3, 5000))
    const named = a.send('by name', d, 'c.example')
    network.pass(0)
    t.match(named, { calls: 1, error: null })
  },
)

t.test('where a stranger completes what we wait for with another, ours goes on', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const c = network.station(twoNames, { address: '198.51.100.77', port: 7 })
  a.name(c, 'other.example')
  const early = c.endpoint.secure(a.address, a.port, 'a.example')
  t.ok(network.until(() => a.endpoint.stats.handshaking === 1, 1000))
  const mine = a.send('x', c)
  t.ok(network.until(() => mine.calls === 1, 10_000))
  t.match(mine, { error: null })
  await early
  t.equal(a.query(c)?.peer?.targetName, 'other.example')
})

t.test('an answer does not wait for what is meant for somebody else', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const c = network.station(ofC, { address: '198.51.100.80' })
  // It knows the client's role only.
  network.passage = (datagram, _from, to) =>
    to === c && messageType(datagram) === 1 ? undefined : datagram
  c.endpoint.secure(a.address, a.port, 'a.example')
  t.ok(network.until(() => a.endpoint.stats.peers === 1, 5000))
  const unasked = a.send('for whoever is at this address', c)
  network.pass(5000)
  a.onMessage = (text, from) => a.send(`re ${text}`, from)
  c.send('question', a, 'a.example')
  t.ok(network.until(() => c.messages.length === 1, 1000))
  t.same(c.messages, ['re question'])
  t.ok(network.until(() => unasked.calls === 1, 120_000))
  t.ok(unasked.error)
  t.same(c.messages, ['re question'])
})

t.test('a greeting from inside of the event that tells of a peer is for that peer', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const c = network.station(ofC, { address: '198.51.100.81', acceptsStrangers: false })
  a.onSecured = peer => a.send('welcome', peer)
  c.endpoint.secure(a.address, a.port, 'a.example')
  t.ok(network.until(() => c.messages.length === 1, 1000))
  t.equal(a.associations.length, 1)
})

/** What fails, fails for its peer alone, with an error that says why; and every callback is called once. */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { strangerIdentity, testIdentity } from '../../support/identities.js'
import { badServerHello, handshakeFragment, messageOf, messageType, record } from './hellos.js'
import { Network } from './network.js'

const { ca } = await testIdentity()
async function identity(...names: string[]) {
  const { cert, key } = await testIdentity(names)
  return { cert, key, ca }
}
const [ofA, ofB] = [await identity('a.example'), await identity('b.example')]
const nobody = { address: '203.0.113.99', port: 9 }

t.test('a peer that never answers: an error that names it and the likely causes', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station({ ...ofA, handshakeTimeout: 20_000 })
  const b = network.station(ofB)
  const lost = a.send('x', nobody, 'nobody.example')
  const securing = a.endpoint.secure(nobody.address, nobody.port, 'nobody.example')
  const fine = a.send('x', b, 'b.example')
  t.ok(
    network.until(() => fine.calls === 1, 1000),
    'others are not concerned',
  )
  t.ok(network.until(() => lost.calls === 1, 30_000))
  t.equal(network.clock.time, 20_000)
  t.match(lost.error, {
    code: 'ERR_TLS_HANDSHAKE_TIMEOUT',
    peer: '203.0.113.99:9',
    message:
      /^203\.0\.113\.99:9 did not complete the handshake within 20000 ms: nothing came from it: .*no cipher/,
  })
  await t.rejects(securing, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  t.match(a.errors, [{ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }])
  t.equal(a.endpoint.peerStats(nobody.address, nobody.port), undefined, 'nothing is kept of it')
  t.match(a.endpoint.stats, { handshakesFailed: 1, retransmissions: 4, handshakes: 1 })
})

t.test('an ICMP error is counted and a hint, and ends nothing', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station({ ...ofA, handshakeTimeout: 20_000 })
  const refused = Object.assign(new Error('recvmsg ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const lost = a.send('x', nobody, 'nobody.example')
  a.endpoint.sendFailed(refused, nobody.address, nobody.port)
  t.equal(a.endpoint.peerStats(nobody.address, nobody.port)?.dropped.icmp, 1)
  t.equal(lost.calls, 0)
  network.pass(30_000)
  t.match(lost.error, { message: /an ICMP error says that nobody listens there/ })

  const b = network.station(ofB)
  const fine = a.send('x', b, 'b.example')
  t.ok(network.until(() => fine.calls === 1))
  for (let i = 0; i < 10; i++) a.endpoint.sendFailed(refused, b.address, b.port)
  a.send('y', b, 'b.example')
  t.ok(network.until(() => b.messages.includes('y')))
  // A stranger's is only counted.
  a.endpoint.sendFailed(refused, '203.0.113.5', 5)
  t.equal(a.endpoint.stats.dropped.icmp, 12)

  // Whatever its code: it is as easily forged while a handshake is under way.
  for (const code of ['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENOPROTOOPT', 'EACCES']) {
    const c = network.station(ofB)
    const sending = a.send('x', c, 'b.example')
    const unreachable = Object.assign(new Error(`recvmsg ${code}`), { code })
    a.endpoint.sendFailed(unreachable, c.address, c.port)
    t.ok(network.until(() => sending.calls === 1))
    t.equal(sending.error, null, code)
    t.equal(a.endpoint.peerStats(c.address, c.port)?.dropped.icmp, 1)
  }
})

t.test("this machine's own error ends a handshake at once, as in dgram", async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  a.sendError = Object.assign(new Error('send ENETUNREACH'), { code: 'ENETUNREACH' })
  const lost = a.send('x', nobody, 'nobody.example')
  network.pass(10)
  t.match(lost, { calls: 1, error: { code: 'ENETUNREACH' } })
  for (const code of ['ENOBUFS', 'EAGAIN', 'EMSGSIZE', 'ECONNREFUSED']) {
    a.sendError = Object.assign(new Error(`send ${code}`), { code })
    const passing = a.send('x', nobody, 'nobody.example')
    network.pass(10)
    t.equal(passing.calls, 0, `${code} may pass`)
    a.endpoint.closePeer(nobody.address, nobody.port)
    t.match(passing, { calls: 1, error: { code: 'ECANCELED' } })
  }
})

t.test('a clear alert is held; it counts only where nothing follows', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const lost = a.send('x', nobody, 'nobody.example')
  const alert = record(21, 0, Buffer.from([2, 40]), 7)
  network.pass(500)
  a.endpoint.receive(alert, nobody.address, nobody.port)
  network.pass(999)
  t.equal(lost.calls, 0)
  network.pass(2)
  t.match(lost, { calls: 1, error: { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' } })

  // Forged, while the true peer is slow.
  network.weather = { delay: [300, 300] }
  const b = network.station(ofB)
  const fine = a.send('x', b, 'b.example')
  for (let i = 0; i < 5; i++) {
    a.endpoint.receive(record(21, 0, Buffer.from([2, 40]), 50 + i), b.address, b.port)
    network.pass(250)
  }
  t.ok(network.until(() => b.messages.length === 1, 5000))
  t.match(fine, { calls: 1, error: null })
})

t.test('a forged message of the handshake costs one attempt', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  const fine = a.send('x', b, 'b.example')
  const forged = record(22, 0, handshakeFragment(2, 0, badServerHello()), 3)
  a.endpoint.receive(forged, b.address, b.port)
  t.ok(
    network.until(() => fine.calls === 1, 10_000),
    'sent',
    { log: network.log },
  )
  t.match(fine, { error: null })
  t.match(a.endpoint.stats, { handshakes: 1, handshakesFailed: 1 })
  t.same(a.errors, [])
})

t.test('one for each attempt ends it after the second: nobody begins again for ever', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  let count = 0
  network.passage = (datagram, from) => {
    count += 1
    const forged = record(22, 0, handshakeFragment(2, 0, badServerHello()), count)
    if (from === a) a.endpoint.receive(forged, b.address, b.port)
    return datagram
  }
  const lost = a.send('x', b, 'b.example')
  t.ok(network.until(() => lost.calls === 1, 10_000))
  t.match(lost.error, { code: /^ERR_SSL_/, peer: `${b.address}:${b.port}` })
  t.equal(a.associations.length, 2)
  const sent = a.sentDatagrams.length
  network.pass(120_000)
  t.equal(a.sentDatagrams.length, sent, 'and then it is silent')
  t.match(a.endpoint.stats, { handshakes: 0, handshakesFailed: 2, handshaking: 0 })
  t.same(b.messages, [])
})

t.test('a refusal says why, on the side that knows', async t => {
  const network = new Network(seededRandom(t))
  const stranger = await strangerIdentity(['s.example'])
  const s = network.station({ cert: stranger.cert, key: stranger.key, ca })
  const b = network.station(ofB)
  const refused = b.send('x', s, 's.example')
  t.ok(network.until(() => refused.calls === 1, 10_000))
  t.match(refused.error, { code: /^(UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/, peer: '192.0.2.1:5000' })
  // The server hears of it by an alert that anybody could have sent: it says nothing.
  network.pass(2000)
  t.same(s.errors, [])
  t.match(s.endpoint.stats, { handshakesFailed: 1, handshaking: 0 })

  const unwanted = s.send('x', b, 'b.example')
  t.ok(network.until(() => unwanted.calls === 1, 10_000))
  t.match(unwanted.error, { code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' })
})

t.test('wrong pre-shared keys look like silence, and the error says so', async t => {
  const network = new Network(seededRandom(t))
  const key = (byte: number) => Buffer.alloc(16, byte)
  const server = network.station({ psk: { device: key(1) } })
  const client = network.station({
    psk: { identity: 'device', key: key(2) },
    handshakeTimeout: 5000,
  })
  const lost = client.send('x', server)
  t.ok(network.until(() => lost.calls === 1))
  t.match(lost.error, { message: /pre-shared keys/ })
  const good = network.station({ psk: { identity: 'device', key: key(1) } })
  const fine = good.send('x', server)
  t.ok(network.until(() => server.messages.length === 1))
  t.match(fine, { error: null })
  t.match(server.sources[0]?.peer, { pskIdentity: 'device' })
})

t.test('settings that cannot be used fail the send that needs them', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station({ psk: { device: Buffer.alloc(16) }, ca: [] })
  const sending = a.send('x', nobody)
  t.match(sending, { calls: 1, error: { code: 'ENOCREDENTIAL' } })
  t.equal(a.sentDatagrams.length, 0, 'no packet is sent')
  await t.rejects(a.endpoint.secure(nobody.address, nobody.port, nobody.address), {
    code: 'ENOCREDENTIAL',
  })
  t.match(a.endpoint.stats, { handshaking: 0, peers: 0 })
})

t.test('messages that no record takes', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  const largest = 'x'.repeat(16384)
  const sizes = [a.send('', b, 'b.example'), a.send(`${largest}x`, b, 'b.example')]
  t.match(sizes, [{ error: { code: 'EOPNOTSUPP' } }, { error: { code: 'EMSGSIZE' } }])
  t.equal(a.sentDatagrams.length, 0)
  a.send(largest, b, 'b.example')
  t.ok(network.until(() => b.messages.length === 1))
  t.equal(b.messages[0], largest)
  t.match(a.send(`${largest}x`, b, 'b.example'), { calls: 1, error: { code: 'EMSGSIZE' } })
  t.match(a.send('', b, 'b.example'), { calls: 1, error: { code: 'EOPNOTSUPP' } })
  t.match(a.send('x', { address: 'localhost', port: 1 }), { calls: 1, error: { code: 'EINVAL' } })
})

t.test('the queue is bounded, per peer', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station({ ...ofA, maxQueuedDatagrams: 3, maxQueuedBytes: 100 })
  const b = network.station(ofB)
  const sendings = ['1', '2', '3', '4'].map(text => a.send(text, b, 'b.example'))
  const large = a.send('x'.repeat(101), nobody)
  t.match(sendings[3], { calls: 1, error: { code: 'ENOBUFS' } })
  t.match(large, { calls: 1, error: { code: 'ENOBUFS' } })
  t.equal(a.endpoint.peerStats(nobody.address, nobody.port), undefined, 'nothing begins for it')
  t.ok(network.until(() => b.messages.length === 3))
  t.match(sendings.slice(0, 3), [{ error: null }, { error: null }, { error: null }])
})

t.test('closing: one peer, or all; whoever waits is told, once', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const [b, c] = [network.station(ofB), network.station(ofB)]
  for (const each of [b, c]) a.send('x', each, 'b.example')
  t.ok(network.until(() => b.messages.length === 1 && c.messages.length === 1))
  a.endpoint.closePeer(b.address, b.port)
  t.same(a.closedPeers, [{ address: b.address, port: b.port }])
  network.pass(10)
  t.equal(b.closedPeers.length, 1, 'it was told')
  t.same(a.endpoint.peers(), [{ address: c.address, port: c.port }])

  const waiting = a.send('x', nobody)
  const securing = a.endpoint.secure(nobody.address, nobody.port, nobody.address)
  a.endpoint.close()
  t.match(waiting, { calls: 1, error: { code: 'ECANCELED' } })
  await t.rejects(securing, { code: 'ECANCELED' })
  t.match(a.send('x', c), { calls: 1, error: { code: 'ENOTSOCK' } })
  a.endpoint.close()
  a.endpoint.tick()
  a.endpoint.receive(Buffer.alloc(20), c.address, c.port)
  network.pass(10)
  t.equal(c.closedPeers.length, 1)
  t.equal(a.endpoint.deadline, Number.POSITIVE_INFINITY)
  t.same(a.endpoint.queued, { datagrams: 0, bytes: 0 })
})

t.test('whatever is called from inside a message, a callback or an event', async t => {
  for (const what of ['closePeer', 'close', 'send'] as const) {
    const network = new Network(seededRandom(t))
    const a = network.station(ofA, { address: `198.18.0.${what.length}` })
    const b = network.station(ofB, { address: `198.18.1.${what.length}` })
    const act = () => {
      if (what === 'send') b.send('from inside', a)
      else if (what === 'close') b.endpoint.close()
      else b.endpoint.closePeer(a.address, a.port)
    }
    b.onMessage = act
    const sendings = ['1', '2', '3'].map(text => a.send(text, b, 'b.example'))
    network.pass(5000)
    t.ok(
      sendings.every(({ calls }) => calls === 1),
      what,
    )
    t.same(b.messages, what === 'send' ? ['1', '2', '3'] : ['1'], what)
    // In a callback of its own messages.
    const c = network.station(ofA, { address: `198.18.2.${what.length}` })
    const d = network.station(ofB, { address: `198.18.3.${what.length}` })
    let calls = 0
    for (let i = 0; i < 3; i++)
      c.endpoint.send(Buffer.from('x'), d.address, d.port, 'b.example', () => {
        calls += 1
        if (what === 'close') c.endpoint.close()
        if (what === 'closePeer') c.endpoint.closePeer(d.address, d.port)
        if (what === 'send' && calls < 10) c.send('again', d, 'b.example')
      })
    network.pass(5000)
    t.equal(calls, 3, `${what}: each callback once`)
  }
})

t.test("a listener's exception is the process's, and harms no peer", async t => {
  const network = new Network(seededRandom(t))
  const a = network.station(ofA)
  const b = network.station(ofB)
  b.onMessage = () => {
    throw new Error('of the application')
  }
  const uncaught = new Promise(resolve => process.once('uncaughtException', resolve))
  a.send('x', b, 'b.example')
  t.ok(network.until(() => b.messages.length === 1))
  t.match(await uncaught, { message: 'of the application' })
  b.onMessage = undefined
  a.send('y', b, 'b.example')
  t.ok(network.until(() => b.messages.includes('y')))
})

t.test('a session that is refused, or met with silence, costs time and no message', async t => {
  for (const [what, address] of [
    ['alert', '198.18.9.1'],
    ['silence', '198.18.9.2'],
  ] as const) {
    const network = new Network(seededRandom(t))
    const a = network.station(ofA)
    const b = network.station(ofB, { address })
    a.send('first', b, 'b.example')
    t.ok(network.until(() => b.messages.length === 1))
    a.endpoint.closePeer(b.address, b.port)
    network.pass(10)
    // As libcoap does: it has no use for a session, and says internal_error.
    network.passage = (datagram, from, to) => {
      const isAnswer = from === b && to === a && messageType(datagram) === 2
      // The server takes the session: its Finished is in the same flight.
      if (!isAnswer || messageOf(datagram, 11)) return datagram
      return what === 'alert' ? record(21, 0, Buffer.from([2, 80]), 9) : undefined
    }
    const sending = a.send('second', b, 'b.example')
    t.ok(
      network.until(() => b.messages.includes('second'), 30_000),
      what,
    )
    t.match(sending, { calls: 1, error: null })
    t.same(a.errors, [])
    t.match(a.query(b), { resumed: false })
  }
})

t.test('a rekey that waits for its second attempt lets the clock go on', async t => {
  const network = new Network(seededRandom(t))
  const a = network.station({ ...ofA, rekeyAfter: 5000 })
  const b = network.station(ofB, { address: '198.18.9.3' })
  a.send('x', b, 'b.example')
  t.ok(network.until(() => b.messages.length === 1))
  let spoilt = 0
  network.passage = (datagram, from) => {
    if (from !== b || messageType(datagram) !== 2 || spoilt > 0) return datagram
    spoilt += 1
    return record(22, 0, handshakeFragment(2, 1, badServerHello()))
  }
  t.ok(network.until(() => a.endpoint.stats.handshakesFailed === 1, 10_000))
  const { deadline } = a.endpoint
  t.ok(deadline > network.clock.now(), 'nothing is due at once')
  // Closed while it waits: it does not come back.
  a.endpoint.closePeer(b.address, b.port)
  network.pass(10_000)
  t.match(a.endpoint.stats, { handshaking: 0, peers: 0 })
})

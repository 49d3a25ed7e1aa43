/** Lost flights: sent again, smaller after a while, and by OpenSSL's own clock. */
import t from 'tap'
import { testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { alsoTell, clock, createPair, deliver, type End, say } from './pair.js'

const { cert, key, ca } = (await testIdentity()) as { cert: string; key: string; ca: string }
const peer = (await testIdentity(['client.example'])) as { cert: string; key: string }
const client = { cert: peer.cert, key: peer.key, ca }
const server = { cert, key, ca }
const usual = { client, server, targetName: 'localhost' }
/** OpenSSL sends again by itself where a machine stands still for so long: more than a stall, less than a wait. */
const soon = 200

/** Waits for the association's deadline, and ticks. */
async function nextTimeout({ association, waiting }: End): Promise<Buffer[]> {
  const before = association.retransmissions
  await until('retransmitted', () => {
    if (clock.now() >= association.deadline) association.tick()
    return association.retransmissions > before
  })
  return waiting.splice(0)
}

t.test('without an answer a flight is sent again, after twice the time', async t => {
  // Long enough for a busy machine to tell the one from the other.
  const pair = createPair({ ...usual, retransmitAfter: 500 })
  pair.server.waiting.length = 0
  const { association } = pair.client
  const left = [association.deadline - clock.now()]
  alsoTell(association, 'onDatagram', () => {
    setImmediate(() => left.push(association.deadline - clock.now()))
  })
  const again = await nextTimeout(pair.client)
  t.equal(again.length, 1)
  await until('noted', () => left.length === 2)
  const [first = 0, second = 0] = left
  t.ok(first > 0 && first <= 501, `${first} ms`)
  t.ok(second > 501 && second <= 1001, `${second} ms`)
  t.equal(association.retransmissions, 1)
  t.notOk(association.heardServerHello)
})

t.test('the deadline of a handshake without a test is a second', t => {
  const pair = createPair(usual)
  const left = pair.client.association.deadline - clock.now()
  t.ok(left > 500 && left <= 1001, `${left} ms`)
  t.equal(pair.client.association.tick(), undefined, 'too early')
  t.equal(pair.client.association.retransmissions, 0)
  t.end()
})

t.test('a handshake gets through whichever datagram is lost', async t => {
  // Each datagram once; a flight of the mtu 400 has several.
  for (let lost = 0; lost < 9; lost += 1) {
    const pair = createPair({ ...usual, mtu: 400, retransmitAfter: soon })
    let count = 0
    const deliverWithLoss = () => {
      for (const [from, to] of [
        [pair.server, pair.client],
        [pair.client, pair.server],
      ] as const) {
        for (const datagram of from.waiting.splice(0)) {
          if (count++ !== lost) to.association.receive(datagram)
        }
      }
    }
    await until('retransmitted', () => {
      deliverWithLoss()
      for (const { association } of [pair.client, pair.server])
        if (clock.now() >= association.deadline) association.tick()
      return pair.client.secured === 1 && pair.server.secured === 1
    })
    t.equal(say(pair.client, pair.server, 'x'), 'x', `datagram ${lost}`)
    t.equal(say(pair.server, pair.client, 'x'), 'x')
  }
})

t.test('the last flight is sent again where the peer asks again', t => {
  const pair = createPair({ ...usual, retransmitAfter: soon })
  for (const datagram of pair.server.waiting.splice(0)) pair.client.association.receive(datagram)
  const flight = pair.client.waiting.splice(0)
  for (const datagram of flight) pair.server.association.receive(datagram)
  t.equal(pair.server.secured, 1)
  pair.server.waiting.length = 0
  return nextTimeout(pair.client).then(again => {
    for (const datagram of again) pair.server.association.receive(datagram)
    t.ok(pair.server.waiting.length > 0)
    deliver(pair)
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.equal(say(pair.server, pair.client, 'x'), 'x')
  })
})

t.test('after two in vain, flights are cut smaller (RFC 6347, section 4.1.1.1)', async t => {
  const pair = createPair({ ...usual, mtu: 1200, retransmitAfter: soon / 4 })
  const sizes: number[] = []
  pair.server.waiting.length = 0
  for (let count = 0; count < 5; count += 1) {
    const flight = await nextTimeout(pair.server)
    sizes.push(Math.max(...flight.map(each => each.length)))
    if (count === 4) for (const datagram of flight) pair.client.association.receive(datagram)
  }
  t.ok((sizes[0] as number) > 508 && sizes[1] === sizes[0], `${sizes}`)
  t.ok((sizes[2] as number) <= 508 && (sizes[2] as number) > 256)
  t.ok((sizes[4] as number) <= 256)
  deliver(pair)
  t.equal(say(pair.client, pair.server, 'x'), 'x')
})

t.test('a HelloVerifyRequest is no answer yet, a ServerHello is', t => {
  const pair = createPair(usual)
  t.notOk(pair.client.association.heardServerHello, 'the cookie was exchanged')
  pair.client.association.receive(pair.server.waiting.shift() as Buffer)
  t.ok(pair.client.association.heardServerHello)
  t.equal(pair.client.association.state, 'handshaking')
  t.end()
})

t.test('receive() tells whether the protocol went on', t => {
  const pair = createPair(usual)
  const [flight] = pair.server.waiting.splice(0)
  t.ok(pair.client.association.receive(flight as Buffer))
  t.notOk(pair.client.association.receive(Buffer.from('16fefd00000000000000090004deadbeef', 'hex')))
  const [answer] = pair.client.waiting.splice(0)
  t.ok(pair.server.association.receive(answer as Buffer))
  deliver(pair)
  t.equal(pair.client.secured, 1)
  t.end()
})

t.test('what OpenSSL sends again by itself is no progress', async t => {
  // A timer that nobody has looked at runs out while something else is received.
  const { client, server } = createPair({ ...usual, retransmitAfter: soon })
  server.waiting.length = 0
  await until('it is due', () => clock.now() >= server.association.deadline)
  t.notOk(server.association.receive(client.sent.at(-1) as Buffer))
  t.ok(server.waiting.length > 0, 'it was sent again')
})

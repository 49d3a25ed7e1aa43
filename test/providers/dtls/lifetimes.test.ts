/** How long one set of keys is used, with a clock that is told: hours pass in milliseconds. */
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { parseSettings } from '../../../src/model/settings.js'
import { isWorn, isWornOut, OVERLAP, recordLimits } from '../../../src/providers/dtls/lifetimes.js'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { badServerHello, handshakeFragment, messageType, record } from './hellos.js'
import { Network, type Station } from './network.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const CHANGE_CIPHER_SPEC = 20

const { ca } = await testIdentity()
async function identity(name: string) {
  const { cert, key } = await testIdentity([name])
  return { cert, key, ca }
}
const [ofA, ofB] = [await identity('a.example'), await identity('b.example')]

let subnet = 0
interface Pair {
  readonly network: Network
  readonly client: Station
  readonly server: Station
  /** The client's message has been answered. */
  exchange(text: string): boolean
}

/** A client and a server that have exchanged a message; addresses of their own, so that nothing is resumed. */
function pair(
  t: Parameters<typeof seededRandom>[0],
  ofClient: DatagramSecuritySettings = {},
  ofServer: DatagramSecuritySettings = {},
): Pair {
  subnet += 1
  const network = new Network(seededRandom(t))
  const client = network.station(
    { ...ofA, ...ofClient },
    { address: `203.0.113.${subnet}`, acceptsStrangers: false },
  )
  const server = network.station({ ...ofB, ...ofServer }, { address: `198.51.100.${subnet}` })
  server.onMessage = (text, { address, port }) => server.send(`re ${text}`, { address, port })
  const exchange = (text: string) => {
    client.send(text, server, 'b.example')
    return network.until(() => client.messages.includes(`re ${text}`), 20_000)
  }
  t.ok(exchange('first'))
  return { network, client, server, exchange }
}

/** Lets time pass with a message now and then, so that nothing is idle or silent. */
function busy({ network, exchange }: Pair, milliseconds: number, every = 30_000): boolean {
  const end = network.clock.time + milliseconds
  while (network.clock.time < end) {
    if (!exchange(`at ${network.clock.time}`)) return false
    network.pass(Math.min(every, end - network.clock.time))
  }
  return true
}

function resumed(station: Station): boolean[] {
  return station.associations
    .filter(each => each.state === 'secured')
    .map(each => each.query().resumed)
}

t.test(
  'the keys are new after an hour, without a gap, and the proof of identity after two',
  async t => {
    const both = pair(t)
    const { network, client, server } = both
    t.ok(busy(both, HOUR - MINUTE))
    t.equal(client.associations.length, 1)
    t.ok(busy(both, 2 * MINUTE))
    t.match(client.endpoint.stats, { handshakes: 2, handshakesResumed: 1, peers: 1 })
    t.match(server.endpoint.stats, { handshakes: 2, handshakesResumed: 1, peers: 1 })
    t.ok(busy(both, HOUR))
    t.match(client.endpoint.stats, { handshakes: 3, handshakesResumed: 1 }, 'the third one is full')
    t.equal(client.query(server)?.resumed, false)
    network.pass(OVERLAP + 1)
    t.same(resumed(client), [false], 'one is left')
    t.same(resumed(server), [false])
    t.equal(
      client.endpoint.stats.datagramsReceived,
      server.endpoint.stats.datagramsSent,
      'nothing lost',
    )
    t.same([client.securedPeers.length, server.securedPeers.length], [1, 1], 'nobody needs to know')
    t.same([client.closedPeers, server.closedPeers, client.errors, server.errors], [[], [], [], []])
  },
)

t.test('the query says since when and until when', async t => {
  const { network, client, server } = pair(t)
  const info = client.query(server)
  const now = network.clock.wallTime()
  t.ok(Math.abs(Number(info?.since) - now) < 1000)
  t.equal(Number(info?.rekeyAfter) - Number(info?.since), HOUR)
  t.equal(Number(info?.expires) - Number(info?.since), 2 * HOUR)
})

t.test('after so many bytes, on the larger of the two directions', async t => {
  const limit = { rekeyAfterBytes: 10_000 }
  const out = pair(t, limit)
  for (let i = 0; i < 9; i++) out.client.send('x'.repeat(1000), out.server, 'b.example')
  out.network.pass(1000)
  t.equal(out.client.endpoint.stats.handshakes, 1)
  for (let i = 0; i < 2; i++) out.client.send('x'.repeat(1000), out.server, 'b.example')
  out.network.pass(1000)
  t.equal(out.client.endpoint.stats.handshakes, 2, 'sent')

  const into = pair(t, limit)
  for (let i = 0; i < 11; i++) into.server.send('x'.repeat(1000), into.client)
  into.network.pass(1000)
  t.equal(into.client.endpoint.stats.handshakes, 2, 'received')
  t.equal(into.client.messages.length, 12, 'all of it')
})

t.test('after as many records as the cipher allows; the server ends it at the last', async t => {
  t.same(recordLimits('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'), {
    hard: Math.floor(2 ** 24.5),
    soft: Math.floor((Math.floor(2 ** 24.5) * 7) / 8),
  })
  t.equal(recordLimits('TLS_PSK_WITH_AES_128_CCM_8').hard, 2 ** 23)
  t.equal(recordLimits('TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256').hard, 2 ** 48)
  t.equal(recordLimits(undefined).hard, Math.floor(2 ** 24.5))

  const { network, client, exchange } = pair(t)
  const [ours] = client.associations
  if (ours) ours.recordsReceived = Math.floor((2 ** 24.5 * 7) / 8)
  t.ok(exchange('at the limit'))
  network.pass(1000)
  t.equal(client.endpoint.stats.handshakes, 2, 'the client begins anew')

  const late = pair(t)
  const [theirs] = late.server.associations
  if (theirs) theirs.recordsSent = Math.floor(2 ** 24.5)
  const sending = late.server.send('one too many', late.client)
  late.network.pass(10)
  t.equal(late.server.closedPeers.length, 1, 'the server says close_notify')
  t.equal(theirs?.state, 'ended')
  t.equal(late.client.closedPeers.length, 1)
  t.equal(sending.calls, 0, 'and it waits for a new handshake')
  late.client.endpoint.acceptsStrangers = true
  t.ok(late.network.until(() => sending.calls === 1))
})

t.test('use, in numbers', async t => {
  const settings = parseSettings({ rekeyAfterBytes: 100 }, 'datagram')
  const limits = { soft: 10, hard: 12 }
  const none = { recordsSent: 0, recordsReceived: 0, bytesSent: 0, bytesReceived: 0 }
  t.notOk(isWorn({ ...none, recordsSent: 9, bytesReceived: 99 }, limits, settings))
  for (const direction of ['Sent', 'Received']) {
    t.ok(isWorn({ ...none, [`records${direction}`]: 10 }, limits, settings))
    t.notOk(isWornOut({ ...none, [`records${direction}`]: 11 }, limits, settings))
    t.ok(isWornOut({ ...none, [`records${direction}`]: 12 }, limits, settings))
    t.ok(isWorn({ ...none, [`bytes${direction}`]: 100 }, limits, settings))
    t.ok(isWornOut({ ...none, [`bytes${direction}`]: 200 }, limits, settings))
  }
})

t.test(
  'only the client begins; a server lets a client that never does go after two hours',
  async t => {
    const never = 100 * HOUR
    const both = pair(t, { rekeyAfter: never, fullHandshakeAfter: never })
    t.ok(busy(both, 2 * HOUR))
    t.match(both.server.endpoint.stats, { handshakes: 1, peers: 1 })
    both.network.pass(MINUTE + 1000)
    t.equal(both.server.closedPeers.length, 1)
    t.equal(both.client.closedPeers.length, 1)
  },
)

t.test('a server lets an idle peer go after five minutes, with close_notify', async t => {
  const { network, client, server, exchange } = pair(t)
  network.pass(5 * MINUTE - 1000)
  t.equal(server.endpoint.stats.peers, 1)
  network.pass(2000)
  t.equal(server.endpoint.stats.peers, 0)
  t.match(server.closedPeers, [{ address: client.address, port: client.port }])
  t.match(client.closedPeers, [{ address: server.address, port: server.port }])
  t.equal(server.endpoint.deadline, Number.POSITIVE_INFINITY, 'nothing is left of it')
  t.equal(client.endpoint.deadline, Number.POSITIVE_INFINITY)
  t.ok(exchange('later'))
  t.equal(client.query(server)?.resumed, true)

  const used = pair(t, { resumeAfter: 0 })
  for (let i = 0; i < 4; i++) {
    used.network.pass(4 * MINUTE)
    used.server.send('now and then', used.client)
  }
  t.equal(used.server.endpoint.stats.peers, 1, 'what was sent counts too')
})

t.test('a client keeps its keys until they are old, and then only where they are used', async t => {
  const { network, client, server } = pair(t, {}, { idleTimeout: 10 * HOUR })
  network.pass(HOUR - MINUTE)
  t.equal(client.endpoint.stats.peers, 1)
  network.pass(2 * MINUTE)
  t.match(client.endpoint.stats, { handshakes: 1, peers: 0 })
  t.equal(server.closedPeers.length, 1)
})

t.test(
  'after a silent minute the next message waits for a new handshake, in the same tick',
  async t => {
    const { network, client, server } = pair(t)
    network.pass(MINUTE - 1000)
    client.sentDatagrams = []
    client.send('soon enough', server, 'b.example')
    t.same(
      client.sentDatagrams.map(each => each[0]),
      [23],
    )
    network.unplug(server)
    network.pass(MINUTE + 2000)
    client.sentDatagrams = []
    const sending = client.send('is it there?', server, 'b.example')
    t.same(
      client.sentDatagrams.map(each => each[0]),
      [21, 22],
      'close_notify, then a ClientHello',
    )
    t.equal(sending.calls, 0, 'the message waits')
    // The server has been started again: it knows nothing, and could not say so.
    const again = network.station(ofB, { address: server.address, port: server.port })
    t.ok(network.until(() => again.messages.includes('is it there?'), 10_000))
    t.same(client.messages, ['re first', 're soon enough'].slice(0, client.messages.length))
    t.equal(client.securedPeers.length, 1, 'for the application nothing has ended')
    t.equal(client.closedPeers.length, 0)
  },
)

t.test('it resumes where the server knows it still, and asks at most once a minute', async t => {
  const silent = pair(t)
  silent.server.onMessage = undefined
  const { network, client, server } = silent
  for (let second = 0; second < 300; second++) {
    client.send(`${second}`, server, 'b.example')
    network.pass(1000)
  }
  t.equal(server.messages.length, 301, 'every message has come')
  const { handshakes, handshakesResumed } = client.endpoint.stats
  t.equal(handshakes, 5, 'one at the beginning, and one a minute')
  t.equal(handshakesResumed, 4)
})

t.test('of a peer that answers, silence is believed more often', async t => {
  const { network, client, server } = pair(t, { resumeAfter: 2000 })
  let place = server
  for (let times = 1; times <= 3; times += 1) {
    network.unplug(place)
    const next = network.station(ofB, { address: server.address, port: server.port })
    next.onMessage = (text, from) => next.send(`re ${text}`, from)
    place = next
    for (let tick = 0; tick < 20 && !client.messages.includes(`re ${times}`); tick += 1) {
      client.send(`${times}`, next, 'b.example')
      network.pass(500)
    }
    t.ok(client.messages.includes(`re ${times}`), `another process in its place: ${times}`)
  }
  t.ok(network.clock.now() < MINUTE)
})

t.test('resumeAfter: 0 turns it off; other values move it', async t => {
  for (const [resumeAfter, handshakes] of [
    [0, 1],
    [150_000, 2],
  ] as const) {
    const { network, client, server } = pair(t, { resumeAfter })
    server.onMessage = undefined
    for (let second = 0; second < 240; second += 10) {
      client.send(`${second}`, server, 'b.example')
      network.pass(10_000)
    }
    t.equal(client.endpoint.stats.handshakes, handshakes)
    t.equal(server.messages.length, 25)
  }
})

t.test(
  'a server that ignores hellos while the old association lives is told close_notify',
  async t => {
    // As foreign servers do: they see a ClientHello only once the session has ended.
    const both = pair(t)
    const { network, client, server } = both
    let closed = false
    let ignored = 0
    network.passage = (datagram, from) => {
      if (from === client && datagram[0] === 21) closed = true
      if (from !== client || messageType(datagram) !== 1 || closed) return datagram
      ignored += 1
      return undefined
    }
    t.ok(busy(both, HOUR - MINUTE))
    t.ok(busy(both, 2 * MINUTE, 5000))
    t.ok(ignored >= 2, `the hello and its retransmission: ${ignored}`)
    t.ok(closed)
    t.match(client.endpoint.stats, { handshakes: 2, peers: 1 })
    t.equal(server.endpoint.stats.peers, 1)
    t.equal(client.endpoint.stats.datagramsReceived, server.endpoint.stats.datagramsSent)
    t.equal(client.securedPeers.length, 1)
    t.equal(client.closedPeers.length, 0)
  },
)

t.test('a rekey that fails leaves the keys in use, and is tried again', async t => {
  const both = pair(t)
  const { network, client, server } = both
  t.ok(busy(both, HOUR - MINUTE))
  // Somebody forges the answers: both the handshake and its second attempt die of it.
  let forging = true
  network.passage = (datagram, from, to) => {
    const isAnswer = from === server && to === client && messageType(datagram) === 2
    return forging && isAnswer ? record(22, 0, handshakeFragment(2, 1, badServerHello())) : datagram
  }
  t.ok(busy(both, MINUTE + 10_000, 2000))
  t.match(client.endpoint.stats, { handshakes: 1, handshakesFailed: 2, peers: 1 })
  forging = false
  t.ok(busy(both, 2 * MINUTE))
  t.match(client.endpoint.stats, { handshakes: 2, peers: 1 })
  t.same(client.errors, [], 'nothing that anybody need know')
})

for (const [who, ofClient, ofServer] of [
  ['a client', {}, {}],
  ['a client without a name', { cert: undefined, key: undefined }, { requestCert: false }],
] as const)
  t.test(`${who} is answered while only the server has the new keys`, async t => {
    for (const hasSpoken of [true, false]) {
      const both = pair(t, { ...ofClient, fullHandshakeAfter: MINUTE }, ofServer)
      const { network, client, server } = both
      const answering = server.onMessage
      server.onMessage = undefined
      if (!hasSpoken) {
        // Secured again, and nothing said since.
        client.endpoint.closePeer(server.address, server.port)
        await secureAgain(both)
      }
      // What tells the client that the new keys are in use is lost, so it goes on with the old ones.
      let lost = 0
      network.passage = (datagram, from) => {
        const isLast = from === server && holds(datagram, CHANGE_CIPHER_SPEC) && lost === 0
        if (isLast) lost += 1
        return isLast ? undefined : datagram
      }
      const before = server.endpoint.stats.handshakes
      t.ok(network.until(() => server.endpoint.stats.handshakes > before, 2 * MINUTE))
      network.pass(50)
      t.equal(lost, 1)
      const { handshakes } = client.endpoint.stats
      server.onMessage = answering
      client.send('by the old keys', server, 'b.example')
      t.ok(network.until(() => client.messages.includes('re by the old keys'), 3000))
      network.pass(MINUTE - 5000)
      // A handshake of the server's own, as if it spoke to somebody new, would ask for the name of an address.
      t.match(client.endpoint.stats, { handshakes: handshakes + 1, handshakesFailed: 0 })
      t.match(server.endpoint.stats, { handshakesFailed: 0 })
      t.ok(busy(both, 5 * MINUTE), 'and it is never asked for another name')
      t.same([client.errors, server.errors], [[], []])
    }
  })

t.test('who is let in as a stranger is not asked later for a name that others had', async t => {
  const both = pair(t)
  const { network, client, server } = both
  client.endpoint.closePeer(server.address, server.port)
  await secureAgain(both)
  // The application means somebody else at that address. Nobody there proves that.
  const sending = server.send('for another', client, 'other.example')
  t.ok(network.until(() => sending.calls === 1, 2 * MINUTE))
  t.match(sending.error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.ok(busy(both, 150 * MINUTE), 'new keys and full handshakes')
  t.equal(client.query(server)?.peer?.names?.[0], 'b.example')
  const { handshakesFailed } = server.endpoint.stats
  t.ok(handshakesFailed <= 1, `its own handshake has failed, and no other: ${handshakesFailed}`)
})

async function secureAgain({ network, client, server }: Pair): Promise<void> {
  network.pass(1000)
  const secured = client.endpoint.secure(server.address, server.port, 'b.example')
  network.pass(1000)
  await secured
}

/** Has the datagram a record of this type? */
function holds(datagram: Buffer, type: number): boolean {
  for (let at = 0; at + 13 <= datagram.length; at += 13 + datagram.readUInt16BE(at + 11))
    if (datagram[at] === type) return true
  return false
}

t.test('a session is never used beyond its full handshake', async t => {
  const both = pair(t, { idleTimeout: 1000, rekeyAfter: 10 * HOUR }, { idleTimeout: 1000 })
  const { network, client, server, exchange } = both
  network.pass(HOUR)
  t.ok(exchange('resumed'))
  t.equal(client.query(server)?.resumed, true)
  const info = client.query(server)
  // A ticket has the time of OpenSSL's own clock, which runs on while the network's stands.
  const most = HOUR + MINUTE / 2
  for (const each of [info, server.query(client)])
    t.ok(Number(each?.expires) - Number(each?.since) <= most, 'resuming does not extend it')
  network.pass(HOUR + MINUTE)
  t.ok(exchange('in full'))
  t.equal(client.query(server)?.resumed, false)
})

t.test(
  'new keys under full traffic: the handshake is not drowned, and hardly anything is lost',
  async t => {
    const { network, client, server } = pair(t, { rekeyAfter: 10_000 })
    network.weather = { delay: [20, 40] }
    server.onMessage = undefined
    let sent = 0
    for (let step = 0; step < 2000; step++) {
      for (let i = 0; i < 3; i++) {
        client.send(`${sent}`, server, 'b.example')
        server.send(`${sent}`, client)
        sent += 1
      }
      network.pass(10)
    }
    network.pass(1000)
    t.ok(client.endpoint.stats.handshakes >= 2)
    // On a busy machine OpenSSL's own short timer repeats a flight, and new messages overtake it: the
    // few that wait for its keys are bounded. Those of a rekey that never came to an end were thousands.
    const lost = [server, client].map(({ messages }) => sent + 1 - messages.length)
    t.ok(Math.max(...lost) < 50, `${lost} of ${sent}`)
  },
)

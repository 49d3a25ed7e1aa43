/**
 * Many datagrams of one source at once, as the system hands them over: what comes of them is what
 * would have come of each alone. Whoever can forge a source address can put his own into the middle
 * of a run, so none of them may cost its neighbours anything.
 */
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import type { Association } from '../../../src/providers/dtls/association.js'
import { type Random, seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { clientHello, record } from './hellos.js'
import { Network, type Station } from './network.js'

const psk = { identity: 'device', key: Buffer.alloc(16, 7) }
const accepted = { psk: { device: psk.key } }
const { cert, key, ca } = await testIdentity(['a.example'])

type Suite = [name: string, client: DatagramSecuritySettings, server: DatagramSecuritySettings]

const suites: Suite[] = [
  ...['PSK-AES128-GCM-SHA256', 'PSK-CHACHA20-POLY1305', 'PSK-AES128-CCM8'].map(
    ciphers => [ciphers, { psk, ciphers }, accepted] as Suite,
  ),
  ['a certificate', { cert, key, ca }, { cert, key, ca }],
]

const NONCE_AND_TAG = 24
const APPLICATION_DATA = 23

/** A client that speaks and a server that listens, secured. */
class World {
  readonly client: Station
  readonly server: Station
  /** All that the client has protected, in order. */
  readonly history: Buffer[] = []
  /** What a slow machine has counted during the handshake is not the same each time. */
  readonly #before: number[]
  #said = 0

  /** @param host of the server: another one, so that nothing is resumed that another world began */
  constructor(random: Random, [, ofClient, ofServer]: Suite, host = '192.0.2.2') {
    const network = new Network(random)
    this.client = network.station(ofClient)
    this.server = network.station(ofServer, { address: host })
    this.client.send('first', this.server, 'a.example')
    if (!network.until(() => this.server.messages.length === 1)) throw new Error('not secured')
    network.pass(100)
    // From now on the test carries the datagrams.
    network.passage = () => undefined
    this.#before = this.#counters()
  }

  /** The record of the next message, of this many bytes. */
  protect(size: number): Buffer {
    this.#said += 1
    this.client.send(`${this.#said} `.padEnd(size, 'm').slice(0, size), this.server, 'a.example')
    const datagram = this.client.sentDatagrams.at(-1) as Buffer
    this.history.push(datagram)
    return datagram
  }

  arrive(datagrams: Buffer, segment?: number): void {
    this.server.endpoint.receive(datagrams, this.client.address, this.client.port, segment)
  }

  /** What the server has, and has dropped. */
  get outcome() {
    const { endpoint, messages, errors, closedPeers } = this.server
    const counted = this.#counters().map((count, at) => count - (this.#before[at] as number))
    return { messages, errors, closedPeers: closedPeers.length, peers: endpoint.peers(), counted }
  }

  /** Those of the endpoint, then those of the peer. */
  #counters(): number[] {
    const { endpoint } = this.server
    const { stats } = endpoint
    const ofPeer = endpoint.peerStats(this.client.address, this.client.port) ?? stats
    return [stats, ofPeer].flatMap(({ datagramsReceived, bytesReceived, dropped }) => [
      datagramsReceived,
      bytesReceived,
      stats.cookiesSent,
      ...Object.values(dropped),
    ])
  }

  get dropped() {
    return this.server.endpoint.stats.dropped
  }
}

/** What becomes of one datagram: numbers only, so that it can be done in two worlds. */
type Fate = (world: World, size: number) => Buffer

const genuine: Fate = (world, size) => world.protect(size)

/** Somebody else's, or spoilt on the way. */
const fates: Record<string, (random: Random) => Fate> = {
  bit: random => {
    const [at, bit] = [random.below(2 ** 16), 1 << random.below(8)]
    return flipped(datagram => at % datagram.length, bit)
  },
  header: random => {
    const [at, bit] = [random.below(13), 1 << random.below(8)]
    return flipped(() => at, bit)
  },
  tag: random => {
    const bit = 1 << random.below(8)
    return flipped(datagram => datagram.length - 1, bit)
  },
  replay: random => {
    const back = random.below(200)
    return (world, size) => {
      const { length } = world.protect(size)
      const old = world.history.filter(each => each.length === length)
      return old.at(-1 - (back % old.length)) as Buffer
    }
  },
  garbage: random => {
    const bytes = Buffer.from(Array.from({ length: 2000 }, () => random.below(256)))
    return (world, size) => bytes.subarray(0, world.protect(size).length)
  },
  forged: random => {
    const [type, epoch] = [random.of([19, 20, 21, 22, 23, 24]), random.of([0, 1, 1, 1, 2, 0xffff])]
    const [number, fill] = [random.below(2 ** 31), random.below(256)]
    return (world, size) =>
      record(type, epoch, Buffer.alloc(world.protect(size).length - 13, fill), number)
  },
  // What OpenSSL takes for the beginning of a large record where it skips the header before it.
  swallowing: random => {
    const [version, inner] = [random.of([0xfeff, 0xfefc, 0xfe00]), random.of([100, 1400, 16000])]
    return (world, size) => {
      const swallow = record(APPLICATION_DATA, 1, Buffer.alloc(0))
      swallow.writeUInt16BE(inner, 11)
      const fragment = Buffer.alloc(world.protect(size).length - 13)
      for (let at = 0; at < fragment.length; at += 13) swallow.copy(fragment, at)
      const datagram = record(APPLICATION_DATA, 1, fragment)
      datagram.writeUInt16BE(version, 1)
      return datagram
    }
  },
  // Its length says less or more than there is.
  cut: random => {
    const more = random.of([-40, -1, 1, 13, 40, 2 ** 15])
    return (world, size) => {
      const datagram = Buffer.from(world.protect(size))
      datagram.writeUInt16BE((datagram.readUInt16BE(11) + more) & 0xffff, 11)
      return datagram
    }
  },
  short: random => {
    const length = random.below(NONCE_AND_TAG + 8)
    return (world, size) => {
      const whole = world.protect(size).length
      const begin = record(APPLICATION_DATA, 1, Buffer.alloc(length), 7)
      return Buffer.concat([begin, Buffer.alloc(whole)]).subarray(0, whole)
    }
  },
  // Two messages, as large together as one.
  two: random => {
    const first = random.below(2 ** 16)
    return (world, size) => {
      const whole = world.protect(size).length
      const overhead = whole - size
      const room = whole - 2 * overhead
      if (room < 2) return world.protect(size)
      const begin = 1 + (first % (room - 1))
      return Buffer.concat([world.protect(begin), world.protect(room - begin)])
    }
  },
  hello: random => {
    const fill = random.below(256)
    return (world, size) => {
      const whole = world.protect(size).length
      const hello = clientHello({ random: Buffer.alloc(32, fill) })
      return Buffer.concat([hello, Buffer.alloc(whole)]).subarray(0, whole)
    }
  },
  lost: () => (world, size) => {
    world.protect(size)
    return world.protect(size)
  },
}

function flipped(where: (datagram: Buffer) => number, bit: number): Fate {
  return (world, size) => {
    const datagram = Buffer.from(world.protect(size))
    const at = where(datagram)
    datagram[at] = (datagram[at] as number) ^ bit
    return datagram
  }
}

interface Plan {
  readonly size: number
  readonly names: string[]
  readonly fates: Fate[]
  /** The last datagram can be shorter. */
  readonly lastSize: number
  /** Some arrive in another order: those at these places change places. */
  readonly swaps: readonly [number, number][]
}

function plan(random: Random): Plan {
  const size = random.of([2, 3, 16, 64, 100, 1200])
  const count = 1 + random.below(70)
  const names: string[] = []
  const chosen = Array.from({ length: count }, () => {
    const isGenuine = random.below(10) < random.of([3, 7, 9])
    const name = isGenuine ? 'genuine' : random.of(Object.keys(fates))
    names.push(name)
    return isGenuine ? genuine : (fates[name]?.(random) as Fate)
  })
  const swaps = Array.from(
    { length: random.below(5) },
    () => [random.below(count), random.below(count)] as [number, number],
  )
  return { size, names, fates: chosen, lastSize: 1 + random.below(size), swaps }
}

function datagramsOf(world: World, { size, fates: chosen, lastSize, swaps }: Plan): Buffer[] {
  const datagrams = chosen.map(fate => fate(world, size))
  for (const [one, other] of swaps) {
    const kept = datagrams[one] as Buffer
    datagrams[one] = datagrams[other] as Buffer
    datagrams[other] = kept
  }
  return [...datagrams, world.protect(lastSize)]
}

for (const suite of suites) {
  t.test(`what comes in runs is what would have come alone: ${suite[0]}`, async t => {
    const random = seededRandom(t)
    const alone = new World(random, suite)
    const together = new World(random, suite, '192.0.2.3')
    for (let round = 0; round < 60; round++) {
      const each = plan(random)
      for (const datagram of datagramsOf(alone, each)) alone.arrive(Buffer.from(datagram))
      const run = datagramsOf(together, each)
      const segment = (run[0] as Buffer).length
      const memory = Buffer.concat(run)
      together.arrive(memory, segment)
      // The memory is used again for what comes next.
      memory.fill(0xee)
      const isSame = JSON.stringify(together.outcome) === JSON.stringify(alone.outcome)
      if (!isSame) {
        t.comment(`round ${round}: ${each.names.join(' ')}, size ${each.size}`)
        t.same(together.outcome, alone.outcome)
        return
      }
    }
    t.same(together.outcome, alone.outcome)
    const { dropped } = together
    const { length } = together.server.messages
    t.ok(length > 300, `${length} were genuine`)
    t.ok(dropped.unauthenticated > 20, `${dropped.unauthenticated} were not authentic`)
    t.ok(dropped.malformed > 20, `${dropped.malformed} were malformed`)
    t.equal(together.server.endpoint.peers().length, 1, 'it is still secured')
  })
}

const [gcm] = suites as [Suite]

/** A run of messages of so many bytes. */
function runOf(world: World, count: number, size = 10): { run: Buffer; segment: number } {
  const datagrams = Array.from({ length: count }, () => world.protect(size))
  return { run: Buffer.concat(datagrams), segment: (datagrams[0] as Buffer).length }
}

function world(t: Test): World {
  return new World(seededRandom(t), gcm)
}

t.test('a run goes to OpenSSL in pieces of at most one buffer of its own', async t => {
  const each = world(t)
  for (const [count, size] of [
    [64, 900],
    [13, 1200],
    [3, 16384],
    [64, 1],
    [600, 64],
  ] as const) {
    const before = each.server.messages.length
    const { run, segment } = runOf(each, count, size)
    each.arrive(run, segment)
    t.equal(each.server.messages.length - before, count, `${count} of ${size} bytes`)
  }
  t.equal(each.dropped.unauthenticated, 0)
})

t.test('close_notify in the middle of a run ends what comes after it', async t => {
  const each = world(t)
  const before = Array.from({ length: 3 }, () => each.protect(2))
  const after: Buffer[] = []
  // As large as a message of two bytes; made last, so that there is something after it.
  for (let count = 0; count < 3; count++) after.push(each.protect(2))
  each.client.endpoint.closePeer(each.server.address, each.server.port)
  const farewell = each.client.sentDatagrams.at(-1) as Buffer
  t.equal(farewell.length, before[0]?.length)
  each.arrive(Buffer.concat([...before, farewell, ...after]), farewell.length)
  t.equal(each.server.messages.length, 1 + before.length)
  t.equal(each.server.closedPeers.length, 1)
})

t.test('a listener can end the peer, or all, in the middle of a run', async t => {
  for (const end of ['closePeer', 'close'] as const) {
    const each = world(t)
    const { client, server } = each
    const { run, segment } = runOf(each, 40)
    server.onMessage = () => {
      if (server.messages.length < 6) return
      if (end === 'close') server.endpoint.close()
      else server.endpoint.closePeer(client.address, client.port)
    }
    each.arrive(run, segment)
    t.equal(server.messages.length, 6, `nothing is delivered after ${end}()`)
    each.arrive(run, segment)
    t.equal(server.messages.length, 6)
  }
})

t.test(
  'a listener that throws in the middle of a run misses nothing, and its error is the process’s',
  async t => {
    const each = world(t)
    const { server } = each
    const { run, segment } = runOf(each, 40)
    const uncaught: unknown[] = []
    const listener = (error: Error) => uncaught.push(error.message)
    process.on('uncaughtException', listener)
    t.teardown(() => process.off('uncaughtException', listener))
    server.onMessage = () => {
      if (server.messages.length % 10 === 0) throw new Error(`thrown at ${server.messages.length}`)
    }
    each.arrive(run, segment)
    t.equal(server.messages.length, 41)
    await new Promise(setImmediate)
    t.same(
      uncaught,
      [10, 20, 30, 40].map(count => `thrown at ${count}`),
    )
  },
)

t.test('a run that cannot be worked on is taken one by one, and harms no other', async t => {
  const each = world(t)
  const { server } = each
  const { run, segment } = runOf(each, 40)
  const association = server.associations.at(-1) as Association
  const { receiveRun } = association
  // Once before anything is taken, once after.
  association.receiveRun = () => {
    throw new Error('not foreseen')
  }
  each.arrive(run.subarray(0, 20 * segment), segment)
  t.equal(server.messages.length, 21)
  association.receiveRun = (...args) => {
    receiveRun.apply(association, args)
    throw new Error('not foreseen')
  }
  each.arrive(run.subarray(20 * segment), segment)
  t.equal(server.messages.length, 41, 'each once')
  t.equal(new Set(server.messages).size, 41)
})

t.test('a listener answers in the middle of a run', async t => {
  const each = world(t)
  const { client, server } = each
  const { run, segment } = runOf(each, 40)
  const sent = server.sentDatagrams.length
  server.onMessage = message => {
    server.send(`back ${message}`, client)
  }
  each.arrive(run, segment)
  t.equal(server.messages.length, 41)
  const answers = server.sentDatagrams.slice(sent)
  t.equal(answers.length, 40)
  for (const answer of answers) client.endpoint.receive(answer, server.address, server.port)
  t.same(
    client.messages,
    server.messages.slice(1).map(message => `back ${message}`),
  )
})

t.test('keys wear out at the same message, in a run or not', async t => {
  const limited: Suite = [
    'few bytes',
    { psk, ciphers: 'PSK-AES128-GCM-SHA256' },
    { ...accepted, rekeyAfterBytes: 1000 },
  ]
  const random = seededRandom(t)
  const [alone, together] = [new World(random, limited), new World(random, limited, '192.0.2.3')]
  const size = 64
  for (let count = 0; count < 40; count++) alone.arrive(alone.protect(size))
  const { run, segment } = runOf(together, 40, size)
  together.arrive(run, segment)
  t.same(together.outcome, alone.outcome)
  t.equal(together.server.closedPeers.length, 1, 'and the server gives them up')
})

/**
 * Both ends begin at once. Addresses cannot decide who is the client, the randoms of the hellos do:
 * at the end there is one association at each end, and both queues have arrived.
 */
import t from 'tap'
import { type Random, seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { messageType } from './hellos.js'
import { Network, type Station, type Weather } from './network.js'

const { ca } = await testIdentity()
async function identity(name: string) {
  const { cert, key } = await testIdentity([name])
  return { cert, key, ca }
}
const [ofA, ofB] = [await identity('a.example'), await identity('b.example')]

interface Outcome {
  readonly a: Station
  readonly b: Station
  readonly network: Network
}

let opens = 0

/** Both send some messages within a second; the run ends when nothing moves any more. */
function open(
  random: Random,
  weather: Weather,
  apart: number,
  resume: boolean,
  patience = 300_000,
): Outcome {
  const network = new Network(random, weather)
  // Addresses of their own where nothing is to be resumed.
  opens += resume ? 0 : 1
  const [subnet, host] = [opens >> 8, opens & 255]
  const a = network.station(ofA, { address: `198.18.${subnet}.${host}` })
  const b = network.station(ofB, { address: `198.19.${subnet}.${host}` })
  const begin = (from: Station, to: Station, host: string) => {
    const first = random.below(apart + 1)
    for (let i = 0; i < 3; i++)
      network.at(first + (i === 0 ? 0 : random.below(200)), () => from.send(`${i}`, to, host))
  }
  begin(a, b, 'b.example')
  begin(b, a, 'a.example')
  network.until(() => a.messages.length >= 3 && b.messages.length >= 3, patience)
  return { a, b, network }
}

function problem({ a, b }: Outcome): string | undefined {
  for (const station of [a, b]) {
    if ([...station.messages].sort().join() !== '0,1,2') return `messages ${station.messages}`
    if (station.errors.length > 0) return String(station.errors[0])
    const { peers, handshaking, handshakes } = station.endpoint.stats
    if (peers !== 1 || handshaking !== 0 || handshakes !== 1)
      return `${peers} peers, ${handshaking} handshaking, ${handshakes} handshakes`
    if (station.associations.filter(each => each.state === 'secured').length !== 1)
      return `associations ${station.associations.map(each => each.state)}`
    if (station.securedPeers.length !== 1 || station.closedPeers.length !== 0) return 'events'
  }
  const [roleOfA, roleOfB] = [a, b].map(
    each => each.associations.find(one => one.state === 'secured')?.role,
  )
  return roleOfA === roleOfB ? `both are ${roleOfA}` : undefined
}

for (const resume of [false, true]) {
  const runs = resume ? 500 : 1000
  t.test(`${runs} times${resume ? ', resuming' : ''}`, async t => {
    const random = seededRandom(t)
    let yielded = 0
    for (let i = 0; i < runs; i++) {
      const slowest = random.of([1, 5, 50, 400])
      const weather = { delay: [1, slowest] as const, duplicates: random.of([0, 10, 50]) }
      const outcome = open(random, weather, random.of([0, 2, slowest, 3 * slowest]), resume)
      const what = problem(outcome)
      if (what !== undefined) {
        t.fail(`run ${i}: ${what}`, { log: outcome.network.log })
        return
      }
      const roles = [outcome.a, outcome.b].map(each => each.associations.map(({ role }) => role))
      if (roles.some(each => each.includes('client') && each.includes('server'))) yielded += 1
    }
    t.ok(yielded > 0.3 * runs, `both had begun in ${yielded} of ${runs}`)
  })
}

t.test('100 times where a fifth of all datagrams is lost', async t => {
  // Messages may be lost then; but both ends come to one association, and tell no error.
  const random = seededRandom(t)
  for (let i = 0; i < 100; i++) {
    const weather = { delay: [1, random.of([1, 50, 400])] as const, duplicates: 10, loss: 20 }
    const { a, b, network } = open(random, weather, random.of([0, 50, 500]), false, 30_000)
    network.weather = { delay: [1, 1] }
    network.pass(1000)
    a.send('from a', b, 'b.example')
    b.send('from b', a, 'a.example')
    const arrived = () => a.messages.includes('from b') && b.messages.includes('from a')
    const settled = () => [a, b].every(({ endpoint }) => endpoint.stats.handshaking === 0)
    const done = network.until(arrived) && network.until(settled)
    const living = [a, b].map(each => each.associations.filter(one => one.state === 'secured'))
    const one = living.every(each => each.length === 1)
    if (!done || !one || a.errors.length + b.errors.length > 0) {
      t.fail(`run ${i}`, { done, errors: [a.errors, b.errors], log: network.log })
      return
    }
  }
})

t.test(
  'a peer that is only a client, and has the smaller random, is served after a while',
  async t => {
    const random = seededRandom(t)
    let yielded = 0
    for (let i = 0; i < 10; i++) {
      const network = new Network(random, { delay: [5, 5] })
      const a = network.station(ofA, { address: `198.18.77.${i}` })
      const b = network.station(ofB, { address: `198.19.77.${i}` })
      // It is deaf to hellos, as a program is that knows the client's role only.
      network.passage = (datagram, _from, to) =>
        to === b && messageType(datagram) === 1 ? undefined : datagram
      const first = a.send('hello', b, 'b.example')
      b.send('hi', a, 'a.example')
      const done = network.until(() => a.messages.length === 1 && b.messages.length === 1, 10_000)
      t.ok(done, 'both', { log: network.log })
      t.match(first, { calls: 1, error: null })
      if (a.associations.length === 2 && network.clock.time > 2000) yielded += 1
      t.match([a.errors, b.errors], [[], []])
    }
    t.ok(yielded > 0, `${yielded} had to wait`)
  },
)

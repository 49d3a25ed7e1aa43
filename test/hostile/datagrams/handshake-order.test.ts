/**
 * Nothing is lost for good, but nothing comes as it was sent: twice, in another order, in other
 * pieces, too large for the path; or one end has no timer.
 */
import t from 'tap'
import type { Random } from '../../model/random.js'
import { seededRandom } from '../../model/random.js'
import type { Station } from '../../providers/dtls/network.js'
import { type Pieces, recordsOf, recutting } from './recut.js'
import {
  begin,
  bothSecured,
  faultOf,
  handshakeKinds,
  type Kind,
  type Meeting,
  meeting,
} from './simulated-handshake.js'

const kinds = await handshakeKinds()
const sizes = [1200, 256]
/** The first timer, and the time on the way. */
const ONE_TIMER = 1000 + 20

t.test('every datagram comes twice', async t => {
  const random = seededRandom(t)
  for (const kind of kinds)
    for (const mtu of sizes) {
      const pair = meeting(random, kind, { mtu }, { duplicates: 100 })
      completes(t, pair, kind, 500, `${kind.name}, mtu ${mtu}`)
    }
})

t.test('each datagram changes places with the next one', async t => {
  const random = seededRandom(t)
  for (const kind of kinds)
    for (const mtu of sizes)
      for (const toServer of [true, false]) {
        const what = `${kind.name}, mtu ${mtu}, ${nameOf(toServer)}`
        let swapped = 0
        for (; ; swapped++) {
          const pair = meeting(random, kind, { mtu })
          const seen = swapAt(pair, toServer, swapped)
          completes(t, pair, kind, ONE_TIMER, `${what}, ${swapped}`)
          if (seen.held === 0) break
        }
        t.ok(swapped >= leastOf(kind, toServer), `${what}: each of ${swapped}`)
      }
})

t.test(
  'messages in fragments of any size, overlapping, beside the whole ones and in any order',
  async t => {
    const random = seededRandom(t)
    for (const kind of kinds)
      for (const size of [3, 40, 150, 400, 900])
        for (const overlap of [0, Math.floor(size / 2)])
          for (const whole of [false, true]) {
            const pair = meeting(random, kind, { mtu: 9000 })
            recut(pair, random, { size, overlap, whole })
            const what = `${kind.name}, ${size} bytes, ${overlap} of them twice, whole too: ${whole}`
            // What follows a ServerHello and overtakes it is not kept: nobody could say whose it is.
            completes(t, pair, kind, 8000, what)
          }
  },
)

t.test('a path that swallows what is larger than it takes', async t => {
  const random = seededRandom(t)
  for (const kind of kinds)
    for (const mtu of [9000, 1200])
      for (const most of [600, 508, 300, 256]) {
        const pair = meeting(random, kind, { mtu })
        pair.network.passage = datagram => (datagram.length > most ? undefined : datagram)
        // Cut to 508 bytes after 3 s of silence, to 256 after 15 s; both ends, one after the other.
        completes(t, pair, kind, 35_000, `${kind.name}, mtu ${mtu}, at most ${most} pass`)
      }
})

t.test('a path that swallows nearly all: an end in time, and an error that says so', async t => {
  const random = seededRandom(t)
  for (const kind of kinds) {
    const pair = meeting(random, kind, { handshakeTimeout: 30_000 })
    const { network, client, server } = pair
    network.passage = datagram => (datagram.length > 99 ? undefined : datagram)
    const begun = network.clock.time
    begin(pair)
    t.ok(
      network.until(() => client.errors.length > 0, 60_000),
      kind.name,
    )
    t.equal(network.clock.time - begun, 30_000)
    const [error] = client.errors
    t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
    t.match(
      error?.message,
      new RegExp(`^${server.address}:5000 did not .* within 30000 ms: .*drops`),
    )
    t.same([client.endpoint.peers(), server.endpoint.peers()], [[], []])
  }
})

t.test('one end has no timer: that of the other repairs what the other has sent', async t => {
  const random = seededRandom(t)
  for (const kind of kinds)
    for (const toServer of [true, false]) {
      const what = `${kind.name}, ${nameOf(toServer)}`
      let dropped = 0
      for (let stopped = 0; ; dropped++) {
        const pair = meeting(random, kind, { mtu: 256 })
        const seen = dropWithoutTimer(pair, toServer, dropped)
        completes(t, pair, kind, ONE_TIMER, `${what}, ${dropped}`)
        stopped += seen.stopped
        if (seen.dropped > 0) continue
        t.ok(stopped >= 2, `${what}: ${stopped} of ${dropped} without a timer`)
        break
      }
      t.ok(dropped >= leastOf(kind, toServer), `${what}: each of ${dropped}`)
    }
})

type Test = Parameters<typeof seededRandom>[0]

function completes(t: Test, pair: Meeting, kind: Kind, milliseconds: number, what: string): void {
  const { network, client, server } = pair
  const begun = network.clock.time
  begin(pair)
  const done = network.until(() => bothSecured(pair), 120_000)
  const took = network.clock.time - begun
  const isFull = { ...kind, resumed: client.query(server)?.resumed ?? false }
  // A session is given up after 3 s without an answer.
  const expected = took < 3000 ? kind : isFull
  const fault = done ? faultOf(pair, expected) : 'it did not complete'
  if (fault === undefined && took <= milliseconds) return
  t.comment(network.log.join('\n'))
  t.fail(`${what}: ${took} ms, ${fault}`)
}

function nameOf(toServer: boolean): string {
  return toServer ? 'to the server' : 'to the client'
}

/** So many datagrams at least has each handshake: two hellos and a last flight, or two answers. */
function leastOf({ resumed }: Kind, toServer: boolean): number {
  return resumed && !toServer ? 2 : 3
}

/** The datagram of this number waits until the next one of its direction has passed. */
function swapAt({ network, server }: Meeting, toServer: boolean, index: number) {
  let count = 0
  const seen = { held: 0 }
  let waiting: (() => void) | undefined
  network.passage = (datagram: Buffer, from: Station, to: Station) => {
    if ((to === server) !== toServer) return datagram
    if (count++ === index) {
      seen.held += 1
      waiting = () => to.endpoint.receive(datagram, from.address, from.port)
      return undefined
    }
    const late = waiting
    waiting = undefined
    if (late !== undefined) network.at(network.clock.time, late)
    return datagram
  }
  return seen
}

/**
 * The datagram of this number is lost, and whoever should have had it has no timer from then on. But of
 * the last flight: nobody waits for what follows it, so it is the other end that asks for it once more.
 */
function dropWithoutTimer(pair: Meeting, toServer: boolean, index: number) {
  const { network, client, server } = pair
  const seen = { dropped: 0, stopped: 0 }
  let [count, isAnswer] = [0, false]
  network.passage = (datagram, _from, to) => {
    if ((to === server) !== toServer) isAnswer ||= recordsOf(datagram).some(([type]) => type === 20)
    else if (count++ === index) {
      seen.dropped += 1
      if (!isAnswer) {
        seen.stopped += 1
        // The client repeats its hello until the server has a flight of its own to repeat.
        stopTimer(toServer || index === 0 ? server : client)
      }
      return undefined
    }
    return datagram
  }
  return seen
}

/** What each of the two sends comes in other pieces. */
function recut({ network, client }: Meeting, random: Random, pieces: Pieces): void {
  const [toServer, toClient] = [recutting(random, pieces), recutting(random, pieces)]
  network.passage = (datagram, from, to) => {
    for (const piece of (from === client ? toServer : toClient)(datagram))
      to.endpoint.receive(piece, from.address, from.port)
    return undefined
  }
}

/** Its flights are never sent again by themselves. */
function stopTimer(station: Station): void {
  Object.defineProperty(station.endpoint, 'deadline', { value: Number.POSITIVE_INFINITY })
}

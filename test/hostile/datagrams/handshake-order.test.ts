/**
 * Nothing is lost for good, but nothing comes as it was sent: twice, in another order, in other
 * pieces, too large for the path; or one end has no timer.
 */
import t from 'tap'
import type { Random } from '../../model/random.js'
import { seededRandom } from '../../model/random.js'
import { handshakeFragment, record } from '../../providers/dtls/hellos.js'
import type { Station } from '../../providers/dtls/network.js'
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
      for (const toServer of [true, false])
        for (let index = 0, swapped = true; swapped; index++) {
          const pair = meeting(random, kind, { mtu })
          const seen = swapAt(pair, toServer, index)
          const what = `${kind.name}, mtu ${mtu}, ${toServer ? 'to the server' : 'to the client'}, ${index}`
          completes(t, pair, kind, ONE_TIMER, what)
          swapped = seen.held > 0
        }
})

t.test('messages in fragments of any size, overlapping and in any order', async t => {
  const random = seededRandom(t)
  for (const kind of kinds)
    for (const size of [3, 40, 150])
      for (const overlap of [0, Math.floor(size / 2)]) {
        const pair = meeting(random, kind)
        cutSmall(pair, random, size, overlap)
        // What follows a ServerHello and overtakes it is not kept: nobody could say whose it is.
        completes(t, pair, kind, 8000, `${kind.name}, ${size} bytes, ${overlap} of them twice`)
      }
})

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
    for (const toServer of [true, false])
      for (let index = 0, dropped = true; dropped; index++) {
        const pair = meeting(random, kind, { mtu: 256 })
        dropped = false
        let count = 0
        pair.network.passage = (datagram, _from, to) => {
          if ((to === pair.server) !== toServer || count++ !== index) return datagram
          dropped = true
          return undefined
        }
        // The client repeats its hello until the server has a flight of its own to repeat.
        const repairs = toServer || index === 0 ? pair.client : pair.server
        const isLast = kind.resumed === toServer && index > 0
        if (!isLast) stopTimer(repairs === pair.client ? pair.server : pair.client)
        const what = `${kind.name}, ${toServer ? 'to the server' : 'to the client'}, ${index}`
        completes(t, pair, kind, ONE_TIMER, what)
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

/** Each clear handshake message is cut anew, each piece is a datagram, and they come in any order. */
function cutSmall({ network }: Meeting, random: Random, size: number, overlap: number): void {
  network.passage = (datagram, from, to) => {
    const pieces: Buffer[] = []
    for (let at = 0; at < datagram.length; ) {
      const end = at + 13 + datagram.readUInt16BE(at + 11)
      pieces.push(...cut(datagram.subarray(at, end), size, overlap))
      at = end
    }
    // A hello must come first with its beginning, which has the cookie.
    if (datagram[13] !== 1 && datagram[0] === 22) shuffle(pieces, random)
    for (const piece of pieces) to.endpoint.receive(piece, from.address, from.port)
    return undefined
  }
}

let recordNumber = 1000

function cut(whole: Buffer, size: number, overlap: number): Buffer[] {
  const isClear = whole[0] === 22 && whole.readUInt16BE(3) === 0
  if (!isClear || whole[13] === 3) return [whole]
  const type = whole[13] as number
  const length = whole.readUIntBE(14, 3)
  const sequence = whole.readUInt16BE(17)
  const offset = whole.readUIntBE(19, 3)
  const fragment = whole.subarray(25)
  if (fragment.length === 0) return [whole]
  const pieces: Buffer[] = []
  const first = type === 1 && offset === 0 ? Math.max(size, 150) : size
  for (let at = 0; at < fragment.length; ) {
    const end = Math.min(fragment.length, at + (at === 0 ? first : size))
    const body = Buffer.alloc(length)
    fragment.copy(body, offset)
    recordNumber += 1
    pieces.push(
      record(
        22,
        0,
        handshakeFragment(type, sequence, body, offset + at, offset + end),
        recordNumber,
      ),
    )
    at = end === fragment.length ? end : end - Math.min(overlap, end - at - 1)
  }
  return pieces
}

function shuffle(pieces: Buffer[], random: Random): void {
  for (let last = pieces.length - 1; last > 0; last--) {
    const other = random.below(last + 1)
    const piece = pieces[last] as Buffer
    pieces[last] = pieces[other] as Buffer
    pieces[other] = piece
  }
}

/** Its flights are never sent again by themselves. */
function stopTimer(station: Station): void {
  Object.defineProperty(station.endpoint, 'deadline', { value: Number.POSITIVE_INFINITY })
}

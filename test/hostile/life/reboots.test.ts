/**
 * Either end loses all that it knew, at every point of a handshake and after it, and comes again with the
 * same address and port: before each datagram arrives, and after it. What can complete does, in the time
 * that timers of a handshake allow; and nothing that was said to the old one is heard by the new one.
 *
 * That the old association is there until the new one is complete, and what is served then, is pinned in
 * test/providers/dtls/second-handshake.test.ts.
 */
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { seededRandom } from '../../model/random.js'
import type { Station } from '../../providers/dtls/network.js'
import {
  handshakeKinds,
  type Kind,
  type Meeting,
  meeting,
  SERVER_NAME,
} from '../datagrams/simulated-handshake.js'
import { isAll } from '../extent.js'

type End = 'client' | 'server'
type Moment = 'before' | 'after'

const HANDSHAKE_TIMEOUT = 20_000
const RESUME_AFTER = 10_000
/** Of a handshake, the first one (RFC 6347, section 4.2.4.1). */
const TIMER = 1000
/** Milliseconds for which it is away: its peer asks again meanwhile, or does not. */
const downTimes = isAll ? [0, 500, 5000] : [0, 5000]
const datagrams = isAll ? 16 : 12
/** The client says something so often, in either life. */
const EVERY = 500

const kinds = await handshakeKinds()

for (const kind of kinds)
  for (const end of ['client', 'server'] as const)
    t.test(`the ${end} reboots: ${kind.name}`, async t => {
      const random = seededRandom(t)
      const times: number[] = []
      for (const down of downTimes)
        for (const moment of isAll ? (['before', 'after'] as const) : (['after'] as const)) {
          // Beyond a full handshake and what is said when it is complete.
          for (let index = 0; index < datagrams; index++) {
            const pair = meeting(random, kind, {
              handshakeTimeout: HANDSHAKE_TIMEOUT,
              resumeAfter: RESUME_AFTER,
            })
            const { fault, took, most } = lives(pair, kind, end, { moment, index, down })
            times.push(took)
            if (fault === undefined && took <= most) continue
            t.comment(pair.network.log.join('\n'))
            t.fail(`${moment} datagram ${index}, away for ${down} ms: ${took} ms, ${fault}`)
          }
        }
      t.pass(`${times.length} reboots, at most ${Math.max(...times)} ms until the answer`)
    })

interface Outcome {
  readonly fault?: string
  /** Milliseconds from the beginning of the second life to an answer. */
  readonly took: number
  /** As many as that may take. */
  readonly most: number
}

/** Two lives of one end. */
function lives(
  pair: Meeting,
  kind: Kind,
  end: End,
  { moment, index, down }: { moment: Moment; index: number; down: number },
): Outcome {
  const { network } = pair
  const old = pair[end]
  const now = { client: pair.client, server: pair.server }
  let bornAt = Number.POSITIVE_INFINITY
  let most = 0
  let seen = 0
  echo(pair.server)
  network.passage = (datagram, _from, to) => {
    seen += 1
    if (seen !== index + 1) return datagram
    if (moment === 'after') {
      network.at(network.clock.time, reboot)
      return datagram
    }
    reboot()
    // It may be there again when this arrives.
    const from = to === pair.server ? pair.client : pair.server
    if (to === old && down === 0)
      now[end].endpoint.receive(Buffer.from(datagram), from.address, from.port)
    return to === old ? undefined : datagram
  }
  const said: string[] = []
  for (let count = 0; !isDone(); count++) {
    const life = network.clock.time >= bornAt ? 'second' : 'first'
    if (network.clock.time > 200_000)
      return { fault: 'no answer', took: network.clock.time - bornAt, most }
    const text = `${life} ${count}`
    if (network.stations.includes(now.client)) {
      said.push(text)
      now.client.send(text, now.server, SERVER_NAME)
    }
    network.until(isDone, EVERY)
  }
  const took = network.clock.time - bornAt
  network.pass(30_000)
  return { fault: faultOf(), took, most }

  function reboot(): void {
    network.unplug(old)
    const begin = () => {
      // Once what was under way has come.
      network.at(network.clock.time + 5, () => {
        most = patience(pair, end, down)
      })
      now[end] = born(pair, kind, end)
      if (end === 'server') echo(now.server)
      bornAt = network.clock.time
    }
    if (down === 0) begin()
    else network.at(network.clock.time + down, begin)
  }

  /** Something that the client has said since then has been answered. */
  function isDone(): boolean {
    return now[end] !== old && now.client.messages.some(text => text.startsWith('re second'))
  }

  function faultOf(): string | undefined {
    const heard = [...new Set([pair.server, now.server])].flatMap(({ messages }) => messages)
    if (new Set(heard).size !== heard.length) return `the server has heard one twice: ${heard}`
    const ofBefore = now.client.messages.filter(text => text.startsWith('re first'))
    if (end === 'client' && ofBefore.length > 0) return `the new client has heard ${ofBefore}`
    if (heard.some(text => !said.includes(text))) return `nobody has said what was heard: ${heard}`
    for (const station of [now.client, now.server])
      if (station.endpoint.stats.peers !== 1) return 'it is not one peer'
    return undefined
  }
}

/**
 * Milliseconds until an answer, at most: a new client is served as soon as the server is done with its
 * last hello. Of a new server the client knows nothing: it sends what it has sent again, as long as a
 * handshake may take where it has had an answer; and it believes a silence when it has lasted.
 */
function patience({ client }: Meeting, end: End, down: number): number {
  const ours = client.associations.at(-1)
  if (end === 'client') return TIMER + EVERY
  if (ours?.state === 'secured') return RESUME_AFTER + TIMER + EVERY
  if (ours?.heardServerHello) return HANDSHAKE_TIMEOUT + TIMER + EVERY
  // Its next timer, a second for the cookie of the server before, and the answer.
  return Math.max(TIMER, down) + 2 * TIMER + EVERY
}

/** The same address and port, and nothing of what the one before knew: no sessions, no ticket keys. */
function born({ network, client, server }: Meeting, kind: Kind, end: End): Station {
  const { address, port } = end === 'client' ? client : server
  const settings: DatagramSecuritySettings = {
    ...kind[end],
    handshakeTimeout: HANDSHAKE_TIMEOUT,
    resumeAfter: RESUME_AFTER,
    // Sessions and their keys belong to settings.
    maxQueuedDatagrams: 65,
  }
  return network.station(settings, { address, port, acceptsStrangers: end === 'server' })
}

function echo(server: Station): void {
  server.onMessage = (text, { address, port }) => server.send(`re ${text}`, { address, port })
}

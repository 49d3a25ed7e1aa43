/**
 * A day of two ends, in seconds, by a clock that is told: hours of traffic, idle times, new keys every hour
 * and a full handshake every other, while datagrams are lost. Handshakes are as many as the schedule says;
 * each message arrives once, unless the network has lost it; and nothing is left of any of it.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { Network, type Station } from '../../providers/dtls/network.js'
import { testIdentity } from '../../support/identities.js'
import { isAll } from '../extent.js'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** The usual settings (docs/api.md, lifetimes). */
const REKEY = HOUR
const FULL = 2 * HOUR
const IDLE = 5 * MINUTE
/** Between two messages of the client, each of which is answered: so many that no minute is silent. */
const EVERY = isAll ? 2 * SECOND : 10 * SECOND
/** What a handshake takes where some of it is lost, and more. */
const TOLERANCE = MINUTE

const APPLICATION_DATA = 23

const { ca } = await testIdentity()
const [a, b] = [await testIdentity(['a.example']), await testIdentity(['b.example'])]

/** What is said, and what its callbacks tell. */
class Outcomes {
  sent = 0
  failed = 0
  #told = 0

  send(from: Station, text: string, to: { address: string; port: number }, host?: string): void {
    this.sent += 1
    from.endpoint.send(Buffer.from(text), to.address, to.port, host ?? to.address, error => {
      this.#told += 1
      if (error !== null) this.failed += 1
    })
  }

  get unfinished(): number {
    return this.sent - this.#told
  }
}

/** Hours of traffic, and minutes of silence after each. Of such length that no limit falls on a beginning. */
const days = [
  { name: 'at work all day', traffic: DAY - 30 * MINUTE, silence: 40 * MINUTE },
  { name: 'hours of work, and pauses', traffic: 110 * MINUTE, silence: 25 * MINUTE },
  { name: 'a few words every half hour', traffic: 3 * MINUTE, silence: 29 * MINUTE },
]

for (const { name, traffic, silence } of days)
  for (const loss of isAll ? [0, 3] : [3])
    t.test(`${name}, ${loss} % lost`, async t => {
      const random = seededRandom(t)
      const network = new Network(random, { delay: [5, 40] })
      network.clock.lastFullHandshake = 0
      // Addresses of its own, so that nothing of another test is resumed.
      const host = `${days.findIndex(day => day.name === name)}.${loss}`
      const client = network.station(
        { cert: a.cert, key: a.key, ca },
        { address: `10.3.${host}`, acceptsStrangers: false },
      )
      const server = network.station({ cert: b.cert, key: b.key, ca }, { address: `10.4.${host}` })
      const begun = network.clock.time
      const rests: object[] = []
      const lost = { toServer: 0, toClient: 0 }
      let spared = begun
      network.passage = (datagram, _from, to) => {
        if (random.below(100) >= loss) return datagram
        if (datagram[0] === APPLICATION_DATA) lost[to === server ? 'toServer' : 'toClient'] += 1
        // Twice in a row, and a client would do without the session that the server may not like.
        else if (network.clock.time < spared) return datagram
        else spared = network.clock.time + MINUTE
        return undefined
      }
      const answers = new Outcomes()
      server.onMessage = (text, from) => answers.send(server, `re ${text}`, from)
      const words = new Outcomes()
      for (let count = 0; network.clock.time - begun < DAY; ) {
        const end = network.clock.time + traffic
        for (; network.clock.time < end; network.pass(EVERY)) {
          words.send(client, `word ${count}`, server, 'b.example')
          count += 1
        }
        network.pass(silence)
        rests.push(restOf(server))
      }
      // Where the server's farewell is lost the client has keys until they are old.
      network.pass(REKEY)
      rests.push(restOf(client))

      const { handshakes, resumed } = schedule(traffic, silence)
      for (const { endpoint } of [client, server])
        t.match(endpoint.stats, { handshakes, handshakesResumed: resumed, handshakesFailed: 0 })
      t.same([words.failed, answers.failed], [0, 0])
      t.equal(words.unfinished + answers.unfinished, 0, 'each was told once what became of it')
      t.equal(server.messages.length + lost.toServer, words.sent, `${lost.toServer} lost`)
      t.equal(client.messages.length + lost.toClient, answers.sent, `${lost.toClient} lost`)
      for (const { messages } of [client, server])
        t.equal(new Set(messages).size, messages.length, 'nothing comes twice')
      t.same([...client.errors, ...server.errors], [])
      const nothing = {
        associations: 0,
        peers: 0,
        handshaking: 0,
        deadline: Number.POSITIVE_INFINITY,
      }
      t.same(
        rests,
        rests.map(() => nothing),
        'after each silence nothing is left at either end',
      )
      t.ok(loss === 0 || lost.toServer + lost.toClient > 0)
    })

function restOf({ endpoint, associations }: Station): object {
  const { peers, handshaking } = endpoint.stats
  return {
    associations: associations.filter(each => each.state !== 'ended').length,
    peers,
    handshaking,
    deadline: endpoint.deadline,
  }
}

/** How many handshakes such a day has. */
function schedule(traffic: number, silence: number): { handshakes: number; resumed: number } {
  let [handshakes, resumed] = [0, 0]
  let full = Number.NEGATIVE_INFINITY
  for (let begin = 0; begin < DAY; begin += traffic + silence) {
    for (let at = begin; at < begin + traffic; at = Math.min(at + REKEY, full + FULL)) {
      handshakes += 1
      if (at - full < FULL) resumed += 1
      else full = at
      notClose(begin + traffic - Math.min(at + REKEY, full + FULL))
    }
    if (silence < IDLE + TOLERANCE) throw new Error('the silence is too short to be idle')
    notClose(full + FULL - (begin + traffic + silence))
  }
  return { handshakes, resumed }
}

/** A second more or less would make another day of it. */
function notClose(milliseconds: number): void {
  if (Math.abs(milliseconds) < TOLERANCE) throw new Error('a limit falls on a beginning')
}

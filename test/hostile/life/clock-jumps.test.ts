/**
 * The clock of the wall is set forward and back by hours, at either end, at every time: nobody is locked
 * out, and no key lives longer for it. What counts milliseconds goes by a clock that nobody sets.
 *
 * Cookies of a fleet, which have the time of the wall clock in them: test/providers/dtls/cookie-secrets.test.ts.
 * Sessions by either clock: test/providers/dtls/sessions.test.ts, test/providers/tls/session-cache.test.ts.
 */
import t from 'tap'
import { parseSettings } from '../../../src/model/settings.js'
import { Association } from '../../../src/providers/dtls/association.js'
import { DtlsEndpoint } from '../../../src/providers/dtls/endpoint.js'
import { seededRandom } from '../../model/random.js'
import { Network } from '../../providers/dtls/network.js'
import { testIdentity } from '../../support/identities.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** A year is more than the certificates of the tests last. */
const jumps = [-30 * HOUR, -5 * HOUR, -90 * MINUTE, -20_000, 20_000, 90 * MINUTE, 5 * HOUR]

const { ca } = await testIdentity()
const [a, b] = [await testIdentity(['a.example']), await testIdentity(['b.example'])]
const ticketKeys = [Buffer.alloc(48, 7)]

let subnet = 0
/** Two ends with a wall clock each. */
function pair(t: Parameters<typeof seededRandom>[0], more: object = {}) {
  subnet += 1
  const network = new Network(seededRandom(t))
  network.clock.lastFullHandshake = 0
  const host = `${subnet >> 8}.${subnet & 255}`
  const client = network.station(
    { cert: a.cert, key: a.key, ca, ...more },
    { address: `10.5.${host}`, acceptsStrangers: false },
  )
  const server = network.station(
    { cert: b.cert, key: b.key, ca, ticketKeys, ...more },
    { address: `10.6.${host}` },
  )
  server.onMessage = (text, { address, port }) => server.send(`re ${text}`, { address, port })
  let said = 0
  /** Milliseconds until it is answered. */
  const exchange = () => {
    const text = `word ${said++}`
    const begun = network.clock.time
    client.send(text, server, 'b.example')
    const done = network.until(() => client.messages.includes(`re ${text}`), 10 * MINUTE)
    return done ? network.clock.time - begun : Number.POSITIVE_INFINITY
  }
  return { network, client, server, exchange }
}

/** The wall clock of all of a network: the same process sees one. */
function setClock(network: Network, by: number): void {
  const before = network.clock.wallTime()
  const at = network.clock.time
  network.clock.wallTime = () => before + by + (network.clock.time - at)
}

t.test('while it is secured nobody notices, and keys are replaced in their time', async t => {
  for (const by of jumps) {
    const { network, client, server, exchange } = pair(t)
    exchange()
    network.pass(10_000)
    setClock(network, by)
    let longest = 0
    for (let minute = 0; minute < 59; minute++) {
      longest = Math.max(longest, exchange())
      network.pass(MINUTE - 10_000)
    }
    t.ok(longest < 100, `${by / HOUR} h: ${longest} ms`)
    t.match(client.endpoint.stats, { handshakes: 1, handshakesFailed: 0, peers: 1 })
    t.match(server.endpoint.stats, { handshakes: 1, handshakesFailed: 0, peers: 1 })
  }
})

t.test('at every datagram of a handshake: it completes', async t => {
  for (const by of jumps)
    for (let index = 0; index < 6; index++) {
      const { network, client, exchange } = pair(t)
      let seen = 0
      network.passage = datagram => {
        if (seen++ === index) setClock(network, by)
        return datagram
      }
      const took = exchange()
      // A cookie of the fleet is from the past then, or from the future: another is asked for, after a
      // second; and on a busy machine OpenSSL's own short timer repeats some.
      t.ok(took < 3500, `${by / HOUR} h at datagram ${index}: ${took} ms`)
      t.match(client.endpoint.stats, { handshakes: 1, handshakesFailed: 0 })
    }
})

t.test('a session is not used for longer because the clock was set back', async t => {
  for (const by of jumps) {
    const { network, client, server, exchange } = pair(t, { fullHandshakeAfter: 30 * MINUTE })
    exchange()
    setClock(network, by)
    const full: number[] = [0]
    for (let minute = 10; minute <= 100; minute += 10) {
      // Idle for more than 5 minutes: each word needs a handshake.
      network.pass(10 * MINUTE)
      const took = exchange()
      if (took > 3000) t.fail(`${by / HOUR} h, minute ${minute}: ${took} ms`)
      if (client.query(server)?.resumed === false) full.push(minute)
    }
    const gaps = full.map((minute, index) => minute - (full[index - 1] ?? 0))
    t.ok(Math.max(...gaps, 110 - (full.at(-1) as number)) <= 40, `${by / HOUR} h: ${full}`)
    const { handshakes, handshakesFailed } = client.endpoint.stats
    t.ok(handshakes >= 11 && handshakes <= 13 && handshakesFailed === 0, `${handshakes}`)
  }
})

t.test(
  'nothing of OpenSSL’s that goes by the wall clock keeps a handshake from going on',
  async t => {
    // Its timers do. An hour is what is left of a second where the clock was set back by an hour.
    class SetBack extends Association {
      override nextTimeout(previous: number): number {
        super.nextTimeout(previous)
        return HOUR * 1000
      }
    }
    const settings = parseSettings({ ca }, 'datagram')
    const clock = { time: 0, now: () => clock.time, wallTime: () => Date.now() }
    const hellos: Buffer[] = []
    const told = { message() {}, secured() {}, peerError() {}, peerClosed() {}, keylog() {} }
    const outbox = {
      datagram: (datagram: Buffer) => void hellos.push(Buffer.from(datagram)),
      reserve: () => {
        throw new Error('nothing is secured')
      },
      commit() {},
    }
    const endpoint = new DtlsEndpoint(
      { current: () => settings, clock },
      { ...told, ...outbox },
      options => new SetBack({ ...options, retransmitAfter: 1000 }),
    )
    let error: (Error & { code?: string }) | null | undefined
    endpoint.send(Buffer.from('x'), '10.7.0.1', 5000, 'b.example', outcome => {
      error = outcome
    })
    t.equal(hellos.length, 1)
    for (let second = 0; second < 70 && error === undefined; second++) {
      t.ok(endpoint.deadline <= clock.time + 1000, 'it is looked at in time')
      clock.time += 1000
      endpoint.tick()
    }
    t.ok(hellos.length > 10 && hellos.length <= 61, `${hellos.length} hellos in a minute`)
    t.equal(error?.code, 'ERR_TLS_HANDSHAKE_TIMEOUT')
    t.equal(clock.time, 60_000, 'and no later than without')
    endpoint.close()
  },
)

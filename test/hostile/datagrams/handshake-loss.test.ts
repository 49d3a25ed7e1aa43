/**
 * Any datagram may be lost: 0, 10, 20 and 50 of a hundred, in datagrams of 256 to 9000 bytes. Every
 * handshake completes where there is time. Where there is not, it ends when its time is over, with an
 * error that names the peer and the likely causes; and the next one completes once nothing is lost.
 */
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { isAll } from '../extent.js'
import {
  begin,
  bothSecured,
  faultOf,
  handshakeKinds,
  type Meeting,
  meeting,
  SERVER_NAME,
} from './simulated-handshake.js'

const kinds = await handshakeKinds()
const mtus = [256, 512, 1200, 9000]
/** Of each kind with each mtu. */
const rounds = isAll ? 12 : 1
const HOUR = 3_600_000
/** Milliseconds under way: what leaves together does not arrive in order. */
const DELAY = [1, 30] as const

t.test('nothing is lost: no timer is needed, whatever the size of the datagrams', async t => {
  const random = seededRandom(t)
  for (const { kind, mtu, name } of table()) {
    const pair = meeting(random, kind, { mtu }, { delay: [30, 30] })
    const begun = pair.network.clock.time
    begin(pair)
    const done = pair.network.until(() => bothSecured(pair), 500)
    const fault = done ? faultOf(pair, kind) : 'it did not complete'
    if (fault === undefined && pair.network.clock.time - begun < 1000) continue
    show(t, pair, `${name}: ${fault}`)
  }
})

for (const loss of [10, 20, 50])
  t.test(`${loss} % are lost, and who wants an answer asks again`, async t => {
    const random = seededRandom(t)
    const times: number[] = []
    for (const { kind, mtu, name } of table()) {
      const pair = meeting(random, kind, { mtu }, { loss, delay: DELAY })
      const begun = pair.network.clock.time
      const fault = conversation(pair, HOUR)
      times.push(pair.network.clock.time - begun)
      if (fault !== undefined) show(t, pair, `${name}: ${fault}`)
      // 60 s is the usual handshakeTimeout: with a fifth lost it is enough, all but always.
      if (loss < 50 && pair.client.errors.length > 1)
        show(t, pair, `${name}: ${pair.client.errors}`)
    }
    times.sort((a, b) => a - b)
    const median = times[times.length >> 1] as number
    t.ok(median < (loss < 50 ? 10_000 : 300_000), `median ${median} ms, at most ${times.at(-1)} ms`)
  })

t.test('half of all is lost, and there is the usual time', async t => {
  const random = seededRandom(t)
  let inTime = 0
  for (const { kind, mtu, name } of table()) {
    const pair = meeting(
      random,
      kind,
      { mtu, handshakeTimeout: 20_000 },
      { loss: 50, delay: DELAY },
    )
    const { network, client } = pair
    const begun = network.clock.time
    begin(pair)
    const ended = network.until(() => client.securedPeers.length + client.errors.length > 0, 60_000)
    const took = network.clock.time - begun
    const [error] = client.errors
    if (!ended || took > 20_000 + 2000) show(t, pair, `${name}: no end after ${took} ms`)
    if (error === undefined) inTime += 1
    else if (!isTimeout(error, pair, 20_000))
      show(t, pair, `${name}: ${error.code} ${error.message}`)
    network.weather = {}
    client.errors.length = 0
    const fault = conversation(pair, 120_000, 20_000)
    if (fault !== undefined) show(t, pair, `${name}, afterwards: ${fault}`)
  }
  t.ok(inTime > 0, `${inTime} of ${rounds * mtus.length * kinds.length} in time`)
})

function* table() {
  for (const kind of kinds)
    for (const mtu of mtus)
      for (let round = 0; round < rounds; round++)
        yield { kind, mtu, name: `${kind.name}, mtu ${mtu}, round ${round}` }
}

/** The client says something every two seconds until it hears an answer. What was in the way, where it never does. */
function conversation(
  { network, client, server }: Meeting,
  milliseconds: number,
  handshakeTimeout = 60_000,
): string | undefined {
  let said = 0
  const end = network.clock.time + milliseconds
  server.onMessage = text => server.send(`re ${text}`, client)
  const heard = client.messages.length
  while (client.messages.length === heard) {
    if (network.clock.time >= end) return 'no answer'
    client.send(`${said++}`, server, SERVER_NAME)
    network.until(() => client.messages.length > heard, 2000)
  }
  server.onMessage = undefined
  for (const { messages } of [client, server])
    if (new Set(messages).size !== messages.length) return `one came twice: ${messages}`
  if (client.messages.some(each => !/^re \d+$/.test(each))) return `it heard ${client.messages}`
  const errors = [...client.errors, ...server.errors]
  const wrong = errors.filter(
    each => !isTimeout(each, { network, client, server }, handshakeTimeout),
  )
  return wrong.length > 0 ? `${wrong}` : undefined
}

/** The error of a handshake that had no more time: it names the peer, and says what may be the cause. */
function isTimeout(error: Error & { code?: string }, { server }: Meeting, after: number): boolean {
  const says = `${server.address}:${server.port} did not complete the handshake within ${after} ms: `
  return (
    error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' &&
    error.message.startsWith(says) &&
    /does not run|then was silent/.test(error.message)
  )
}

function show(
  t: Parameters<typeof seededRandom>[0],
  { network, client, server }: Meeting,
  what: string,
): void {
  t.comment(network.log.join('\n'))
  for (const { endpoint, associations } of [client, server])
    t.comment(endpoint.stats, ...associations.map(each => each.state))
  t.fail(what)
}

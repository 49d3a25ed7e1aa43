/**
 * Connections that are cut after any number of bytes, in either direction, in the handshake and behind it:
 * by a clean end that neither has meant, by a reset, or by silence. Whoever is ours is told once, with an
 * error that has a code; a write is never said to have succeeded before the peer was authenticated; what
 * is delivered is the truth; nothing is left; and somebody who reads along sees nothing.
 */
import tls, { type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { type Random, seededRandom } from '../../model/random.js'
import { connections } from '../../support/connections.js'
import { event } from '../../support/events.js'
import { testIdentity } from '../../support/identities.js'
import { clientIdentity, listening } from '../../support/secured.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { expectedCodes, faultOfClient, faultOfServer, type Outcome, outcomeOf } from './outcome.js'
import { type Direction, type Link, type Passage, type TcpProxy, tcpProxy } from './tcp-proxy.js'

const HOST = '127.0.0.1'
const QUESTION = 'correct horse battery staple?'
const ANSWER = 'pack my box with jugs!'
const { cert, key, ca } = await testIdentity()
const client = (await clientIdentity()) as { cert: string; key: string; ca: string }
const server = { cert, key, ca, requestCert: true }
const handshakeTimeout = 1500

type Manner = 'end' | 'reset' | 'freeze'
interface Cut {
  readonly direction: Direction
  readonly after: number
  readonly manner: Manner
}
/** Of each this many bytes apart, besides the first: all of them by `npm run test:hostile`. */
const step = isAll ? 1 : 173
/** Silence lasts as long as the handshake may: fewer of it, all at the same time. */
const stepOfSilence = isAll ? 16 : 601

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`our client, ${maxVersion}`, async t => {
    const random = seededRandom(t)
    const foreign = tls.createServer({ ...server, maxVersion }, answers)
    foreign.on('tlsClientError', (_error, socket) => socket.destroy())
    foreign.listen(0, HOST)
    t.teardown(() => foreign.close())
    await event(foreign, 'listening')
    const { port } = foreign.address() as { port: number }
    await allCuts(t, random, port, async (port, cut) => {
      const outcome = await asked(port)
      t.same(faultOfClient(outcome, ANSWER, Number.isFinite(cut.after)), undefined, name(cut))
    })
  })

  t.test(`our server, ${maxVersion}`, async t => {
    const random = seededRandom(t)
    const us = await guard(t)
    await allCuts(t, random, us.port, async (port, cut) => {
      const socket = tls.connect({
        ...client,
        maxVersion,
        port,
        host: HOST,
        servername: 'localhost',
      })
      socket.on('error', () => {}).resume()
      socket.write(QUESTION)
      await over(socket, cut)
    })
    await us.allIsOver(t)
  })
}

t.test('two ends of ours', async t => {
  const random = seededRandom(t)
  const us = await guard(t)
  await allCuts(t, random, us.port, async (port, cut) => {
    const outcome = await asked(port)
    t.same(faultOfClient(outcome, ANSWER, Number.isFinite(cut.after)), undefined, name(cut))
  })
  await us.allIsOver(t)
})

/** Tries every cut of the table at connections that `meet` makes, and reads along. */
async function allCuts(
  t: Test,
  random: Random,
  port: number,
  meet: (port: number, cut: Cut) => Promise<void>,
): Promise<void> {
  let cut: Cut = { direction: 'toServer', after: Number.POSITIVE_INFINITY, manner: 'end' }
  const seen: Buffer[] = []
  const cuts = new WeakMap<Link, Cut>()
  const passage: Passage = (bytes, direction, link) => {
    const own = cuts.get(link) ?? cut
    cuts.set(link, own)
    const rest = own.after - link.passed[direction]
    const passed = direction === own.direction ? bytes.subarray(0, rest) : bytes
    // After what is passed on now has been written.
    if (passed.length === rest) setImmediate(() => link[own.manner]())
    seen.push(passed)
    return passed
  }
  const proxy = await tcpProxy(t, port, passage)
  // One that is not cut, to see how long it is: it ends by itself.
  await meet(proxy.port, cut)
  const whole = (proxy.links[0] as Link).passed
  t.ok(whole.toServer > 500 && whole.toClient > 500, JSON.stringify(whole))

  const silent: Promise<void>[] = []
  for (const direction of ['toServer', 'toClient'] as const) {
    const points = [1, 5, whole[direction] - 1]
    for (let at = random.below(step); at < whole[direction]; at += step) points.push(at)
    for (const manner of ['end', 'reset'] as const)
      for (const after of points) {
        cut = { direction, after, manner }
        await meet(proxy.port, cut)
      }
    for (let at = random.below(stepOfSilence); at < whole[direction]; at += stepOfSilence) {
      cut = { direction, after: at, manner: 'freeze' }
      const { length } = proxy.links
      silent.push(meet(proxy.port, cut))
      // The cut is the link's once something has passed.
      await until('it has begun', () => begun(proxy, length))
    }
  }
  await Promise.all(silent)
  t.notOk(Buffer.concat(seen).includes(QUESTION.slice(0, 7)), 'nobody has read the question')
  t.notOk(Buffer.concat(seen).includes(ANSWER.slice(0, 7)), 'nor the answer')
}

function begun({ links }: TcpProxy, index: number): boolean {
  const link = links[index]
  return link !== undefined && (link.passed.toServer > 0 || link.client.bytesRead > 0)
}

/** Our client asks its question, and is over when it has closed. */
function asked(port: number): Promise<Outcome> {
  const socket = createConnection({ port, host: HOST, security: { ...client, handshakeTimeout } })
  return outcomeOf(socket, QUESTION, handshakeTimeout)
}

/** Our server, that answers who asks; and what has become of all who came. */
async function guard(t: Test) {
  const outcomes: Promise<string | undefined>[] = []
  const security = { ...server, handshakeTimeout }
  const us = await listening(t, { security }, socket => outcomes.push(served(socket)))
  return {
    port: us.port,
    async allIsOver(t: Test) {
      for (const { code } of us.refused) t.match(code, expectedCodes)
      t.ok(us.refused.length > 0 && outcomes.length > 0, 'some were let in, some were not')
      t.same(
        (await Promise.all(outcomes)).filter(each => each !== undefined),
        [],
      )
      await until('nothing is left', async () => (await connections(us.server)) === 0)
    },
  }
}

async function served(socket: SecureSocket): Promise<string | undefined> {
  return faultOfServer(await outcomeOf(socket, ANSWER, handshakeTimeout), QUESTION)
}

function answers(socket: TLSSocket): void {
  socket.on('error', () => {})
  socket.setTimeout(handshakeTimeout, () => socket.destroy())
  socket.once('data', () => socket.end(ANSWER))
}

/** A client of node:tls that is silenced would wait for ever. */
function over(socket: TLSSocket, cut: Cut): Promise<void> {
  if (cut.manner === 'freeze') socket.setTimeout(handshakeTimeout, () => socket.destroy())
  return new Promise(resolve => socket.once('close', () => resolve()))
}

function name({ direction, after, manner }: Cut): string {
  return `${manner} after ${after} bytes ${direction}`
}

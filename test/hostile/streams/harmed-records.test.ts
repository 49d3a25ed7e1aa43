/**
 * Each record of a connection, of the handshake and of the data, in each direction, is changed in one bit,
 * lost, repeated or cut, comes behind a ChangeCipherSpec, or is the last one: behind it comes a clean end, a reset, an end of one direction
 * only, or silence. At the other end is `openssl`, with TLS 1.3 and 1.2. What is ours tells of it once, with
 * an error that has a code, delivers nothing but the truth, and lets go of the connection.
 */
import t from 'tap'
import { createConnection } from '../../../src/net.js'
import { files } from '../../interop/files.js'
import { sClient, sServer } from '../../interop/openssl.js'
import { type Random, seededRandom } from '../../model/random.js'
import { connections } from '../../support/connections.js'
import { flipBit } from '../../support/flip-bit.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { clientIdentity, listening } from '../../support/secured.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { allOf } from '../in-turns.js'
import { expectedCodes, faultOfClient, faultOfServer, type Outcome, outcomeOf } from './outcome.js'
import { byRecords, type Direction, type Link, type Passage, tcpProxy } from './tcp-proxy.js'

const skip = !requireProgram(t, 'openssl')
const HOST = '127.0.0.1'
const QUESTION = 'correct horse battery staple?\n'
/** `openssl s_server -rev` says it backwards. */
const ANSWER = '?elpats yrettab esroh tcerroc\n'
const { cert, key, ca } = await testIdentity()
const client = (await clientIdentity()) as { cert: string; key: string; ca: string }
const save = files(t)
const theirs = save({ cert, key, ca })
const known = save({ cert: client.cert, key: client.key })
const handshakeTimeout = 1500

const manners = [
  'type',
  'version',
  'length',
  'content',
  'lost',
  'twice',
  'cut',
  'end',
  'reset',
  'half',
  'silence',
  'early CCS',
] as const

const changeCipherSpec = Buffer.from('140303000101', 'hex')

interface Harm {
  readonly direction: Direction
  readonly index: number
  readonly manner: (typeof manners)[number]
}

/** Those that it takes a time-out to see last a second and a half. */
const AT_ONCE = 6

for (const version of isAll ? ['1.3', '1.2'] : ['1.3']) {
  const flag = `-tls${version.replace('.', '_')}`

  t.test(`our client, TLS ${version}`, { skip }, async t => {
    const random = seededRandom(t)
    const asks = ['-Verify', '1', '-verify_return_error', '-CAfile', theirs.ca]
    const shows = ['-cert', theirs.cert, '-key', theirs.key]
    // It serves one at a time.
    const servers = await Promise.all(
      Array.from({ length: isAll ? AT_ONCE : 3 }, () =>
        sServer(t, flag, '-rev', ...shows, ...asks),
      ),
    )
    const idle = servers.map(({ port }) => port)
    const meet = async (harm?: Harm) => {
      const port = idle.shift() as number
      const counts = { toServer: 0, toClient: 0 }
      const proxy = await tcpProxy(t, port, harming(random, counts, harm))
      const security = { ...client, handshakeTimeout }
      const socket = createConnection({ port: proxy.port, host: HOST, security })
      const outcome = await outcomeOf(socket, QUESTION, handshakeTimeout)
      t.same(faultOfClient(outcome, ANSWER, harm !== undefined), undefined, nameOf(harm))
      for (const link of proxy.links) link.reset()
      idle.push(port)
      return counts
    }
    const counts = await meet()
    await allOf(servers.length, tableOf(random, counts), async harm => void (await meet(harm)))
    // They live, and serve who is not harmed.
    for (const _each of servers) await meet()
  })

  t.test(`our server, TLS ${version}`, { skip }, async t => {
    const random = seededRandom(t)
    const security = { cert, key, ca, requestCert: true, handshakeTimeout }
    const shows = ['-cert', known.cert, '-key', known.key]
    const args = [flag, '-CAfile', theirs.ca, '-verify_return_error', ...shows]
    const meet = async (harm?: Harm) => {
      let outcome: Promise<Outcome> | undefined
      const us = await listening(t, { security }, socket => {
        outcome = outcomeOf(socket, ANSWER, handshakeTimeout)
      })
      const counts = { toServer: 0, toClient: 0 }
      const proxy = await tcpProxy(t, us.port, harming(random, counts, harm))
      const program = sClient(t, proxy.port, ...args)
      program.type(QUESTION)
      const what = nameOf(harm)
      await until(what, () => outcome !== undefined || us.refused.length > 0, 30_000)
      t.equal(us.refused.length, outcome === undefined ? 1 : 0, `${what}: one end`)
      for (const { code } of us.refused) t.match(code, expectedCodes, what)
      if (outcome !== undefined) {
        const seen = await outcome
        t.same(faultOfServer(seen, QUESTION), undefined, what)
        if (harm === undefined) t.equal(seen.heard, QUESTION, 'it was not harmed')
      }
      await until('nothing is left', async () => (await connections(us.server)) === 0, 30_000)
      await program.stop()
      for (const link of proxy.links) link.reset()
      return counts
    }
    const counts = await meet()
    await allOf(AT_ONCE, tableOf(random, counts), async harm => void (await meet(harm)))
  })
}

/** Every record of both directions in every manner, or some of them. */
function tableOf(random: Random, counts: Record<Direction, number>): Harm[] {
  const table = (['toServer', 'toClient'] as const).flatMap(direction =>
    Array.from({ length: counts[direction] }, (_, index) => index).flatMap(index =>
      manners.map(manner => ({ direction, index, manner })),
    ),
  )
  return isAll ? table : random.some(table, 6)
}

function harming(random: Random, counts: Record<Direction, number>, harm?: Harm): Passage {
  return byRecords((record, direction, index, link) => {
    counts[direction] += 1
    if (direction !== harm?.direction || index !== harm.index) return record
    return harmed(random, record, direction, link, harm.manner)
  })
}

function harmed(
  random: Random,
  record: Buffer,
  direction: Direction,
  link: Link,
  manner: Harm['manner'],
): Buffer {
  const flipped = (first: number, last: number) => {
    const bit = first * 8 + random.below((last - first) * 8)
    const changed = Buffer.from(record)
    flipBit(changed, bit)
    return changed
  }
  switch (manner) {
    case 'type':
      return flipped(0, 1)
    case 'version':
      return flipped(1, 3)
    case 'length':
      return flipped(3, 5)
    case 'content':
      return flipped(5, record.length)
    case 'lost':
      return Buffer.alloc(0)
    case 'twice':
      return Buffer.concat([record, record])
    case 'cut':
      setImmediate(() => link.end())
      return record.subarray(0, 1 + random.below(record.length - 1))
    case 'end':
    case 'reset':
      setImmediate(() => link[manner]())
      return record
    case 'half':
      // Who has it hears an end; who has sent it hears nothing of that.
      setImmediate(() => (direction === 'toServer' ? link.server : link.client).end())
      return record
    case 'silence':
      setImmediate(() => link.freeze())
      return record
    case 'early CCS':
      // Anybody can write it; behind the keys nobody can.
      return Buffer.concat([changeCipherSpec, record])
  }
}

function nameOf(harm: Harm | undefined): string {
  return harm === undefined ? 'unharmed' : `${harm.manner} of ${harm.index} ${harm.direction}`
}

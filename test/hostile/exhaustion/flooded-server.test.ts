/**
 * A server of datagrams that strangers flood from up to 10,000 addresses (127.0.0.0/8), while peers of ours and
 * `openssl s_client` have their echoes: what it makes, what it holds, and what it sends to whom, in exact counts.
 * What it costs those peers in time is in cost-of-floods.test.ts.
 *
 * That each kind of cookie is refused, and by what time, is pinned in test/providers/dtls/cookie.test.ts and
 * cookie-secrets.test.ts; that floods leave the event loop its turns, in test/channels/flood.test.ts.
 */
import { randomBytes } from 'node:crypto'
import dgram from 'node:dgram'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { event } from '../../support/events.js'
import { requireProgram } from '../../support/foreign-program.js'
import { boundSocket, identified } from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { type Flood, type FloodKind, flooder, type Report } from './flood.js'
import { foreignSpeaker, type Speaker, speaker } from './honest-peers.js'
import { floodedServer, type Held } from './server.js'
import { cookieIn, Stranger } from './strangers.js'

/** Not all of Linux's 127.0.0.0/8 is there elsewhere. */
const skip = process.platform !== 'linux' && 'loopback has one address'
const hasOpenssl = requireProgram(t, 'openssl') !== undefined
const MEGABYTE = 1024 * 1024
/** Of all the server's peers; and those that it has in every quiet moment. */
const maxSessions = isAll ? 2000 : 60
const handshakeTimeout = 4000
/** 45 KB as it begins, and 136 KB of messages that come in pieces, at most. */
const HALF_OPEN_BYTES = 200 * 1024
/** As many stay with the process for each that there was at once: 45 KB were measured. */
const KEPT_BYTES = 60 * 1024
/** Milliseconds, for a machine that has much else to do. */
const PATIENCE = 300_000

const security = await identified()
const old = await anOldCookie()
const server = await floodedServer(t, { ...security, maxSessions, handshakeTimeout })
const flooding = await flooder(t)
const honest: Speaker[] = [await speaker(t, server.port)]
if (hasOpenssl) honest.push(await foreignSpeaker(t, server.port))
for (const each of honest) await each.echo()
const quiet = () => server.quiet(honest.length)
/** What it held when it was quiet the last time. */
let before = await quiet()
/** And the first time: what a flood leaves must not be bounded for each of them alone. */
const first = before

type Size = Pick<Flood, 'addresses' | 'atOnce' | 'each' | 'perSecond'>

function flood(what: FloodKind, inAll: Size, inPart: Size): Promise<Report> {
  return flooding.flood({ what, port: server.port, old, ...(isAll ? inAll : inPart) })
}

const many = { addresses: 10_000, atOnce: 200 }
const few = { addresses: 60, atOnce: 20 }
const beforeCookie: [FloodKind, inAll: Size, inPart: Size][] = [
  ['hellos', { ...many, each: 10 }, { ...few, each: 5 }],
  ['wrong cookies', { ...many, each: 2 }, { ...few, each: 2 }],
  ['pieces', { ...many, each: 4 }, { ...few, each: 2 }],
  ['garbage', { addresses: 1000, atOnce: 100, each: 100 }, { ...few, each: 30 }],
]

for (const [what, ...sizes] of beforeCookie)
  t.test(`${what}, before a cookie`, { skip }, async t => {
    const [report] = await withEchoes(t, flood(what, ...sizes))
    t.comment(JSON.stringify(report))
    const after = await quiet()
    const secured = after.stats.handshakes - before.stats.handshakes
    t.equal(after.made - before.made, secured, 'no association is made but for the one that comes')
    t.equal(report.other, 0, 'nothing is answered by anything but a HelloVerifyRequest')
    t.ok(report.worst <= 3, `at most ${report.worst.toFixed(2)} bytes for each byte of an address`)
    const isAnswered = what === 'hellos' || what === 'wrong cookies'
    if (isAnswered) t.ok(report.answers > 0, `${report.answers} were asked for a cookie`)
    else t.equal(report.answers, 0, 'there is no answer at all')
    isAsBefore(t, after)
  })

const afterCookie: [FloodKind, inAll: Size, inPart: Size][] = [
  ['half-open', { ...many, each: 1 }, { ...few, addresses: 100, each: 1 }],
  // No faster than a server does work for one address.
  [
    'large messages',
    { addresses: 200, atOnce: 200, each: 1, perSecond: 8000 },
    { addresses: 4, atOnce: 4, each: 1, perSecond: 2000 },
  ],
  ['early records', { ...many, addresses: 500, each: 40 }, { ...few, addresses: 10, each: 20 }],
]

for (const [what, ...sizes] of afterCookie) {
  // Pinned in test/providers/dtls/hostile-datagrams.test.ts already.
  if (what === 'early records' && !isAll) continue
  t.test(`${what}, after the cookie`, { skip }, async t => {
    const [report, most, memory] = await withEchoes(t, flood(what, ...sizes))
    t.comment(JSON.stringify(report))
    const grown = memory - before.memory.rss
    t.ok(grown < 40 * MEGABYTE + maxSessions * HALF_OPEN_BYTES, `it has grown by ${grown} bytes`)
    t.ok(report.welcomed > 0, `${report.welcomed} handshakes began`)
    t.ok(most <= maxSessions, `at most ${most} peers and handshakes`)
    const after = await quiet()
    t.ok(after.made > before.made && after.most <= maxSessions, `${after.most} associations`)
    t.ok(after.made - before.made >= report.welcomed, 'each has its own')
    isAsBefore(t, after)
  })
}

t.test('byte by byte, for ever', { skip: skip || (!isAll && 'full extent only') }, async t => {
  const count = 500
  const size = { addresses: count, atOnce: count, each: 1 }
  const done = flood('byte by byte', size, size)
  const [report] = await withEchoes(t, done, async () => {
    // They go on while they are given up, all of them.
    const begun = async () => (await server.ask()).made - before.made >= count
    await until('they have begun', begun, PATIENCE)
    const isOver = async () => (await server.ask()).stats.handshaking === 0
    await until('they were given up', isOver, PATIENCE)
    flooding.stop()
  })
  t.comment(JSON.stringify(report))
  isAsBefore(t, await quiet())
})

/**
 * The flood, and meanwhile echoes, and one more peer, who comes and goes: what was seen of it, and the most
 * peers and handshakes, and memory, at once.
 */
async function withEchoes(
  t: Test,
  done: Promise<Report>,
  also: () => Promise<void> = async () => {},
): Promise<[Report, most: number, memory: number]> {
  let isOver = false
  let [echoes, most, memory] = [0, 0, 0]
  const over = done.finally(() => {
    isOver = true
  })
  const one = await speaker(t, server.port)
  const speaking = [...honest, one].map(async each => {
    do {
      await each.echo()
      echoes += 1
      await setTimeout(20)
    } while (!isOver)
  })
  const looking = async () => {
    do {
      const { stats, memory: now } = await server.ask()
      most = Math.max(most, stats.peers + stats.handshaking)
      memory = Math.max(memory, now.rss)
      await setTimeout(100)
    } while (!isOver)
  }
  const [report] = await Promise.all([over, also().then(looking), ...speaking])
  await one.close()
  t.ok(echoes > honest.length, `${echoes} echoes meanwhile, and none was missing`)
  return [report, most, memory]
}

/** As it was, but for those who have come and are still there. */
function isAsBefore(t: Test, after: Held): void {
  t.equal(after.alive, after.stats.peers, 'associations in OpenSSL are those of its peers')
  t.same(after.instances, Array(3).fill(after.stats.peers), 'as many peers, links, associations')
  const lasting = ({ resources }: Held) => resources.filter(each => each !== 'Timeout')
  t.same(lasting(after), lasting(before), 'as many sockets and pipes')
  const timers = after.resources.length - lasting(after).length
  t.ok(timers <= 1, 'a socket has one timer for all')
  t.equal(after.descriptors, before.descriptors, 'and descriptors')
  const grown = (of: keyof Held['memory']) => after.memory[of] - first.memory[of]
  t.ok(
    grown('heapUsed') < 4 * MEGABYTE,
    `since the beginning the heap has grown by ${grown('heapUsed')}`,
  )
  t.ok(grown('external') < MEGABYTE, `what it refers to by ${grown('external')}`)
  // Measured: -45 to 130 KB.
  t.ok(
    grown('allocated') < (isAll ? MEGABYTE : MEGABYTE / 2),
    `what malloc() has given by ${grown('allocated')}`,
  )
  // What it was given back it keeps for the next flood, which takes no more.
  const kept = 60 * MEGABYTE + maxSessions * KEPT_BYTES
  t.ok(grown('rss') < kept, `and the process by ${grown('rss')}`)
  before = after
}

/** A cookie of another server, as one that was there before, and the random that it was given for. */
async function anOldCookie(): Promise<Flood['old']> {
  const { port } = await boundSocket(t, security)
  const socket = dgram.createSocket('udp4')
  const stranger = new Stranger(randomBytes(32))
  const answer = event(socket, 'message')
  socket.send(stranger.hello(), port, '127.0.0.1')
  const [datagram] = await answer
  socket.close()
  const cookie = cookieIn(datagram as Buffer)?.toString('hex') as string
  return { cookie, random: stranger.random.toString('hex') }
}

/**
 * The tables of lost, repeated, swapped, late, recut and swallowed datagrams with real sockets, real time
 * and an implementation that is not ours at one end: `openssl` and GnuTLS, as servers and as clients. Every
 * handshake that can complete does, what is said behind it arrives, nothing comes twice, and nothing of it
 * can be read along. `npm test` goes through a few of these by chance.
 */
import t, { type Test } from 'tap'
import { at, closed, inbox, LOOPBACK, listening, speaking } from '../../interop/dtls-sockets.js'
import { type Random, seededRandom } from '../../model/random.js'
import { messageType } from '../../providers/dtls/hellos.js'
import { failure } from '../../support/events.js'
import { flipBit } from '../../support/flip-bit.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { allOf } from '../in-turns.js'
import { arePresent, type ForeignKind, foreignKinds, type Maker, makers } from './foreign-ends.js'
import { type Pieces, recordsOf, recutting } from './recut.js'
import { type Direction, type Faults, isSaidInClear, type UdpProxy, udpProxy } from './udp-proxy.js'

/** Several timers of a second and more, at either end, on a machine that has much else to do. */
const PATIENCE = 60_000
/**
 * Milliseconds for which a weather takes and cuts datagrams by chance. Timers double: in a minute a flight goes
 * six times, and one of eleven with GnuTLS lost a piece of it, or of the answer, each time. What has come to
 * nothing by then still completes with the timers at 15 and 31 s, unless an end is stuck.
 */
const STORM = 14_000
/** `openssl` and GnuTLS run beside each other, but not all at once. */
const AT_ONCE = 8

const all = makers(t)
const roles = ['client', 'server'] as const
type Role = (typeof roles)[number]

interface Combination {
  readonly maker: Maker
  readonly role: Role
  readonly kind: ForeignKind
}

/** What the network does, from the first datagram of the handshake on. */
interface Weather {
  readonly name: string
  readonly mtu?: number
  /** That of the other end, where it is another. */
  readonly theirMtu?: number
  /** A ClientHello of ours, or of theirs, that no datagram of this size takes. */
  readonly longHello?: boolean
  /** Not with these. */
  readonly without?: (combination: Combination) => boolean
  readonly faults?: Faults
  /** What comes to us comes in other pieces. */
  readonly recut?: Pieces
  /** This one of this direction does not arrive. */
  readonly lost?: Lost
}

interface Lost {
  readonly direction: Direction
  readonly index: number
  /** Whoever should have had it has no timer. */
  readonly oneTimer: boolean
}

for (const oneTimer of [false, true])
  t.test(`each datagram is lost once${oneTimer ? ', and one end has no timer' : ''}`, async t => {
    if (!arePresent(t, all)) return
    const random = seededRandom(t)
    const table = combinations().flatMap(each =>
      (['toServer', 'toClient'] as const).map(direction => ({ ...each, direction })),
    )
    const chosen = isAll ? table : random.some(table, oneTimer ? 2 : 4)
    await allOf(AT_ONCE, chosen, async ({ direction, ...combination }) => {
      // Until there is none with that number; one of them by chance in `npm test`.
      for (let index = isAll ? 0 : random.below(3), was = true; was; index++) {
        const lost = { direction, index, oneTimer }
        const weather = { name: `${direction}, number ${index}`, lost }
        const what = `${nameOf(combination)}: ${weather.name}`
        const count = await completes(t, random, combination, weather).catch(error => {
          t.fail(`${what}: ${error}`)
          return 0
        })
        if (index < 2) t.equal(count, 1, `${what}: it was lost`)
        was = count > 0 && isAll
      }
    })
  })

const weathers: Weather[] = [
  { name: 'all come twice', faults: { duplicates: 100 } },
  { name: 'neighbours change places', faults: { swaps: 100 } },
  {
    name: 'half of the neighbours change places, in small pieces',
    without: isConfusedByPieces,
    mtu: 300,
    faults: { swaps: 50 },
  },
  { name: 'all come late, in any order', faults: { delay: [0, 300] } },
  { name: 'a tenth is lost', faults: { loss: 10 } },
  {
    name: 'a fifth is lost, in small pieces',
    without: isConfusedByPieces,
    mtu: 300,
    faults: { loss: 20 },
  },
  {
    name: 'a third is lost, repeated or cut',
    // It gives up over a hello that is cut.
    without: ({ maker }) => maker.name === 'GnuTLS',
    faults: { loss: 10, duplicates: 10, truncations: 10 },
  },
  { name: 'small pieces, and a hello that is larger', mtu: 300, longHello: true },
  { name: 'the smallest pieces', without: isConfusedByPieces, mtu: 256 },
  {
    name: 'a fifth is lost, in pieces of 512 bytes',
    without: isConfusedByPieces,
    mtu: 512,
    faults: { loss: 20 },
  },
  {
    name: 'a tenth is lost, in datagrams that are larger than any',
    mtu: 9000,
    faults: { loss: 10 },
  },
  { name: 'cut anew, overlapping, in any order', recut: { size: 40, overlap: 20 } },
  { name: 'cut anew, besides what was cut', mtu: 9000, recut: { size: 400, whole: true } },
  // Only ours cuts its flights smaller once it hears nothing.
  { name: 'larger than 600 bytes is swallowed', theirMtu: 500, faults: { largest: 600 } },
]

/** gnutls-serv looks for the cookie in whatever piece of a hello comes first, and a ticket makes several of it. */
function isConfusedByPieces({ maker, role, kind }: Combination): boolean {
  return maker.name === 'GnuTLS' && role === 'client' && kind.resumed
}

t.test('other weather', async t => {
  if (!arePresent(t, all)) return
  const random = seededRandom(t)
  const table = combinations().flatMap(each =>
    weathers.filter(({ without }) => !without?.(each)).map(weather => ({ ...each, weather })),
  )
  const chosen = isAll ? table : random.some(table, 4)
  await allOf(AT_ONCE, chosen, async ({ weather, ...combination }) => {
    const what = `${nameOf(combination)}: ${weather.name}`
    await completes(t, random, combination, weather).catch(error => t.fail(`${what}: ${error}`))
  })
})

t.test('half is lost: it completes, or ends in time with an error that says why', async t => {
  if (!arePresent(t, all) || !isAll) return
  const random = seededRandom(t)
  const table = combinations().filter(({ role }) => role === 'client')
  await allOf(AT_ONCE, [...table, ...table], async ({ maker, kind }) => {
    const server = await maker.server(kind, 1200)
    const proxy = await udpProxy(t, random, server.port)
    proxy.faults = { loss: 50 }
    const socket = speaking(t, { ...kind.client, handshakeTimeout: 20_000 })
    socket.send('said 1.', proxy.port, LOOPBACK, () => {})
    try {
      t.equal((await socket.secure(at(proxy.port))).secured, true)
    } catch (error) {
      t.match(error, {
        code: 'ERR_TLS_HANDSHAKE_TIMEOUT',
        message: /did not complete .*20000 ms: /,
      })
    }
    saysNothingInClear(t, proxy, false, `${maker.name}, ${kind.name}`)
    await Promise.all([server.program.stop(), closed(socket)])
  })
})

t.test('a path that swallows nearly all: an error that names the peer and the causes', async t => {
  if (!arePresent(t, all)) return
  const random = seededRandom(t)
  const table = all.flatMap(maker => [150, 0].map(most => ({ maker, most })))
  await allOf(AT_ONCE, table, async ({ maker, most }) => {
    const kind = foreignKinds[0] as ForeignKind
    const server = await maker.server(kind, 1200)
    const proxy = await udpProxy(t, random, server.port)
    // Towards the client: our hello has 200 bytes.
    proxy.passage = (datagram, direction) =>
      direction === 'toClient' && datagram.length > most ? [] : undefined
    const socket = speaking(t, { ...kind.client, handshakeTimeout: 3000 })
    socket.send('said 1.', proxy.port, LOOPBACK, () => {})
    const error = await failure(socket.secure(at(proxy.port)))
    t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', peer: `127.0.0.1:${proxy.port}` })
    const says = most === 0 ? /: nothing came from it: .*firewall/ : /: it answered first .*larger/
    t.match((error as Error).message, says, `${maker.name}, ${most} bytes`)
    t.ok(proxy.lost > 0)
    saysNothingInClear(t, proxy, false, `${maker.name}, ${most} bytes`)
    await Promise.all([server.program.stop(), closed(socket)])
  })
})

t.test(
  'a bit of a datagram is another: it completes, or ends with an error, and others do not',
  async t => {
    if (!arePresent(t, all)) return
    const random = seededRandom(t)
    const table = combinations()
      .filter(({ kind }) => !kind.resumed)
      .flatMap(each =>
        (['toServer', 'toClient'] as const).flatMap(direction =>
          [0, 1, 2].map(index => ({ ...each, direction, index })),
        ),
      )
    const chosen = isAll ? [...table, ...table, ...table] : random.some(table, 2)
    const ends: Record<string, number> = {}
    await allOf(AT_ONCE, chosen, async ({ maker, role, kind, direction, index }) => {
      const what = `${nameOf({ maker, role, kind })}: ${direction}, number ${index}`
      const flip = (proxy: UdpProxy) => {
        let count = 0
        proxy.passage = (datagram, way) => {
          if (way !== direction || count++ !== index || datagram[0] === 23) return undefined
          const bit = random.below(datagram.length * 8)
          const changed = Buffer.from(datagram)
          flipBit(changed, bit)
          return [changed]
        }
      }
      const end = await (role === 'client' ? flippedClient : flippedServer)(
        t,
        random,
        maker,
        kind,
        flip,
      )
      ends[end] = (ends[end] ?? 0) + 1
      t.match(end, /^(secured|[A-Z0-9_]+)$/, what)
    })
    t.comment(JSON.stringify(ends))
  },
)

/** What becomes of it; and the same socket is then secured with another peer. */
async function flippedClient(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  flip: (proxy: UdpProxy) => void,
): Promise<string> {
  const [server, other] = [await maker.server(kind, 1200), await maker.server(kind, 1200)]
  const proxy = await udpProxy(t, random, server.port)
  flip(proxy)
  const socket = speaking(t, { ...kind.client, handshakeTimeout: 5000 })
  const end = await socket.secure(at(proxy.port)).then(
    ({ secured }) => (secured ? 'secured' : 'not secured'),
    (error: { code?: string; peer?: string }) =>
      error.peer === `127.0.0.1:${proxy.port}` ? `${error.code}` : 'it names no peer',
  )
  t.equal((await socket.secure(at(other.port))).secured, true, 'another peer of the same socket')
  await Promise.all([server.program.stop(), other.program.stop(), closed(socket)])
  return end
}

/** The same, where somebody's client comes. */
async function flippedServer(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  flip: (proxy: UdpProxy) => void,
): Promise<string> {
  const us = await listening(t, { ...kind.server, handshakeTimeout: 5000 })
  const proxy = await udpProxy(t, random, us.port)
  flip(proxy)
  const { program } = await maker.client(kind, proxy.port, 1200, us.port, [])
  let isOver = false
  const over = () => {
    isOver = true
  }
  program.ended(PATIENCE).then(over, over)
  // Or nothing: a client whose cookie was changed asks for no other one.
  await until(
    'it is secured, it gave up, or we did',
    () => isOver || us.secured.length > 0 || us.socket.stats.handshakesFailed > 0,
    8000,
  ).catch(() => {})
  const end =
    us.secured.length > 0
      ? 'secured'
      : isOver
        ? 'IT_GAVE_UP'
        : us.socket.stats.handshakesFailed > 0
          ? 'WE_GAVE_UP'
          : 'NEITHER_GOES_ON'
  const before = us.secured.length
  const other = await maker.client(kind, us.port, 1200, us.port, [])
  await other.program.said(other.isReady, PATIENCE)
  other.program.type('said 1.\n')
  await until('another client is heard', () => us.heard.all.length > 0, PATIENCE)
  t.same(
    us.heard.all.map(({ text }) => text),
    ['said 1.\n'],
    'and nothing else',
  )
  t.ok(us.secured.length > before, 'and is secured')
  await Promise.all([program.stop(), other.program.stop(), closed(us.socket)])
  return end
}

/** Every maker, as client and as server of ours, with every kind. */
function combinations(): Combination[] {
  return all.flatMap(maker =>
    roles.flatMap(role => foreignKinds.map(kind => ({ maker, role, kind }))),
  )
}

function nameOf({ maker, role, kind }: Combination): string {
  return `${maker.name}, our ${role}, ${kind.name}`
}

/** @returns how many datagrams were lost of which that was asked for */
function completes(
  t: Test,
  random: Random,
  { maker, role, kind }: Combination,
  weather: Weather,
): Promise<number> {
  const what = `${nameOf({ maker, role, kind })}: ${weather.name}`
  return role === 'client'
    ? ourClient(t, random, maker, kind, weather, what)
    : ourServer(t, random, maker, kind, weather, what)
}

/** Names enough that a hello is larger than 300 bytes. GnuTLS offers none where they are more, or longer. */
const manyNames = Array.from({ length: 8 }, (_, index) => `protocol-${index}-`.padEnd(31, 'x'))

async function ourClient(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  weather: Weather,
  what: string,
): Promise<number> {
  const { mtu = 1200, theirMtu = mtu, longHello = false } = weather
  const server = await maker.server(kind, theirMtu, weather.lost !== undefined)
  const proxy = await udpProxy(t, random, server.port)
  const alpn = longHello ? manyNames : []
  const socket = speaking(t, { ...kind.client, mtu, alpn })
  const heard = inbox(socket)
  const peer = at(proxy.port)
  if (kind.resumed) {
    await socket.secure(peer)
    socket.closePeer(peer)
    await server.program.said(server.isFree, PATIENCE)
  }
  const storm = breakOut(proxy, weather, 'toClient', random, () => true)
  const info = await socket.secure(peer)
  t.equal(info.secured, true, what)
  // Where the last flights were lost, both may have begun anew.
  if (weather.lost !== undefined) t.equal(info.resumed, kind.resumed, `${what}: resumed`)
  const isSaid = () => /said \d+\./.test(server.program.output) && heard.all.length > 0
  await wordsUntil(`${what}: words both ways`, isSaid, text => {
    socket.send(text, peer.port, LOOPBACK, () => {})
    server.speaks(text)
  })
  once(t, heard.all.map(({ text }) => text).join(''), what)
  onceAtTheOther(t, server.program.output, what)
  saysNothingInClear(t, proxy, longHello, what)
  await Promise.all([server.program.stop(), closed(socket)])
  return storm.lost
}

async function ourServer(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  weather: Weather,
  what: string,
): Promise<number> {
  const { mtu = 1200, theirMtu = mtu, longHello = false } = weather
  const us = await listening(t, { ...kind.server, mtu })
  const proxy = await udpProxy(t, random, us.port)
  const haveMet = () => !kind.resumed || us.secured.length > 0
  const storm = breakOut(proxy, weather, 'toServer', random, haveMet)
  const args = longHello ? maker.longHello(manyNames) : []
  const client = await maker.client(kind, proxy.port, theirMtu, us.port, args)
  const program = client.program
  await program.said(client.isReady, PATIENCE)
  const isAnswered = () => /said \d+\./.test(program.output)
  await wordsUntil(`${what}: an answer`, isAnswered, text => program.type(text))
  const last = us.secured.at(-1)
  t.equal(last?.info.secured, true, what)
  if (weather.lost !== undefined) t.equal(last?.info.resumed, kind.resumed, `${what}: resumed`)
  once(t, us.heard.all.map(({ text }) => text).join(''), what)
  onceAtTheOther(t, program.output, what)
  saysNothingInClear(t, proxy, longHello, what)
  await Promise.all([program.stop(), closed(us.socket)])
  return storm.lost
}

/** One word after the other until it holds. */
async function wordsUntil(
  what: string,
  holds: () => boolean,
  say: (text: string) => void,
): Promise<void> {
  let said = 0
  const isSaid = async () => {
    said += 1
    say(`said ${said}.\n`)
    // Longer each time: GnuTLS repeats its last flight only after a second in which nothing has come.
    await new Promise(resolve => setTimeout(resolve, Math.min(20 * 2 ** said, 2000)))
    return holds()
  }
  await until(what, isSaid, PATIENCE)
}

/** From the first ClientHello on, once the two have met where that is wanted. */
function breakOut(
  proxy: UdpProxy,
  weather: Weather,
  towardsUs: Direction,
  random: Random,
  haveMet: () => boolean,
): { lost: number } {
  const { lost, faults = {}, recut } = weather
  const storm = { lost: 0 }
  let begunAt: number | undefined
  const counts = { toServer: 0, toClient: 0 }
  const oneTimer = lost?.oneTimer ? oneWithoutTimer(lost.direction) : undefined
  const cut = recut && recutting(random, recut)
  proxy.passage = (datagram, direction) => {
    if (direction === 'toServer' && datagram[0] === 22 && datagram[13] === 1 && haveMet())
      begunAt ??= performance.now()
    if (begunAt === undefined) return [datagram]
    const isOver = performance.now() - begunAt > STORM
    proxy.faults = isOver ? { ...faults, loss: 0, truncations: 0 } : faults
    const index = counts[direction]++
    if (oneTimer?.isRepeated(datagram, direction)) return []
    if (direction === towardsUs && cut !== undefined) return cut(datagram)
    // What is said is not sent again, so it is not lost here: only flights, and their ends.
    if (lost?.direction !== direction || lost.index !== index || datagram[0] === 23)
      return undefined
    storm.lost += 1
    oneTimer?.begins(datagram)
    return []
  }
  return storm
}

/**
 * Somebody without a timer sends nothing twice. It is the end that has not had what is lost. But of the
 * last flight: nobody waits for what follows it, so it is the other end that asks for it once more.
 */
function oneWithoutTimer(lostIn: Direction) {
  const other = lostIn === 'toServer' ? 'toClient' : 'toServer'
  const known = { toServer: new Set<string>(), toClient: new Set<string>() }
  let silent: Direction | undefined
  return {
    /** From now on, as this was lost. */
    begins(datagram: Buffer): void {
      // Of what a server says before it has a timer the client asks again.
      if (messageType(datagram) === HELLO_VERIFY_REQUEST) silent = lostIn
      else if (!known[other].has(CHANGES)) silent = other
    },
    isRepeated(datagram: Buffer, direction: Direction): boolean {
      const names = recordsOf(datagram).flatMap(nameOfRecord)
      const isKnown = names.some(name => known[direction].has(name))
      for (const name of names) known[direction].add(name)
      return isKnown && direction === silent
    },
  }
}

const HELLO_VERIFY_REQUEST = 3
const CHANGES = 'ChangeCipherSpec'

/** None for what may come again: answers to a hello without a cookie, alerts, and what is said. */
function nameOfRecord(record: Buffer): string[] {
  if (record[0] === 20) return [CHANGES]
  if (record[0] !== 22 || messageType(record) === HELLO_VERIFY_REQUEST) return []
  // Of what is encrypted there is one message: Finished.
  return [record.readUInt16BE(3) > 0 ? 'Finished' : record.toString('hex', 13, 22)]
}

/** What was said is nowhere to be read; that it would be found there: names that a long hello offers are. */
function saysNothingInClear(t: Test, proxy: UdpProxy, isControl: boolean, what: string): void {
  t.notOk(isSaidInClear(proxy, 'said '), `${what}: nothing in clear`)
  t.equal(isSaidInClear(proxy, 'protocol-'), isControl, `${what}: but what a hello offers`)
}

function once(t: Test, text: string, what: string): void {
  const words = text.match(/said \d+\./g) ?? []
  t.equal(text.replace(/said \d+\.\n/g, ''), '', `${what}: nothing else`)
  t.equal(new Set(words).size, words.length, `${what}: nothing comes twice`)
}

/** What the other end shows that it has heard: gnutls-serv tells of each besides that it works on it. */
function onceAtTheOther(t: Test, output: string, what: string): void {
  const words = output.replace(/^\*\*\* Processing .*/gm, '').match(/said \d+\./g) ?? []
  t.ok(words.length > 0, `${what}: it has heard`)
  t.equal(new Set(words).size, words.length, `${what}: nothing comes twice to it`)
}

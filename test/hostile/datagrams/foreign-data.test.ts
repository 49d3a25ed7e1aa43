/**
 * Data behind the handshake on the real wire, of `openssl` and GnuTLS, with somebody between who has every
 * record of theirs: he repeats, holds back, cuts and changes them, and adds his own. Nothing is delivered
 * twice, nothing forged is delivered, the association is the same at the end, and another peer of the
 * same socket notices nothing. `npm test` meets one of them with a part of it. The same
 * among two ends of ours, without a wire and whole, is data.test.ts.
 */
import t, { type Test } from 'tap'
import type { Socket } from '../../../src/dgram.js'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { at, closed, LOOPBACK, listening, speaking } from '../../interop/dtls-sockets.js'
import { type Random, seededRandom } from '../../model/random.js'
import { record } from '../../providers/dtls/hellos.js'
import { event } from '../../support/events.js'
import { flipBit } from '../../support/flip-bit.js'
import type { Program } from '../../support/program.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { arePresent, type ForeignKind, foreignKinds, type Maker, makers } from './foreign-ends.js'
import { type Direction, type UdpProxy, udpProxy } from './udp-proxy.js'

const PATIENCE = 60_000
const ALERT = 21
const APPLICATION_DATA = 23
const all = makers(t)
const present = arePresent(t, all)

const [certificates, , , , keys] = foreignKinds as [ForeignKind, 0, 0, 0, ForeignKind]
const suites: [string, ForeignKind][] = [
  ['AES-GCM', certificates],
  ['ChaCha20', withCiphers(certificates, 'ECDHE-ECDSA-CHACHA20-POLY1305')],
  ['a pre-shared key', keys],
]

const table = all.flatMap(maker =>
  (['client', 'server'] as const).flatMap(role =>
    suites.map(([suite, kind]) => ({ maker, role, suite, kind })),
  ),
)
/** One of them by chance in `npm test`, on each channel. */
const chosen = isAll ? table : [seededRandom(t).of(table)]

for (const { maker, role, suite, kind } of present ? chosen : [])
  t.test(`${maker.name}, our ${role}, ${suite}`, async t => {
    const random = seededRandom(t)
    const meeting = role === 'client' ? meetServer : meetClient
    const wire = await meeting(t, random, maker, kind)
    const bystander = await meeting(t, random, maker, kind, wire.us)
    for (const [what, attack] of Object.entries(attacks)) {
      const before = wire.heard.length
      const expected = await attack(wire, random)
      await settled(wire)
      t.same(wire.heard.slice(before), expected, what)
    }
    give(bystander, await bystander.say('still here.'))
    await arrives(bystander, 'still here.')
    t.same(bystander.heard, ['still here.'], 'another peer notices nothing')
    t.same(wire.told, [], 'nobody was told of an end or an error')
    t.equal(wire.us.stats.handshakes, 2, 'the same associations as before')
    await afterItsEnd(t, wire)
    t.equal(wire.us.stats.peers, 1)
    give(bystander, await bystander.say('and here.'))
    await arrives(bystander, 'and here.')
    await Promise.all([wire.program.stop(), bystander.program.stop()])
    await closed(wire.us)
  })

/** What the one between can do with another end's records, one by one. */
interface Wire {
  readonly us: Socket
  readonly program: Program
  /** What we were given of this peer, in order, but for what only tells that all before it has come. */
  readonly heard: string[]
  readonly fences: string[]
  /** Ends and errors of which we were told. */
  readonly told: unknown[]
  readonly proxy: UdpProxy
  /** The direction to us. */
  readonly inwards: Direction
  /** Has the other end say it; gives the record, which does not arrive. */
  say(text: string): Promise<Buffer>
  /** Says goodbye: a client of theirs does, and where it is a server it is we, since those never do. */
  ends(): Promise<void>
}

/** Each gives what of it we must hear, in order. */
const attacks: Record<string, (wire: Wire, random: Random) => Promise<string[]>> = {
  'every record twice, and all of them again behind 200 newer': async wire => {
    const texts = numbered(isAll ? 50 : 20, 'twice')
    const old = await oneByOne(texts, text => wire.say(text))
    for (const each of old) give(wire, each, each)
    await arrives(wire, texts.at(-1))
    const newer = numbered(200, 'newer')
    for (const text of newer) give(wire, await wire.say(text))
    await arrives(wire, newer.at(-1))
    give(wire, ...old)
    return [...texts, ...newer]
  },
  'in any order, within the window': async (wire, random) => {
    const texts = numbered(40, 'mixed')
    const rest = await oneByOne(texts, async text => ({ text, record: await wire.say(text) }))
    const order: string[] = []
    while (rest.length > 0) {
      const [{ text, record }] = rest.splice(random.below(rest.length), 1) as [(typeof rest)[0]]
      give(wire, record)
      order.push(text)
    }
    return order
  },
  'a gap, and what is older than the window': async wire => {
    const gap = isAll ? 1100 : 100
    const lost = await oneByOne(numbered(gap, 'lost'), text => wire.say(text))
    give(wire, await wire.say('beyond.'))
    await arrives(wire, 'beyond.')
    give(wire, ...[0, 1, gap >> 2, gap - 70].map(at => lost[at] as Buffer))
    return ['beyond.']
  },
  'each bit is another': async (wire, random) => {
    const whole = await wire.say('true one.')
    const step = isAll ? 1 : 7
    for (let bit = random.below(step), count = 1; bit < whole.length * 8; bit += step, count++) {
      const forged = Buffer.from(whole)
      flipBit(forged, bit)
      give(wire, forged)
      if (count % 50 === 0) await settled(wire)
    }
    for (let length = 1; length < whole.length; length++) give(wire, whole.subarray(0, length))
    await settled(wire)
    for (const epoch of [0, 2, 3, 0xffff]) {
      const forged = Buffer.from(whole)
      forged.writeUInt16BE(epoch, 3)
      give(wire, forged)
    }
    for (const more of [1, 2, 63, 64, 1000, 2 ** 32]) {
      const forged = Buffer.from(whole)
      forged.writeUIntBE(whole.readUIntBE(5, 6) + more, 5, 6)
      give(wire, forged)
    }
    await settled(wire)
    give(wire, whole)
    return ['true one.']
  },
  'garbage before and behind it in one datagram': async wire => {
    const [first, second, third] = await oneByOne(numbered(3, 'amidst'), text => wire.say(text))
    const junk = Buffer.alloc(20, APPLICATION_DATA)
    const wellFormed = [
      record(22, 0, Buffer.alloc(40)),
      record(21, 0, Buffer.from([2, 40])),
      record(23, 0, Buffer.from('clear')),
      record(23, 1, Buffer.alloc(40, 7), 2 ** 40),
      record(99, 1, Buffer.alloc(40)),
    ]
    // No record begins there: what is behind it is lost, and no more than lost.
    give(wire, Buffer.concat([junk, first as Buffer]))
    give(wire, Buffer.concat([second as Buffer, junk]))
    give(wire, Buffer.concat([...wellFormed, third as Buffer, ...wellFormed]))
    return ['amidst 2.', 'amidst 3.']
  },
  'alerts and data of nobody': async wire => {
    for (const epoch of [0, 1, 2])
      for (const alert of [
        [1, 0],
        [2, 0],
        [2, 20],
        [2, 40],
        [2, 80],
      ])
        give(wire, record(21, epoch, Buffer.from(alert), 2 ** 30))
    for (const type of [20, 21, 22, 23, 24]) {
      give(wire, record(type, 0, Buffer.from('clear words'), 2 ** 30))
      give(wire, record(type, 1, Buffer.alloc(50, type), 2 ** 47))
    }
    return []
  },
  'short records of every type and length': async (wire, random) => {
    const forged: Buffer[] = []
    for (const type of [19, 20, 21, 22, 23, 24, 25, 255])
      for (const epoch of [0, 1, 2])
        for (let length = 0; length <= 64; length++)
          if (isAll || (epoch === 1 && length < 30) || random.below(20) === 0)
            forged.push(record(type, epoch, bytes(random, length), random.below(2 ** 31)))
    for (let at = 0; at < forged.length; at += 50) {
      give(wire, ...forged.slice(at, at + 50))
      await settled(wire)
    }
    return []
  },
  'weather: lost, twice, swapped, cut, changed and late': async wire => {
    const { proxy } = wire
    const texts = numbered(isAll ? 300 : 60, 'weather')
    const before = wire.heard.length
    proxy.faults = {
      loss: 10,
      duplicates: 20,
      swaps: 20,
      truncations: 10,
      flips: 10,
      delay: [0, 20],
    }
    for (const text of texts) {
      const record = await wire.say(text)
      proxy.disturb(record, wire.inwards)
    }
    // The last one can wait for one behind it, and then be late.
    await new Promise(resolve => setTimeout(resolve, 200))
    await settled(wire)
    const heard = wire.heard.slice(before)
    if (heard.length < texts.length / 3) throw new Error(`only ${heard.length} of ${texts.length}`)
    if (heard.some(text => !texts.includes(text))) throw new Error(`it heard ${heard}`)
    if (new Set(heard).size !== heard.length) throw new Error(`twice: ${heard}`)
    return heard
  },
}

/** What was under way when it said goodbye, and what it had said before: both come too late. */
async function afterItsEnd(t: Test, wire: Wire): Promise<void> {
  const spent = await wire.say('spent.')
  give(wire, spent)
  await arrives(wire, 'spent.')
  const late = await wire.say('too late.')
  const before = wire.heard.length
  const gone = event(wire.us, 'peerClose', PATIENCE)
  await wire.ends()
  await gone
  const { datagramsReceived } = wire.us.stats
  const drops = dropped(wire.us)
  give(wire, late, spent, late)
  await until('they have come', () => dropped(wire.us) >= drops + 3, PATIENCE)
  t.equal(wire.us.stats.datagramsReceived, datagramsReceived)
  t.same(wire.heard.slice(before), [], 'nothing behind close_notify')
}

/** Our client, or the one that it is given, meets a server of theirs. */
async function meetServer(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  us = speaking(t, kind.client),
): Promise<Wire> {
  const server = await maker.server(kind, 1200)
  const proxy = await udpProxy(t, random, server.port)
  const repeats = maker.name === 'GnuTLS'
  const { program } = server
  await us.secure(at(proxy.port))
  return wireOf({
    us,
    program,
    proxy,
    port: proxy.port,
    inwards: 'toClient',
    // It repeats what we say to it, in a record of its own.
    speaks: text => (repeats ? us.send(text, proxy.port, LOOPBACK, () => {}) : program.type(text)),
    goodbye: undefined,
  })
}

/** A client of theirs meets our server, or the one that it is given. */
async function meetClient(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  given?: Socket,
): Promise<Wire> {
  const us = given ?? (await listening(t, kind.server, { echo: false })).socket
  const proxy = await udpProxy(t, random, us.address().port)
  const secured = event(us, 'secure', PATIENCE)
  const { program, isReady } = await maker.client(kind, proxy.port, 1200, 0, [])
  const [{ port }] = (await secured) as [{ port: number }]
  await program.said(isReady, PATIENCE)
  return wireOf({
    us,
    program,
    proxy,
    port,
    inwards: 'toServer',
    speaks: text => program.type(text),
    goodbye: () => void program.finish(PATIENCE).catch(() => {}),
  })
}

interface Ends extends Pick<Wire, 'us' | 'program' | 'proxy' | 'inwards'> {
  /** Where we hear it from. */
  readonly port: number
  readonly speaks: (text: string) => void
  readonly goodbye: (() => void) | undefined
}

function wireOf({ us, program, proxy, port, inwards, speaks, goodbye }: Ends): Wire {
  const heard: string[] = []
  const fences: string[] = []
  const told: unknown[] = []
  us.on('message', (message, from) => {
    if (from.port !== port) return
    const text = String(message).trimEnd()
    if (text.startsWith('fence')) fences.push(text)
    else heard.push(text)
  })
  for (const name of ['peerClose', 'peerError', 'error'])
    us.on(name, (...args: unknown[]) => told.push([name, ...args]))
  const caught: Buffer[] = []
  proxy.passage = (datagram, direction) => {
    if (direction !== inwards) return [datagram]
    caught.push(Buffer.from(datagram))
    return []
  }
  const caughtOne = async (what: string, type: number) => {
    let found: Buffer | undefined
    await until(
      `the record of ${what}`,
      () => {
        found = caught.shift()
        return found !== undefined && found[0] === type
      },
      PATIENCE,
    )
    return found as Buffer
  }
  return {
    us,
    program,
    heard,
    fences,
    told,
    proxy,
    inwards,
    say(text) {
      speaks(`${text}\n`)
      return caughtOne(text, APPLICATION_DATA)
    },
    async ends() {
      if (goodbye === undefined) {
        us.closePeer(at(port))
        return
      }
      goodbye()
      proxy.inject(await caughtOne('its end', ALERT), inwards)
    },
  }
}

function give({ proxy, inwards }: Wire, ...datagrams: readonly Buffer[]): void {
  for (const each of datagrams) proxy.inject(each, inwards)
}

/** All that was given has been worked on: something genuine that was given behind it has arrived. */
async function settled(wire: Wire): Promise<void> {
  const text = `fence ${wire.fences.length}.`
  give(wire, await wire.say(text))
  await until(text, () => wire.fences.at(-1) === text, PATIENCE)
}

function arrives(wire: Wire, text: string | undefined): Promise<void> {
  return until(`${text} arrives`, () => wire.heard.includes(text as string), PATIENCE)
}

function dropped({ stats }: Socket): number {
  return Object.values(stats.dropped).reduce((sum, count) => sum + count, 0)
}

async function oneByOne<T>(
  texts: readonly string[],
  does: (text: string) => Promise<T>,
): Promise<T[]> {
  const results: T[] = []
  for (const text of texts) results.push(await does(text))
  return results
}

function numbered(count: number, word: string): string[] {
  return Array.from({ length: count }, (_, index) => `${word} ${index + 1}.`)
}

function bytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)))
}

function withCiphers(kind: ForeignKind, ciphers: string): ForeignKind {
  const give = (settings: DatagramSecuritySettings) => ({ ...settings, ciphers })
  return { ...kind, client: give(kind.client), server: give(kind.server) }
}

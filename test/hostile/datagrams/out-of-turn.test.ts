/**
 * Messages that are whole and well-formed, but not now: each one that somebody between the two can write
 * without a key, before a datagram of a handshake ("CCS injection", "SMACK", dtls-fuzzer). No peer sends them
 * there, so the handshake goes on as if they had not come. Only who guesses the type and the number of the very
 * message that is awaited can spoil it, and gains nothing: an error, and the next one goes well. First among
 * two ends of ours in memory, then on the wire with `openssl` and GnuTLS; each by chance in `npm test`.
 */
import t, { type Test } from 'tap'
import type { Socket } from '../../../src/dgram.js'
import { at, closed, inbox, LOOPBACK, listening, speaking } from '../../interop/dtls-sockets.js'
import { type Random, seededRandom } from '../../model/random.js'
import { handshakeFragment, record } from '../../providers/dtls/hellos.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'
import { allOf } from '../in-turns.js'
import { arePresent, type ForeignKind, foreignKinds, type Maker, makers } from './foreign-ends.js'
import { begin, bothSecured, faultOf, handshakeKinds, meeting } from './simulated-handshake.js'
import { type Direction, type UdpProxy, udpProxy } from './udp-proxy.js'

/** A datagram with this record number. */
type Forgery = (number: number) => Buffer

const outOfTurn: Record<string, Forgery> = {
  'a ChangeCipherSpec': n => record(20, 0, Buffer.of(1), n),
  'a ChangeCipherSpec of epoch 1': n => record(20, 1, Buffer.of(1), n),
  'a fatal alert': n => record(21, 0, Buffer.of(2, 40), n),
  'a close_notify': n => record(21, 0, Buffer.of(1, 0), n),
  'data in clear': n => record(23, 0, Buffer.from('clear words'), n),
  'a HelloRequest': message(0, 0, Buffer.alloc(0)),
  'a later HelloRequest': message(0, 2, Buffer.alloc(0)),
  'a ServerHelloDone': message(14, 1, Buffer.alloc(0)),
  'a NewSessionTicket': message(
    4,
    0,
    Buffer.concat([Buffer.of(0, 0, 1, 0, 0, 34), Buffer.alloc(34)]),
  ),
  'a NewSessionTicket far ahead': message(4, 15, Buffer.alloc(6)),
  'a KeyUpdate': message(24, 3, Buffer.of(1)),
  'a Finished': message(20, 3, Buffer.alloc(12)),
  'a Finished of epoch 1': n => record(22, 1, handshakeFragment(20, 7, Buffer.alloc(12)), n),
  'a record of epoch 2': n => record(23, 2, Buffer.alloc(60, 1), n),
  'a heartbeat': n => record(24, 0, Buffer.of(1, 0x40, 0), n),
}

function message(type: number, sequence: number, body: Buffer): Forgery {
  return number => record(22, 0, handshakeFragment(type, sequence, body), number)
}

const kinds = await handshakeKinds()
const ends = ['client', 'server'] as const
/** A flight in one datagram, or in several. */
const sizes = [1200, 256]

t.test('what nobody sends there costs no time and no handshake', t => {
  const random = seededRandom(t)
  // Before each datagram, or before one of them.
  const stages = [undefined, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
  const table = Object.keys(outOfTurn).flatMap(name =>
    kinds.flatMap(kind =>
      ends.flatMap(to =>
        sizes.flatMap(mtu => stages.map(stage => ({ name, kind, to, mtu, stage }))),
      ),
    ),
  )
  const chosen = isAll ? table : random.some(table, 200)
  let passed = 0
  for (const { name, kind, to, mtu, stage } of chosen) {
    const what = `${name} to the ${to} of ${kind.name}, mtu ${mtu}, before ${stage ?? 'each'}`
    const pair = meeting(random, kind, { mtu })
    const { network } = pair
    const from = to === 'client' ? pair.server : pair.client
    const forge = outOfTurn[name] as Forgery
    let [count, given] = [0, 0]
    network.passage = datagram => {
      if (stage === undefined || stage === count) {
        given += 1
        pair[to].endpoint.receive(forge(20 + count), from.address, from.port)
      }
      count += 1
      return datagram
    }
    const begun = network.clock.time
    begin(pair)
    const done = network.until(() => bothSecured(pair), 70_000)
    const took = network.clock.time - begun
    const fault = done ? faultOf(pair, kind) : `not secured: ${pair.client.errors}`
    if (fault !== undefined || took > 500 || (given === 0 && (stage ?? 0) < 4))
      t.fail(`${what}: ${took} ms, given ${given} times, ${fault}`)
    else passed += 1
  }
  t.equal(passed, chosen.length)
  t.end()
})

/** The shortest that we let through to OpenSSL, by type. */
const guesses: Record<number, Buffer> = {
  1: Buffer.concat([Buffer.of(0xfe, 0xfd), Buffer.alloc(40)]),
  2: Buffer.concat([Buffer.of(0xfe, 0xfd), Buffer.alloc(36)]),
  3: Buffer.of(0xfe, 0xfd, 0),
  4: Buffer.alloc(6),
  11: Buffer.alloc(3),
  12: Buffer.alloc(2),
  13: Buffer.alloc(5),
  14: Buffer.alloc(0),
  15: Buffer.alloc(4),
  16: Buffer.alloc(1),
  20: Buffer.alloc(12),
  22: Buffer.from([1, 0, 0, 0]),
}

t.test('whoever guesses the message that is awaited gains nothing', t => {
  const random = seededRandom(t)
  const table = Object.entries(guesses).flatMap(([type, body]) =>
    [0, 1, 2, 3, 4, 5, 6].flatMap(sequence =>
      kinds.flatMap(kind =>
        ends.flatMap(to =>
          [0, 1, 2, 3, 4].map(stage => ({ type: Number(type), body, sequence, kind, to, stage })),
        ),
      ),
    ),
  )
  const outcomes: Record<string, number> = {}
  for (const each of isAll ? table : random.some(table, 200)) {
    const { type, body, sequence, kind, to, stage } = each
    const what = `message ${type}, number ${sequence}, to the ${to} of ${kind.name}, before ${stage}`
    const pair = meeting(random, kind)
    const { network, client, server } = pair
    const from = to === 'client' ? server : client
    let count = 0
    network.passage = datagram => {
      const forged = record(22, 0, handshakeFragment(type, sequence, body), 20)
      if (count++ === stage) pair[to].endpoint.receive(forged, from.address, from.port)
      return datagram
    }
    // A clear alert is believed after a second, a cookie given up; never do they wait for handshakeTimeout.
    const over = () => bothSecured(pair) || client.errors.length > 0
    begin(pair)
    if (!network.until(over, 5000)) t.fail(`${what}: neither secured nor told of an error`)
    const [error] = client.errors
    if (error) t.match(error, { code: /^ERR_SSL_[A-Z0-9_]+$/ }, what)
    const outcome = error?.code ?? 'secured'
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    if (error) {
      for (const end of [client, server]) end.securedPeers.length = 0
      begin(pair)
      t.ok(
        network.until(() => bothSecured(pair), 5000),
        `${what}: the next one goes well`,
      )
    }
    // What is told of it, and the session that it has cost, are what it may cost.
    for (const { closedPeers, errors } of [client, server]) closedPeers.length = errors.length = 0
    const fault = faultOf(pair, { ...kind, resumed: client.query(server)?.resumed ?? false })
    if (fault !== undefined) t.fail(`${what}: ${fault}`)
  }
  t.comment(JSON.stringify(outcomes))
  t.ok((outcomes.secured ?? 0) > 100, 'and hardly any guess is right')
  t.end()
})

const all = makers(t)

t.test('on the wire, all of them before each datagram that comes to us', async t => {
  if (!arePresent(t, all)) return
  const random = seededRandom(t)
  const table = all.flatMap(maker =>
    foreignKinds.flatMap(kind => ends.map(role => ({ maker, kind, role }))),
  )
  const chosen = isAll ? table : random.some(table, 2)
  await allOf(4, chosen, ({ maker, kind, role }) => {
    const what = `${maker.name}, our ${role}, ${kind.name}`
    const meets = role === 'client' ? ourClient : ourServer
    return meets(t, random, maker, kind, what).catch(error => void t.fail(`${what}: ${error}`))
  })
})

const PATIENCE = 60_000
const WORD = 'said it.\n'

async function ourClient(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  what: string,
): Promise<void> {
  const server = await maker.server(kind, 1200)
  const proxy = await udpProxy(t, random, server.port)
  const us = speaking(t, kind.client)
  const heard = inbox(us)
  const peer = at(proxy.port)
  if (kind.resumed) {
    await us.secure(peer)
    us.closePeer(peer)
    await server.program.said(server.isFree, PATIENCE)
  }
  const told = endsOf(us)
  forgeBeforeEach(proxy, 'toClient')
  const { secured, resumed } = await us.secure(peer)
  t.same({ secured, resumed }, { secured: true, resumed: kind.resumed }, what)
  us.send(WORD, peer.port, LOOPBACK)
  await server.program.said(/said it\./, PATIENCE)
  server.speaks(WORD)
  await until('it is heard', () => heard.all.length > 0, PATIENCE)
  isAsIfNothing(t, us, heard.all, told, what)
  await Promise.all([server.program.stop(), closed(us)])
}

async function ourServer(
  t: Test,
  random: Random,
  maker: Maker,
  kind: ForeignKind,
  what: string,
): Promise<void> {
  const us = await listening(t, kind.server)
  const proxy = await udpProxy(t, random, us.port)
  const told = endsOf(us.socket)
  forgeBeforeEach(proxy, 'toServer')
  const { program, isReady } = await maker.client(kind, proxy.port, 1200, us.port, [])
  await program.said(isReady, PATIENCE)
  // Those that met before have told of their end.
  told.length = 0
  program.type(WORD)
  await program.said(/said it\./, PATIENCE)
  const info = us.secured.at(-1)?.info
  t.match(info, { secured: true, resumed: kind.resumed }, what)
  isAsIfNothing(t, us.socket, us.heard.all, told, what)
  await Promise.all([program.stop(), closed(us.socket)])
}

function forgeBeforeEach(proxy: UdpProxy, to: Direction): void {
  proxy.passage = (datagram, direction, index) =>
    direction === to
      ? [...Object.values(outOfTurn).map((forge, n) => forge(100 * (index + 1) + n)), datagram]
      : [datagram]
}

/** Ends and errors of which a socket tells. */
function endsOf(us: Socket): unknown[] {
  const told: unknown[] = []
  for (const name of ['peerClose', 'peerError', 'error'])
    us.on(name, (...args: unknown[]) => told.push([name, ...args]))
  return told
}

function isAsIfNothing(
  t: Test,
  us: Socket,
  heard: readonly { text: string }[],
  told: unknown[],
  what: string,
): void {
  t.same(
    heard.map(({ text }) => text),
    [WORD],
    `${what}: the truth, once`,
  )
  t.same(told, [], `${what}: of no end and no error`)
  t.equal(us.stats.handshakesFailed, 0, what)
  const drops = Object.values(us.stats.dropped).reduce((sum, count) => sum + count, 0)
  t.ok(drops >= Object.keys(outOfTurn).length, `${what}: they came, and were dropped`)
}

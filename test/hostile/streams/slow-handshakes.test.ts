/**
 * Handshakes of which the bytes come one by one, in pieces of a record, or hardly at all: what can
 * complete does, and what goes on too slowly ends with `handshakeTimeout`, however much still comes, and
 * disturbs nobody else.
 */
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { connections } from '../../support/connections.js'
import { closed, event, failure } from '../../support/events.js'
import { testIdentity } from '../../support/identities.js'
import { clientIdentity, listening } from '../../support/secured.js'
import { until } from '../../support/until.js'
import { byRecords, type Direction, type Link, type Passage, tcpProxy } from './tcp-proxy.js'

const HOST = '127.0.0.1'
const versions = ['TLSv1.3', 'TLSv1.2'] as const
const client = await clientIdentity()
const { cert, key, ca } = await testIdentity()
const server = { cert, key, ca, requestCert: true }
const echo = (socket: SecureSocket) => socket.on('error', () => {}).pipe(socket)

const passages: Record<string, () => Passage> = {
  'byte by byte': () => dripping(() => new Promise(setImmediate)),
  'in records of 100 bytes': () => inSmallRecords(100),
  'in records of one byte': () => inSmallRecords(1),
}

for (const maxVersion of versions)
  for (const [how, passage] of Object.entries(passages)) {
    t.test(`${how}, between two ends of ours, ${maxVersion}`, async t => {
      const { port, refused } = await listening(t, { security: server }, echo)
      const middle = await tcpProxy(t, port, passage())
      await echoes(t, middle.port, maxVersion)
      t.same(refused, [])
    })

    t.test(`${how}, our client and node:tls, ${maxVersion}`, async t => {
      const foreign = tls.createServer({ ...server }, socket => socket.pipe(socket))
      t.teardown(() => foreign.close())
      foreign.listen(0, HOST)
      await event(foreign, 'listening')
      const middle = await tcpProxy(t, (foreign.address() as { port: number }).port, passage())
      await echoes(t, middle.port, maxVersion)
    })

    t.test(`${how}, node:tls and our server, ${maxVersion}`, async t => {
      const { port, refused } = await listening(t, { security: server }, echo)
      const middle = await tcpProxy(t, port, passage())
      const options = { ...(client as tls.ConnectionOptions), maxVersion, host: HOST }
      const foreign = tls.connect({ ...options, port: middle.port, servername: 'localhost' })
      t.teardown(() => foreign.destroy())
      foreign.write('slowly')
      t.equal(String((await event(foreign, 'data'))[0]), 'slowly')
      t.same(refused, [])
    })
  }

/** A byte in 40 ms is a sign of life, and no reason to wait longer. */
const trickle = () => dripping(() => new Promise(resolve => setTimeout(resolve, 40)))
const handshakeTimeout = 1000

t.test('a server that goes on for ever is given up after handshakeTimeout', async t => {
  const { port } = await listening(t, { security: server })
  const middle = await tcpProxy(t, port, trickle())
  const begun = Date.now()
  const security = { ...client, handshakeTimeout }
  const socket = createConnection({ port: middle.port, host: HOST, security })
  socket.on('error', () => {}).on('connect', () => t.fail('connected'))
  const written = new Promise(resolve => socket.write('x', resolve))
  const error = await failure(socket.secured)
  t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message: /within 1000 ms/ })
  t.ok(Date.now() - begun >= handshakeTimeout - 50, 'not before')
  t.ok(middle.links[0]?.passed.toServer, 'it had been at it')
  t.match(await written, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  await closed(socket)
})

t.test('clients that go on for ever are given up, and another is served meanwhile', async t => {
  const security = { ...server, handshakeTimeout }
  const us = await listening(t, { security }, echo)
  const middle = await tcpProxy(t, us.port, trickle())
  const count = 50
  const slow = Array.from({ length: count }, () => {
    const socket = tls.connect({ ...(client as object), port: middle.port, host: HOST })
    return closed(socket)
  })
  await until('they have all come', () => middle.links.length === count)
  // Who comes while they hold on.
  for (let i = 0; i < 5; i++) await echoes(t, us.port, 'TLSv1.3')
  await Promise.all(slow)
  await until('all were refused', () => us.refused.length === count)
  for (const { code } of us.refused) t.equal(code, 'ERR_TLS_HANDSHAKE_TIMEOUT')
  t.equal(await connections(us.server), 0, 'and nothing is left of them')
})

t.test('so are clients that connect and say nothing, and those that stop half-way', async t => {
  const security = { ...server, handshakeTimeout }
  const us = await listening(t, { security }, echo)
  for (const bytes of [0, 1, 5, 100]) {
    const stopped: Passage = (chunk, direction, link) => {
      if (direction === 'toClient') return chunk
      const rest = bytes - link.passed.toServer
      if (chunk.length >= rest) setImmediate(() => link.freeze())
      return chunk.subarray(0, rest)
    }
    const middle = await tcpProxy(t, us.port, stopped)
    const before = us.refused.length
    const foreign = tls.connect({ ...(client as object), port: middle.port, host: HOST })
    t.teardown(() => foreign.destroy())
    foreign.on('error', () => {})
    await event(us.server, 'tlsClientError')
    t.match(us.refused[before], { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }, `after ${bytes} bytes`)
  }
  await until('nothing is left', async () => (await connections(us.server)) === 0)
})

/** A connection of ours that is secured, and hears what it says. */
async function echoes(t: Test, port: number, maxVersion: 'TLSv1.3' | 'TLSv1.2'): Promise<void> {
  const socket = createConnection({ port, host: HOST, security: { ...client, maxVersion } })
  t.teardown(() => socket.destroy())
  socket.write('slowly')
  t.equal(String((await event(socket, 'data', 30_000))[0]), 'slowly')
  t.match(await socket.secured, { secured: true, version: maxVersion })
  socket.destroy()
}

/** Passes each byte on by itself, and waits before each. */
function dripping(wait: () => Promise<unknown>): Passage {
  const queues = new WeakMap<Link, Record<Direction, Buffer[]>>()
  return (bytes, direction, link) => {
    const queue = queues.get(link) ?? { toClient: [], toServer: [] }
    queues.set(link, queue)
    queue[direction].push(bytes)
    if (queue[direction].length === 1) drip(queue[direction], direction, link)
    return undefined
  }

  async function drip(queue: Buffer[], direction: Direction, link: Link): Promise<void> {
    const to = direction === 'toServer' ? link.server : link.client
    for (let bytes = queue[0]; bytes !== undefined; bytes = queue[0]) {
      for (const byte of bytes) {
        await wait()
        if (to.destroyed) return
        link.passed[direction] += 1
        await new Promise(resolve => to.write(Buffer.of(byte), resolve))
      }
      queue.shift()
    }
  }
}

/** Cuts what is in clear into records of that size: the handshake's own messages stay as they are. */
function inSmallRecords(size: number): Passage {
  const HANDSHAKE = 22
  // After these in TLS 1.2 the types of records are still told, and their contents are not ours to cut.
  const CHANGE_CIPHER_SPEC = 20
  const protectedNow = new WeakMap<Link, Set<Direction>>()
  return byRecords((record, direction, _index, link) => {
    const over = protectedNow.get(link) ?? new Set()
    protectedNow.set(link, over)
    if (record[0] === CHANGE_CIPHER_SPEC) over.add(direction)
    if (record[0] !== HANDSHAKE || over.has(direction)) return record
    const pieces: Buffer[] = []
    for (let at = 5; at < record.length; at += size) {
      const piece = record.subarray(at, at + size)
      const header = Buffer.from(record.subarray(0, 5))
      header.writeUInt16BE(piece.length, 3)
      pieces.push(header, piece)
    }
    return Buffer.concat(pieces)
  })
}

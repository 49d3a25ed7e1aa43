/**
 * The callback of a write tells the truth: what it says has left, has left, and arrives also where the
 * process dies right after it; what has not left it never says; and each is called once, in order.
 */
import tls, { type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { event } from '../../support/events.js'
import { testIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { launch, type Program } from '../../support/program.js'
import { clientIdentity, listening } from '../../support/secured.js'
import { until } from '../../support/until.js'
import { type Direction, type Passage, type TcpProxy, tcpProxy } from './tcp-proxy.js'

const HOST = '127.0.0.1'
const { cert, key, ca } = await testIdentity()
const client = (await clientIdentity()) as { cert: string; key: string; ca: string }
const program = await inOneFile(t, new URL('truth-program.ts', import.meta.url))
const size = 20_000

for (const role of ['client', 'server'] as const)
  for (const version of ['TLSv1.3', 'TLSv1.2'] as const)
    t.test(
      `what has left arrives, though the process is killed: our ${role}, ${version}`,
      async t => {
        let arrived = 0
        let over = false
        const takes = (socket: TLSSocket) => {
          socket.on('error', () => {})
          socket.on('close', () => {
            over = true
          })
          socket.on('data', chunk => {
            arrived += chunk.length
          })
          // Not as fast as it is written: much is under way when the end comes.
          socket.pause()
          socket.write('go')
          return socket
        }
        let taking: TLSSocket | undefined
        let writer: Program
        if (role === 'client') {
          const foreign = tls.createServer({ cert, key, maxVersion: version }, socket => {
            taking = takes(socket)
          })
          foreign.listen(0, HOST)
          await event(foreign, 'listening')
          t.teardown(() => foreign.close())
          const { port } = foreign.address() as { port: number }
          writer = started(t, { role, port, security: { ca } })
          await until('it has connected', () => taking !== undefined, 30_000)
        } else {
          writer = started(t, { role, security: { cert, key, maxVersion: version } })
          const [, port] = await writer.said(/port (\d+)/, 30_000)
          const options = { ...client, host: HOST, port: Number(port), servername: 'localhost' }
          taking = takes(tls.connect({ ...options, maxVersion: version }))
        }
        await writer.said(/left 20\n/, 30_000)
        // By a signal that it does not catch: nothing of it runs any more.
        await writer.stop()
        taking?.resume()
        await until('its connection is over', () => over, 30_000)
        const left = Number(/left (\d+)\n(?![\s\S]*left)/.exec(writer.output)?.[1])
        t.ok(left >= 20)
        t.ok(arrived >= left * size, `${left} of ${size} bytes had left, ${arrived} bytes arrived`)
      },
    )

t.test(
  'a reset: what had left is told so, then every other write fails, each once and in order',
  async t => {
    for (const role of ['client', 'server'] as const)
      for (const destroyed of [false, true]) {
        const { ours, theirs, reset } = await pairOf(t, role)
        theirs.pause()
        const told: (Error | null | undefined)[] = []
        const count = 400
        const order: number[] = []
        for (let i = 0; i < count; i++)
          ours.write(Buffer.alloc(size, 'm'), error => {
            order.push(i)
            told.push(error)
          })
        // Nobody reads: the buffers of the system are full, and of ours some have left.
        await until('some have left', () => told.length > 0 && ours.writableLength > 0)
        const before = told.length
        t.ok(before < count, `${before} of ${count} had left`)
        ours.on('error', () => {})
        const over = event(ours, 'close', 30_000)
        if (destroyed) ours.destroy()
        else reset()
        await over.catch(() => event(ours, 'close', 30_000))
        await until('all are told', () => told.length === count)
        const what = `${role}, ${destroyed ? 'destroyed by us' : 'reset by somebody'}`
        t.same(order, Array.from(order.keys()), `in order: ${what}`)
        const failed = told.findIndex(error => error instanceof Error)
        t.ok(failed >= before, 'none is taken back')
        t.ok(
          told.slice(failed).every(error => error instanceof Error),
          'no success after a failure',
        )
        theirs.destroy()
      }
  },
)

for (const way of ['all at once', 'each when the one before has left'] as const)
  t.test(
    `a peer that reads nothing: no more is said to have left than is with the system; ${way}`,
    async t => {
      for (const role of ['client', 'server'] as const) {
        const { ours, theirs, passed } = await pairOf(t, role)
        theirs.pause()
        let left = 0
        const count = 2000
        let begun = 0
        const write = () => {
          begun += 1
          ours.write(Buffer.alloc(size, 'm'), error => {
            if (error) return
            left += 1
            if (begun < count) write()
          })
        }
        const first = way === 'all at once' ? count : 1
        while (begun < first) write()
        // Until nothing moves for a while; where it moves again later, it is all the more true.
        let before = -1
        while (before !== left) {
          before = left
          await new Promise(resolve => setTimeout(resolve, 200))
        }
        t.ok(left < count, `${left} of ${count} have left`)
        let arrived = 0
        theirs.on('data', chunk => {
          arrived += chunk.length
        })
        theirs.resume()
        await until(
          'all has left and arrived',
          () => left === count && arrived === count * size,
          60_000,
        )
        t.ok(passed() > count * size, 'and went over the wire')
        ours.destroy()
        theirs.destroy()
      }
    },
  )

/** The program in a process of its own. */
function started(t: Test, work: object): Program {
  return launch(t, process.execPath, [program, JSON.stringify({ size, ...work })])
}

/** A secured connection with node:tls at the other end, over somebody who can reset it. */
async function pairOf(t: Test, role: 'client' | 'server') {
  if (role === 'client') {
    const foreign = tls.createServer({ cert, key })
    foreign.listen(0, HOST)
    await event(foreign, 'listening')
    t.teardown(() => foreign.close())
    const proxy = await tcpProxy(t, (foreign.address() as { port: number }).port, honouring)
    const ours = createConnection({ port: proxy.port, host: HOST, security: { ca } })
    const [theirs] = (await event(foreign, 'secureConnection')) as [TLSSocket]
    await ours.secured
    return ends(t, ours, theirs, proxy, 'toServer')
  }
  const us = await listening(t, {}, () => {})
  const proxy = await tcpProxy(t, us.port, honouring)
  const theirs = tls.connect({ ca, port: proxy.port, host: HOST, servername: 'localhost' })
  const [ours] = (await event(us.server, 'connection')) as [SecureSocket]
  return ends(t, ours, theirs, proxy, 'toClient')
}

function ends(
  t: Test,
  ours: SecureSocket,
  theirs: TLSSocket,
  { links }: TcpProxy,
  direction: Direction,
) {
  t.teardown(() => {
    ours.destroy()
    theirs.destroy()
  })
  theirs.on('error', () => {})
  return {
    ours,
    theirs,
    reset: () => links[0]?.reset(),
    passed: () => links[0]?.passed[direction] ?? 0,
  }
}

/** Who carries takes no more than the other end does. */
const honouring: Passage = (bytes, direction, link) => {
  const [from, to] =
    direction === 'toServer' ? [link.client, link.server] : [link.server, link.client]
  link.passed[direction] += bytes.length
  if (!to.write(bytes)) {
    from.pause()
    to.once('drain', () => from.resume())
  }
  return undefined
}

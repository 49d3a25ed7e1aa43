/**
 * What is sent in batches, as a plain node:dgram socket receives it; and what the system itself says
 * to such messages.
 */
import dgram from 'node:dgram'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Outgoing } from '../../../src/channels/batch/outgoing.js'
import type { Destination } from '../../../src/providers/datagram-provider.js'
import { seededRandom } from '../../model/random.js'
import { event } from '../../support/events.js'
import { launch } from '../../support/program.js'
import { until } from '../../support/until.js'
import { commit, tickOver } from './sending.js'
import { adopted, end } from './sockets.js'

if (process.platform !== 'linux') {
  t.plan(0, 'only Linux sends like this')
  process.exit()
}

async function channel(t: Test, address = '127.0.0.1', segments = true) {
  const { socket, descriptor, port } = await adopted(t, address)
  const told = { failed: [] as Error[] }
  const outgoing = new Outgoing(
    descriptor,
    address.includes(':') ? 6 : 4,
    {
      wantWritable: () => {},
      failed: error => told.failed.push(error),
      drained: () => {},
    },
    segments,
  )
  t.teardown(() => outgoing.close())
  return { outgoing, socket, port, told }
}

/** Who receives all that comes, as node:dgram does. */
async function receiver(t: Test, address = '127.0.0.1') {
  const socket = dgram.createSocket({
    type: address.includes(':') ? 'udp6' : 'udp4',
    recvBufferSize: 4_000_000,
  })
  t.teardown(() => end(socket))
  const arrived: Buffer[] = []
  const sources = new Set<number>()
  socket.on('message', (datagram, { port }) => {
    arrived.push(datagram)
    sources.add(port)
  })
  socket.bind(0, address)
  await event(socket, 'listening')
  const to: Destination = { address, port: socket.address().port, route: undefined }
  return { arrived, sources, to, socket }
}

t.test('whatever the sizes, over IPv4 and IPv6, cut by the system or not', async t => {
  const random = seededRandom(t)
  for (const address of ['127.0.0.1', '::1']) {
    for (const segments of [true, false]) {
      const { outgoing, port } = await channel(t, address, segments)
      const ends = [await receiver(t, address), await receiver(t, address)]
      const sent: Buffer[][] = [[], []]
      const results: (Error | null)[] = []
      // No more than the receivers' buffers hold.
      for (let index = 0; index < 300; index += 1) {
        const which = random.below(2)
        const size = random.of([1, 64, 64, 64, 1200, 1200, 1 + random.below(2000)])
        const datagram = Buffer.alloc(size, index)
        sent[which]?.push(datagram)
        const to = ends[which]?.to as Destination
        if (random.below(20) === 0)
          outgoing.send(datagram, to.address, to.port, error => results.push(error))
        else commit(outgoing, datagram, to, error => results.push(error))
      }
      await until('all have arrived', () =>
        ends.every(({ arrived }, which) => arrived.length === sent[which]?.length),
      )
      for (const [which, { arrived, sources }] of ends.entries()) {
        t.same(
          arrived.map(each => each.length),
          sent[which]?.map(each => each.length),
          `${address}, cut: ${segments}`,
        )
        t.ok(arrived.every((each, index) => each.equals(sent[which]?.[index] as Buffer)))
        t.same([...sources], [port], 'from the port of the socket')
      }
      t.same(results, Array(300).fill(null))
    }
  }
})

t.test('IPv4 from a socket of IPv6', async t => {
  const { outgoing } = await channel(t, '::')
  const { arrived, to } = await receiver(t)
  for (const text of ['a', 'b']) commit(outgoing, text, to)
  const mapped = { address: `::ffff:${to.address}`, port: to.port, route: undefined }
  commit(outgoing, 'c', mapped)
  await until('all have arrived', () => arrived.length === 3)
  t.same(arrived.map(String), ['a', 'b', 'c'])
})

t.test('the largest message to be cut, and one that is too large', async t => {
  const { outgoing } = await channel(t)
  const { arrived, to } = await receiver(t)
  for (let index = 0; index < 6; index += 1) commit(outgoing, Buffer.alloc(16_384, index), to)
  for (let index = 0; index < 65; index += 1) commit(outgoing, Buffer.alloc(1008, 100 + index), to)
  await until('all have arrived', () => arrived.length === 71)
  t.same(
    arrived.map(each => each[0]),
    [...Array(6).keys(), ...Array.from({ length: 65 }, (_, index) => 100 + index)],
  )
  const results: unknown[] = []
  commit(outgoing, Buffer.alloc(65_507, 1), to, error => results.push(error))
  commit(outgoing, Buffer.alloc(65_508, 2), to, error => results.push(error))
  commit(outgoing, 'behind', to, error => results.push(error))
  await until('all have arrived', () => arrived.length === 73)
  const message = `send EMSGSIZE 127.0.0.1:${to.port}`
  t.match(results, [null, { code: 'EMSGSIZE', syscall: 'send', message }, null])
  t.same(
    arrived.slice(-2).map(each => each.length),
    [65_507, 6],
  )
})

t.test('node:dgram gives the same errors', async t => {
  const { outgoing, socket } = await channel(t)
  for (const [address, port, size] of [
    ['127.0.0.1', 9, 65_508],
    ['255.255.255.255', 9, 1],
  ] as const) {
    const datagram = Buffer.alloc(size, 1)
    const expected = await new Promise<Error | null>(resolve =>
      socket.send(datagram, port, address, resolve),
    )
    const errors: (Error | null)[] = []
    commit(outgoing, datagram, { address, port, route: undefined }, error => errors.push(error))
    await tickOver()
    const { message, ...details } = expected ?? { message: '' }
    t.ok(message, address)
    t.equal(errors[0]?.message, message)
    t.match(errors[0], details)
  }
})

t.test(
  'nobody listens there: a connected socket hears of it, and no datagram is lost for it',
  async t => {
    const { outgoing, socket, told } = await channel(t)
    const nobody = await receiver(t)
    const { to } = nobody
    socket.connect(to.port, to.address)
    await event(socket, 'connect')
    outgoing.connected(to)
    await new Promise<void>(resolve => nobody.socket.close(resolve))
    const results: unknown[] = []
    for (let index = 0; index < 3; index += 1) {
      commit(outgoing, 'alone', to, error => results.push(error))
      outgoing.flush()
    }
    for (let index = 0; index < 3; index += 1) {
      for (let each = 0; each < 3; each += 1)
        commit(outgoing, 'together', to, error => results.push(error))
      outgoing.flush()
    }
    await tickOver()
    t.same(results, Array(12).fill(null))
    t.equal(told.failed.length, 5, 'each of the errors, once')
    t.match(told.failed[0], { code: 'ECONNREFUSED' })
    const somebody = dgram.createSocket('udp4')
    t.teardown(() => end(somebody))
    somebody.bind(to.port, to.address)
    await event(somebody, 'listening')
    commit(outgoing, 'now', to, error => results.push(error))
    const [datagram] = (await event(somebody, 'message')) as [Buffer]
    t.equal(String(datagram), 'now')
  },
)

t.test('what was sent in the last tick of the process has left', async t => {
  const { arrived, to } = await receiver(t)
  const program = fileURLToPath(new URL('last-words.ts', import.meta.url))
  const how = ['exit', 'exception', 'late']
  const ends = how.map(each =>
    launch(t, process.execPath, [...process.execArgv, program, `${to.port}`, each]).ended(300_000),
  )
  await Promise.all(ends)
  await until('all have arrived', () => arrived.length === 2 * how.length)
  for (const each of how)
    t.same(
      arrived.map(String).filter(text => text.startsWith(each)),
      [`${each} 1`, `${each} 2`],
    )
})

/** The batch channel on real sockets: what one end commits, the other receives, until it is closed. */
import dgram from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { batchAvailable, batchUnavailable } from '../../../src/channels/batch/availability.js'
import { BatchChannel } from '../../../src/channels/batch/batch-channel.js'
import type { ChannelObserver } from '../../../src/channels/channel.js'
import type { Destination } from '../../../src/providers/datagram-provider.js'
import { failure } from '../../support/events.js'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'
import { until } from '../../support/until.js'
import { type AdoptedSocket, adopted, delivered, end, farEnd, LOOPBACK } from './sockets.js'

if (process.platform !== 'linux') {
  t.plan(0, 'it is for Linux')
  process.exit()
}

const turn = () => new Promise(resolve => setImmediate(resolve))

interface End extends AdoptedSocket {
  readonly channel: BatchChannel
  /** What has come, datagram by datagram. */
  readonly received: string[]
  readonly errors: Error[]
}

async function opened(t: Test, observer: Partial<ChannelObserver> = {}): Promise<End> {
  const adoptedSocket = await adopted(t)
  const received: string[] = []
  const errors: Error[] = []
  const channel = new BatchChannel(adoptedSocket.descriptor, 4, {
    received(datagrams, segment) {
      for (let start = 0; start < datagrams.length; start += segment)
        received.push(datagrams.toString('latin1', start, start + segment))
      return true
    },
    failed: error => errors.push(error),
    drained: () => {},
    ...observer,
  })
  t.teardown(() => channel.close())
  channel.start()
  return { ...adoptedSocket, channel, received, errors }
}

function commit({ channel }: End, text: string, to: Destination, sent?: () => void): void {
  const slot = channel.reserve(text.length)
  slot.arena.bytes.write(text, slot.offset, 'latin1')
  channel.commit(text.length, to, sent)
}

function destination({ port }: { port: number }): Destination {
  return { address: LOOPBACK, port, route: undefined }
}

t.test('it is available, or says why not', t => {
  t.equal(batchUnavailable(), undefined)
  t.equal(batchAvailable(), true)
  t.end()
})

t.test('what is committed in one tick comes in order, and in few pieces', async t => {
  let pieces = 0
  const texts: string[] = []
  const to = await opened(t, {
    received(datagrams, segment, address, port) {
      pieces += 1
      t.same([address, port], [LOOPBACK, from.port])
      for (let start = 0; start < datagrams.length; start += segment)
        texts.push(datagrams.toString('latin1', start, start + segment))
      return true
    },
  })
  const from = await opened(t)
  const there = destination(to)
  const sent = Array.from({ length: 100 }, (_, index) => `datagram ${index + 100}`)
  for (const text of sent) commit(from, text, there)
  await until('all have come', () => texts.length === sent.length)
  t.same(texts, sent)
  t.ok(pieces < 10, `${pieces} pieces`)
})

t.test('there and back, ten thousand times', async t => {
  const count = 10_000
  let rounds = 0
  const here = await opened(t, {
    received() {
      rounds += 1
      if (rounds < count) commit(here, 'x', toThere)
      return true
    },
  })
  const there = await opened(t, {
    received() {
      commit(there, 'x', toHere)
      return true
    },
  })
  const [toHere, toThere] = [destination(here), destination(there)]
  commit(here, 'x', toThere)
  await until('all rounds are over', () => rounds === count)
})

t.test(
  'nothing more comes of a channel that a listener closes, nor of its descriptor’s number',
  async t => {
    let count = 0
    const closing = await opened(t, {
      received() {
        count += 1
        closing.channel.close()
        closing.socket.close()
        return true
      },
    })
    const sender = await farEnd(t)
    for (let index = 0; index < 20; index += 1)
      await delivered(sender, Buffer.from('x'), closing.port)
    await once(closing.socket, 'close')
    const next = await adopted(t)
    t.equal(next.descriptor, closing.descriptor, 'the number is used again')
    await delivered(sender, Buffer.from('not for the old one'), next.port)
    await turn()
    await turn()
    t.equal(count, 1)
    closing.channel.close()
    t.doesNotThrow(() => {
      closing.channel.ref()
      closing.channel.unref()
      closing.channel.start()
    })
  },
)

t.test('a port is free as soon as its channel and its socket are closed', async t => {
  const { channel, socket, port } = await opened(t)
  channel.close()
  socket.close()
  const again = dgram.createSocket('udp4').bind(port, LOOPBACK)
  t.teardown(() => end(again))
  await once(again, 'listening')
})

t.test('an ICMP error of a connected socket is told once, and the reading goes on', async t => {
  const gone = await farEnd(t)
  const { port } = gone.address()
  gone.close()
  await once(gone, 'close')
  const { channel, socket, received, errors } = await opened(t)
  socket.connect(port, LOOPBACK)
  await once(socket, 'connect')
  channel.connected({ address: LOOPBACK, port })
  channel.send(Buffer.from('nobody is there'), LOOPBACK, port)
  await until('the error is told', () => errors.length > 0)
  for (let turns = 0; turns < 20; turns += 1) await turn()
  t.match(errors, [{ code: 'ECONNREFUSED', syscall: 'recvmsg' }])
  t.equal(errors.length, 1)
  const back = dgram.createSocket('udp4').bind(port, LOOPBACK)
  t.teardown(() => end(back))
  await once(back, 'listening')
  await delivered(back, Buffer.from('here again'), socket.address().port)
  await until('it is received', () => received.length > 0)
  t.same(received, ['here again'])
})

t.test('an idle channel costs nothing: it is not woken without cause', async t => {
  const { channel } = await opened(t)
  channel.flush()
  const { user, system } = process.cpuUsage()
  await delay(300)
  const spent = process.cpuUsage({ user, system })
  t.ok(spent.user + spent.system < 150_000, `${spent.user + spent.system} µs of CPU in 300 ms`)
})

t.test(
  'a full socket: timers and other sockets live while a slow listener works it off',
  async t => {
    let count = 0
    let longest = 0
    let since = 0
    const busy = await opened(t, {
      received() {
        count += 1
        since += 1
        longest = Math.max(longest, since)
        const until = performance.now() + 0.5
        while (performance.now() < until);
        return true
      },
    })
    const sender = await farEnd(t)
    // What the system has room for; each is a message of its own.
    for (let index = 0; index < 200; index += 1)
      await delivered(sender, Buffer.from(`${index}`.repeat((index % 7) + 1)), busy.port)
    busy.channel.flush()
    const before = count
    const timer = setInterval(() => {
      since = 0
    }, 1)
    await until('all are dealt with', () => count >= before + 100 || count === 200)
    clearInterval(timer)
    t.ok(longest <= 32, `at most ${longest} between two turns of a timer, as plain sockets have it`)
  },
)

t.test('the system refuses: start() throws, and the socket is as it was', async t => {
  const adoptedSocket = await adopted(t)
  const channel = new BatchChannel(-1, 4, {
    received: () => true,
    failed: () => {},
    drained: () => {},
  })
  t.throws(() => channel.start(), { code: 'EBADF' })
  channel.close()
  adoptedSocket.socket.close()
})

t.test('what waits is cancelled by close(), and what can leave leaves', async t => {
  const to = await opened(t)
  const from = await opened(t)
  const outcomes: (Error | null)[] = []
  from.channel.send(Buffer.from('last words'), LOOPBACK, to.port, error => outcomes.push(error))
  from.channel.close()
  from.socket.close()
  t.same(outcomes, [], 'no callback inside of close()')
  await until('they have come', () => to.received.length > 0)
  t.same(outcomes, [null])
  const after = new Promise<Error | null>(resolve => {
    from.channel.send(Buffer.from('too late'), LOOPBACK, to.port, resolve)
  })
  t.match(await after, { code: 'ECANCELED' })
})

t.test('a channel that is not to keep the process alive does not', async t => {
  const program = await inOneFile(t, new URL('unref-program.ts', import.meta.url))
  const ended = launch(t, process.execPath, [program, 'unref'])
  t.same(await ended.ended(), { code: 0, signal: null }, ended.output)
  t.match(ended.output, /unref/)
  const living = launch(t, process.execPath, [program, 'ref'])
  await living.said(/ref/)
  t.match(await failure(living.ended(1000)), { message: /did not end/ })
})

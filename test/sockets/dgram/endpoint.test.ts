/**
 * What the socket does around its endpoint, whatever that is: the clock, the life of the process, the
 * order of closing. The endpoint here is made up, and stands in for IPsec's.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { setIpsecDatagramProvider } from '../../../src/providers/select.js'
import type { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { event, failure } from '../../support/events.js'
import { datagramSocket, inbox, LOOPBACK, sent } from '../../support/secured-datagrams.js'
import { bound } from '../../support/udp-tap.js'
import { until } from '../../support/until.js'
import { type FakeEndpoint, fakeProvider, fakes } from './fake-endpoint.js'

const security = { protocol: 'ipsec' } as const

setIpsecDatagramProvider(fakeProvider)
t.teardown(() => setIpsecDatagramProvider(null))

/** The endpoint is made by the first use of the socket. */
async function boundTo(socket: SecureDgramSocket): Promise<[fake: FakeEndpoint, port: number]> {
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  return [fakes.at(-1) as FakeEndpoint, socket.address().port]
}

t.test('a datagram, a deadline or a message: each way through the socket', async t => {
  const [server, client] = [datagramSocket(t, { security }), datagramSocket(t, { security })]
  const heard = inbox(server)
  const [fake, port] = await boundTo(server)
  t.equal(fake.acceptsStrangers, true)
  t.equal(await sent(client, 'through', port), 7)
  const { text, rinfo } = await heard.next()
  t.equal(text, 'through')
  t.same(rinfo.peer, { names: ['fake.example'] })
  const other = fakes.at(-1) as FakeEndpoint
  t.equal(other.acceptsStrangers, false, 'nobody has bound it')
  t.same(other.hosts, [LOOPBACK])
})

t.test('tick() comes at the deadline, and at once for one that is over', async t => {
  const socket = datagramSocket(t, { security })
  const [fake, port] = await boundTo(socket)
  const { clock } = fake.request
  let ticked!: (at: number) => void
  const tick = () => new Promise<number>(resolve => (ticked = resolve))
  fake.onTick = () => {
    fake.deadline = Number.POSITIVE_INFINITY
    ticked(clock.now())
  }
  for (const milliseconds of [30, 0, -1000]) {
    const at = clock.now() + milliseconds
    fake.deadline = at
    const ticking = tick()
    // Whatever happens at the endpoint, it is asked for its deadline afterwards.
    const peer = await bound()
    peer.send('x', port, LOOPBACK)
    t.ok((await ticking) >= at, `${milliseconds} ms`)
    peer.close()
  }
  const { ticks } = fake
  await delay(20)
  t.equal(fake.ticks, ticks, 'and not again')
})

t.test('an earlier deadline brings the alarm forward', async t => {
  const socket = datagramSocket(t, { security })
  const [fake, port] = await boundTo(socket)
  const peer = await bound()
  t.teardown(() => peer.close())
  const ticked = new Promise<void>(resolve => {
    fake.onTick = () => {
      fake.deadline = Number.POSITIVE_INFINITY
      resolve()
    }
  })
  for (const [i, milliseconds] of [3_600_000, 10].entries()) {
    fake.deadline = fake.request.clock.now() + milliseconds
    peer.send('x', port, LOOPBACK)
    await until('it was received', () => fake.received === i + 1)
  }
  await ticked
  t.equal(fake.ticks, 1)
})

t.test('what waits keeps the process alive, lifetimes do not', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(each => each === 'Timeout').length
  const silent = await bound()
  t.teardown(() => silent.close())
  const { port } = silent.address()
  const socket = datagramSocket(t, { security })
  const [fake] = await boundTo(socket)
  const before = timers()
  fake.deadline = fake.request.clock.now() + 60_000
  const waiting = failure(sent(socket, 'waits', port))
  t.equal(timers(), before + 1, 'a datagram waits')
  socket.closePeer({ address: LOOPBACK, port })
  t.match(await waiting, { code: 'ECANCELED' })
  t.equal(timers(), before, 'nothing waits')
  const securing = failure(socket.secure({ address: LOOPBACK, port }))
  await event(silent, 'message')
  await until('secure() waits', () => timers() === before + 1)
  socket.closePeer({ address: LOOPBACK, port })
  await securing
})

t.test(
  'a failure is told to the callback and by peerError, in the context of the send',
  async t => {
    const silent = await bound()
    t.teardown(() => silent.close())
    const { port } = silent.address()
    const socket = datagramSocket(t, { security })
    const [fake] = await boundTo(socket)
    const storage = new AsyncLocalStorage<string>()
    const told = storage.run(
      'mine',
      () =>
        new Promise<unknown[]>(resolve =>
          socket.send('x', port, LOOPBACK, (error, bytes) =>
            resolve([error, bytes, storage.getStore()]),
          ),
        ),
    )
    const peerError = event(socket, 'peerError')
    fake.fail(LOOPBACK, port, new Error('not the one'))
    t.match(await told, [{ message: 'not the one' }, undefined, 'mine'])
    t.match(await peerError, [{ message: 'not the one' }, { address: LOOPBACK, port }])
  },
)

t.test('names that come before there is an endpoint are given to it', async t => {
  const socket = datagramSocket(t, { security })
  const address = '10.0.0.5'
  await socket.setPeerTargetName({ address, targetName: 'host/any.example' })
  await socket.setPeerTargetName({ address, port: 5000, targetName: 'host/a.example' })
  await socket.setPeerTargetName({ address, port: 5001, targetName: 'host/b.example' })
  await socket.deletePeerTargetName({ address: '::ffff:10.0.0.5', port: 5001 })
  const [fake] = await boundTo(socket)
  t.same(fake.names, [
    { address, port: 0, name: 'host/any.example' },
    { address, port: 5000, name: 'host/a.example' },
  ])
  await socket.deletePeerTargetName({ address, port: 5000 })
  t.equal(fake.names.length, 1)
})

t.test('close(): what waits first, then the endpoint, then the socket', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const [, port] = await boundTo(server)
  const client = datagramSocket(t, { security })
  const [fake] = await boundTo(client)
  const left = sent(client, 'last', port)
  const closed = once(client, 'close')
  client.close()
  t.equal(fake.closed, false, 'it waits')
  t.equal(await left, 4)
  await closed
  t.equal(fake.closed, true)
  t.equal((await heard.next()).text, 'last')
  await until('the farewell has come', () => server.peers().length === 0)
})

t.test(
  'an ICMP error is for the endpoint to count; another error of the system is the application’s',
  async t => {
    const server = datagramSocket(t, { security })
    const [, port] = await boundTo(server)
    const client = datagramSocket(t, { security })
    client.connect(port, LOOPBACK)
    await event(client, 'connect')
    const fake = fakes.at(-1) as FakeEndpoint
    const error = (code: string) =>
      Object.assign(new Error(`recvmsg ${code}`), { code, syscall: 'recvmsg' })
    // All that Linux makes of ICMP and ICMPv6 (icmp_err_convert, icmpv6_err_convert).
    const codes = [
      'EACCES',
      'ECONNREFUSED',
      'EHOSTDOWN',
      'EHOSTUNREACH',
      'EMSGSIZE',
      'ENETUNREACH',
      'ENONET',
      'ENOPROTOOPT',
      'EOPNOTSUPP',
      'EPROTO',
    ]
    for (const code of codes) client.emit('error', error(code))
    t.equal(fake.failed.length, codes.length)
    const told = once(client, 'error')
    client.emit('error', error('EIO'))
    t.match(await told, [{ code: 'EIO' }])
    server.emit('error', error('ECONNREFUSED'))
    t.equal(server.stats.dropped.icmp, 1, 'nobody else to count it')
  },
)

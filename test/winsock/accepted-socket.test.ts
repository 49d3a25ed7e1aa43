/** The SOCKET of an accepted connection: the right one of many, or an error; never somebody else's. */
import net, { type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { loadKoffi } from '../../lib/koffi.js'
import { getsockname } from '../../lib/winsock.js'
import { findAcceptedSocket } from '../../src/providers/winsock/accepted-socket.js'
import { event } from '../support/events.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'

const skip = noDouble

/** Both ends of a connection are in this process, so each has a sibling with its addresses the other way round. */
async function connected(t: Test, port: number, host: string, server: net.Server) {
  const arrival = event(server, 'connection')
  const client = net.connect({ port, host, autoSelectFamily: false })
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  await event(client, 'connect')
  const [accepted] = (await arrival) as [Socket]
  accepted.on('error', () => {})
  t.teardown(() => accepted.destroy())
  return { client, accepted }
}

async function listening(t: Test, host: string) {
  const server = net.createServer().listen(0, host)
  await event(server, 'listening')
  t.teardown(() => new Promise<void>(resolve => void server.close(() => resolve())))
  return { server, port: (server.address() as net.AddressInfo).port }
}

/** Sends a byte past Node: only the peer of that very SOCKET hears it. */
function sendRaw(socket: number, text: string): void {
  const send = loadKoffi()
    .load('C:\\windows\\system32\\ws2_32.dll')
    .func('int __stdcall send(intptr_t socket, const void *data, int length, int flags)')
  if (send(socket, Buffer.from(text), text.length, 0) !== text.length) throw new Error('send')
}

t.test('each accepted connection has its own, and both ends theirs', { skip }, async t => {
  for (const [listen, host] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    // A dual-stack listener: its IPv4 connections have IPv6 addresses.
    ['::', '127.0.0.1'],
  ] as const) {
    const { server, port } = await listening(t, listen)
    const pairs = []
    for (let i = 0; i < 10; i++) pairs.push(await connected(t, port, host, server))
    const all = pairs.flatMap(pair => [pair.accepted, pair.client]).map(findAcceptedSocket)
    t.equal(new Set(all.map(each => each.socket)).size, 20, `${listen}: 20 ends, 20 SOCKETs`)
    for (const [i, { client, accepted }] of pairs.entries()) {
      sendRaw(findAcceptedSocket(accepted).socket, `server ${i}`)
      sendRaw(findAcceptedSocket(client).socket, `client ${i}`)
      t.equal(String((await event(client, 'data'))[0]), `server ${i}`)
      t.equal(String((await event(accepted, 'data'))[0]), `client ${i}`)
    }
  }
})

t.test(
  'it is alive until Node closes its handle, and its number means nothing then',
  { skip },
  async t => {
    const { server, port } = await listening(t, '127.0.0.1')
    const { accepted } = await connected(t, port, '127.0.0.1', server)
    const { socket, alive } = findAcceptedSocket(accepted)
    t.equal(alive(), true)
    t.equal(getsockname(socket, Buffer.alloc(128)), 0)
    accepted.destroy()
    t.equal(alive(), false, 'at once, not only at "close"')
    t.throws(() => findAcceptedSocket(accepted), { code: 'ENOTCONN' })
    await event(accepted, 'close')
    t.equal(alive(), false)
    t.throws(() => findAcceptedSocket(accepted), { code: 'ENOTCONN' })
  },
)

t.test(
  'a connection that the peer has reset is found or refused, never another',
  { skip },
  async t => {
    const { server, port } = await listening(t, '127.0.0.1')
    const others = await connected(t, port, '127.0.0.1', server)
    const { client, accepted } = await connected(t, port, '127.0.0.1', server)
    const before = findAcceptedSocket(accepted).socket
    const reset = event(accepted, 'error')
    client.resetAndDestroy()
    await reset
    try {
      t.equal(findAcceptedSocket(accepted).socket, before)
    } catch (error) {
      t.match(error, { code: /^(ENOTCONN|EPROTO)$/ })
    }
    t.not(findAcceptedSocket(others.accepted).socket, before)
  },
)

// uv_walk shows handles that are being closed, too.
t.test('handles that are being closed do not disturb it', { skip }, async t => {
  const { server, port } = await listening(t, '127.0.0.1')
  const pairs = []
  for (let i = 0; i < 20; i++) pairs.push(await connected(t, port, '127.0.0.1', server))
  const last = pairs.pop()
  const before = last && findAcceptedSocket(last.accepted).socket
  for (const { client, accepted } of pairs) {
    client.destroy()
    accepted.destroy()
  }
  t.equal(last && findAcceptedSocket(last.accepted).socket, before)
})

t.test('what is no connection of this thread is refused', { skip }, async t => {
  t.throws(() => findAcceptedSocket(new net.Socket()), { code: 'ENOTCONN' })
  const ends = {
    localAddress: '127.0.0.1',
    localPort: 1,
    remoteAddress: '127.0.0.1',
    remotePort: 2,
  }
  t.throws(() => findAcceptedSocket({ ...ends, _handle: {} } as unknown as Socket), {
    code: 'EPROTO',
    message: /no handle with its addresses/,
    peer: '127.0.0.1:2',
  })
})

t.test('looking costs no handle of the system, and little time', { skip }, async t => {
  const { server, port } = await listening(t, '127.0.0.1')
  const pairs = []
  for (let i = 0; i < 50; i++) pairs.push(await connected(t, port, '127.0.0.1', server))
  const before = winsockDouble().handles()
  const start = performance.now()
  for (const { accepted } of pairs) findAcceptedSocket(accepted)
  t.comment(`among 100 handles: ${((performance.now() - start) / pairs.length).toFixed(2)} ms`)
  t.equal(winsockDouble().handles(), before)
})

// Each thread has a loop of its own; what is asked in one must not be answered by another.
t.test('a worker thread finds its own, and none of the others', { skip }, async t => {
  const { server, port } = await listening(t, '127.0.0.1')
  const { accepted, client } = await connected(t, port, '127.0.0.1', server)
  const ends = ({ localAddress, localPort, remoteAddress, remotePort }: Socket) => ({
    localAddress,
    localPort,
    remoteAddress,
    remotePort,
  })
  const worker = new Worker(new URL('accepted-worker.ts', import.meta.url), {
    workerData: ends(accepted),
  })
  const [answer] = await event(worker, 'message')
  t.match(answer, { own: 10, foreign: 'EPROTO' })
  t.ok(findAcceptedSocket(accepted).socket !== findAcceptedSocket(client).socket)
  // Ended in the middle of its work, it takes nothing with it.
  await worker.terminate()
  t.ok(findAcceptedSocket(accepted).alive())
})

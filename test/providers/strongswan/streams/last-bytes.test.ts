/**
 * What a socket has not sent when its handle closes: it still arrives, or it can be thrown away. A
 * descriptor of ours must change nothing else: the peer sees the same end, and nothing stays open.
 */
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { readTcpTable } from '../../../../src/providers/strongswan/host/tcp-table.js'
import { keepLastBytes } from '../../../../src/providers/strongswan/streams/last-bytes.js'
import { closed } from '../../../support/events.js'
import { until } from '../../../support/until.js'

const skip = process.platform !== 'linux' && 'for Linux'
/** More than the buffers of both ends hold. */
const much = Buffer.alloc(16 * 1024 * 1024, 1)

/** A client, and what the server has accepted of it, which reads nothing yet. */
async function pair(t: Test): Promise<{ client: Socket; accepted: Socket; descriptor: number }> {
  const server = createServer({ pauseOnConnect: true })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => accepted.destroy())
  await once(client, 'connect')
  const { fd } = (client as unknown as { _handle: { fd: number } })._handle
  return { client, accepted, descriptor: fd }
}

function end(socket: Socket): Promise<{ bytes: number; how: string }> {
  return new Promise(resolve => {
    let bytes = 0
    socket.on('data', data => {
      bytes += data.length
    })
    socket.on('end', () => resolve({ bytes, how: 'end' }))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ bytes, how: String(error.code) }),
    )
    socket.resume()
  })
}

function tupleOf({ localPort = 0, remotePort = 0 }: Socket) {
  return { localAddress: '127.0.0.1', localPort, remoteAddress: '127.0.0.1', remotePort }
}

function openSockets(): number {
  return readdirSync('/proc/self/fd').length
}

t.test('nothing is kept of a socket that has sent all', { skip }, async t => {
  const { client, accepted, descriptor } = await pair(t)
  client.write('hello')
  accepted.resume()
  await once(accepted, 'data')
  t.equal(keepLastBytes(descriptor), undefined)
  client.destroy()
})

t.test('what was written before the end arrives, and then an end', { skip }, async t => {
  const { client, accepted, descriptor } = await pair(t)
  const tuple = tupleOf(client)
  client.write(much)
  await until('the buffers are full', () => client.writableLength > 0)
  const before = openSockets()
  const kept = keepLastBytes(descriptor)
  t.ok(kept)
  client.destroy()
  await setImmediate()
  t.equal((await readTcpTable()).connection(tuple), 'busy', 'the kernel goes on sending')
  const { bytes, how } = await end(accepted)
  t.equal(how, 'end')
  t.ok(bytes > 0, `${bytes} bytes`)
  await until('it is let go', () => {
    kept?.look()
    return openSockets() < before
  })
})

t.test('what is abandoned is thrown away, and the connection is reset', { skip }, async t => {
  const { client, accepted, descriptor } = await pair(t)
  const tuple = tupleOf(client)
  client.write(much)
  await until('the buffers are full', () => client.writableLength > 0)
  const before = openSockets()
  const kept = keepLastBytes(descriptor)
  client.destroy()
  kept?.abandon()
  kept?.abandon()
  kept?.look()
  t.equal((await readTcpTable()).connection(tuple), 'gone', 'the kernel has nothing to send')
  t.ok(openSockets() < before, 'nothing is left open')
  accepted.resume()
  await closed(accepted)
})

t.test('a reset stays a reset', { skip }, async t => {
  const { client, descriptor } = await pair(t)
  const tuple = tupleOf(client)
  client.write(much)
  await until('the buffers are full', () => client.writableLength > 0)
  const kept = keepLastBytes(descriptor)
  t.ok(kept)
  client.resetAndDestroy()
  await until('the kernel has nothing to send', async () => {
    return (await readTcpTable()).connection(tuple) === 'gone'
  })
})

/**
 * Strangers that connect by the hundred and say nothing, or stop at some byte of their first message: each is given
 * up after `handshakeTimeout`, nothing is left of it, and meanwhile others are served, those who are there and
 * those who come. That one that goes on slowly is given up too is in test/hostile/streams/slow-handshakes.test.ts.
 */
import net from 'node:net'
import { setTimeout } from 'node:timers/promises'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { connections } from '../../support/connections.js'
import { closed, event } from '../../support/events.js'
import { clientIdentity, listening, serverIdentity, trust } from '../../support/secured.js'
import { until } from '../../support/until.js'
import { isAll } from '../extent.js'

const HOST = '127.0.0.1'
const count = isAll ? 3000 : 120
const handshakeTimeout = isAll ? 20_000 : 3000
const PATIENCE = 100_000
const client = await clientIdentity()

t.test('half-open connections keep nobody out, and nothing is left of them', async t => {
  const security = { ...(await serverIdentity()), ...(await trust()), handshakeTimeout }
  const echo = (socket: SecureSocket) => socket.on('error', () => {}).pipe(socket)
  const { server, port, refused } = await listening(t, { security }, echo)
  const old = createConnection({ port, host: HOST, security: client })
  t.teardown(() => old.destroy())
  await isEchoed(old)

  const hello = await clientHello(t)
  // Not a byte, a part of a header, a header, a part of the message, all of it; and a record that never ends.
  const beginnings = [0, 1, 4, 5, 100, hello.length].map(bytes => hello.subarray(0, bytes))
  beginnings.push(Buffer.from('1603014000', 'hex'))
  const strangers: net.Socket[] = []
  while (strangers.length < count) {
    const socket = net.connect(port, HOST)
    socket.write(beginnings[strangers.length % beginnings.length] as Buffer)
    t.teardown(() => socket.destroy())
    strangers.push(socket.on('error', () => {}).resume())
    // Of more at once than the system keeps in its queue, some would not come whatever the server does.
    if (strangers.length % 200 === 0 || strangers.length === count)
      await until(
        'all have come',
        async () => (await connections(server)) === strangers.length + 1,
        PATIENCE,
      )
  }
  const over = Promise.all(strangers.map(socket => new Promise(end => socket.once('close', end))))
  let echoes = 0
  while (refused.length === 0 || echoes < 3) {
    const one = createConnection({ port, host: HOST, security: client })
    const foreign = tls.connect({
      ...(client as object),
      port,
      host: HOST,
      servername: 'localhost',
    })
    await Promise.all([old, one, foreign].map(isEchoed))
    for (const each of [one, foreign]) {
      each.end()
      await closed(each)
    }
    echoes += 3
    await setTimeout(50)
  }
  await until('all are given up', () => refused.length === count, PATIENCE)
  for (const { code } of refused)
    if (code !== 'ERR_TLS_HANDSHAKE_TIMEOUT') t.fail(`one ended with ${code}`)
  await over
  await isEchoed(old)
  await until('one is left', async () => (await connections(server)) === 1, PATIENCE)
  t.equal(refused.length, count, `and ${echoes} were served meanwhile`)
})

async function isEchoed(socket: net.Socket): Promise<void> {
  socket.write('is it?')
  await event(socket, 'data', PATIENCE)
}

/** What a client of node:tls says first. */
async function clientHello(t: Test): Promise<Buffer> {
  const server = net.createServer()
  t.teardown(() => server.close())
  server.listen(0, HOST)
  await event(server, 'listening')
  const client = tls.connect((server.address() as net.AddressInfo).port, HOST)
  client.on('error', () => {})
  const [socket] = (await event(server, 'connection')) as [net.Socket]
  const [hello] = await event(socket, 'data')
  for (const each of [socket, client]) each.destroy()
  server.close()
  return hello as Buffer
}

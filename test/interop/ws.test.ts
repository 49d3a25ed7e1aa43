/** ws, unmodified: its server on a node:http server fed by a SecureServer, its client by `createConnection`. */
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type ClientOptions, createWebSocketStream, WebSocket, WebSocketServer } from 'ws'
import { createConnection, createServer } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { clientIdentity } from '../support/secured.js'
import { wireTap } from '../support/wire-tap.js'

const server = await testIdentity()
const client = await clientIdentity()

// With wss: ws goes through node:https, with ws: through node:http; the socket is ours in both.
for (const scheme of ['ws', 'wss']) {
  t.test(`messages of any kind and size both ways, ${scheme}:`, async t => {
    const { port } = await echoing(t)
    const tap = await wireTap(port)
    t.teardown(() => tap.close())
    const socket = connect(t, `${scheme}://127.0.0.1:${tap.port}/chat`)
    await event(socket, 'open')
    const big = randomBytes(3_000_000)
    for (const message of ['a text', Buffer.from('some bytes'), '', big]) {
      socket.send(message)
      const [data, isBinary] = (await event(socket, 'message')) as [Buffer, boolean]
      t.ok(data.equals(Buffer.from(message as string)), `${message.length} bytes`)
      t.equal(isBinary, typeof message !== 'string')
    }
    const pong = event(socket, 'pong')
    socket.ping('are you there?')
    t.equal(String((await pong)[0]), 'are you there?')

    socket.close(4001, 'enough')
    const [code, reason] = (await event(socket, 'close')) as [number, Buffer]
    t.same([code, String(reason)], [4001, 'enough'])
    t.notOk(tap.toServer().includes('/chat'), 'not even the request is on the wire')
  })
}

t.test('the server knows who it talks to', async t => {
  const { port, first } = await echoing(t)
  const [, connected] = await Promise.all([
    event(connect(t, `ws://127.0.0.1:${port}`), 'open'),
    first,
  ])
  t.equal(connected.encrypted, true)
  t.same((await connected.querySecurity()).peer?.names, ['client.example'])
})

t.test('compressed messages', async t => {
  const { port } = await echoing(t)
  const socket = connect(t, `ws://127.0.0.1:${port}`, { perMessageDeflate: true })
  await event(socket, 'open')
  t.match(socket.extensions, /permessage-deflate/)
  const text = 'again and '.repeat(100_000)
  socket.send(text)
  const [data] = await event(socket, 'message')
  t.equal(String(data), text)
})

t.test('as a stream, with backpressure', async t => {
  const { port } = await echoing(t)
  const socket = connect(t, `ws://127.0.0.1:${port}`)
  const stream = createWebSocketStream(socket)
  stream.on('error', () => {})
  const sent = randomBytes(2_000_000)
  const heard: Buffer[] = []
  let length = 0
  stream.end(sent)
  for await (const chunk of stream) {
    heard.push(chunk)
    length += chunk.length
    if (length === sent.length) break
  }
  t.ok(Buffer.concat(heard).equals(sent))
})

t.test('an end without a closing handshake is noticed at the other end', async t => {
  const { port, first } = await echoing(t)
  const socket = connect(t, `ws://127.0.0.1:${port}`)
  await event(socket, 'open')
  ;(await first).destroy()
  const [code] = await event(socket, 'close')
  t.equal(code, 1006)
})

t.test('a server with another name gets no request', async t => {
  const { port } = await echoing(t)
  const socket = connect(t, `ws://127.0.0.1:${port}`, {}, 'other.example')
  t.match(await failure(event(socket, 'open')), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
})

/** What an application writes to use ws with this library. */
function connect(
  t: Test,
  url: string,
  options: ClientOptions = {},
  peerTargetName = '127.0.0.1',
): WebSocket {
  const { port } = new URL(url)
  const socket = new WebSocket(url, {
    ...options,
    createConnection: () =>
      createConnection({ port: Number(port), host: '127.0.0.1', peerTargetName, security: client }),
  })
  t.teardown(() => socket.terminate())
  return socket
}

async function echoing(t: Test) {
  const httpServer = http.createServer()
  const webSockets = new WebSocketServer({ server: httpServer, perMessageDeflate: true })
  webSockets.on('connection', socket => {
    socket.on('error', () => {})
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  const listens = createServer({ security: { ...server, requestCert: true } }, socket => {
    httpServer.emit('connection', socket)
  })
  const first = new Promise<SecureSocket>(resolve => listens.once('connection', resolve))
  listens.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of webSockets.clients) socket.terminate()
    listens.close()
  })
  await event(listens, 'listening')
  return { port: (listens.address() as AddressInfo).port, first }
}

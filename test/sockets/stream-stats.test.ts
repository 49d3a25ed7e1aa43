/** The counters of streams and of their servers. */
import net from 'node:net'
import t from 'tap'
import { createConnection, type Socket } from '../../src/net.js'
import { closed, event, text } from '../support/events.js'
import { clientIdentity, listening, trust } from '../support/secured.js'
import { until } from '../support/until.js'

t.test('a stream counts the bytes of the application, and not those that secure them', async t => {
  const { port, server } = await listening(t, {}, socket => socket.end('0123456789'))
  const accepted = event(server, 'connection') as Promise<[Socket]>
  const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
  t.same(socket.stats, { bytesSent: 0, bytesReceived: 0 })
  socket.end('hello')
  const [theirs] = await accepted
  t.equal(await text(socket), '0123456789')
  await closed(socket)
  const { connectedAfter, ...bytes } = socket.stats
  t.same(bytes, { bytesSent: 5, bytesReceived: 10 }, 'after its end, too')
  t.ok((connectedAfter ?? 0) > 0)
  theirs.resume()
  await closed(theirs)
  t.same(theirs.stats, { bytesSent: 10, bytesReceived: 5 })
})

t.test(
  'with the byte that says that the server accepts us, which is no byte of the application',
  async t => {
    const { ca, ...ours } = (await clientIdentity()) as { ca: string }
    const { port } = await listening(t, { security: { ca, requestCert: true } }, socket =>
      socket.end('abc'),
    )
    const socket = createConnection({ port, host: '127.0.0.1', security: { ca, ...ours } })
    t.equal(await text(socket), 'abc')
    t.match(socket.stats, { bytesSent: 0, bytesReceived: 3 })
  },
)

t.test(
  'a server counts handshakes: complete, resumed, failed, under way, and what is in clear',
  async t => {
    const { port, server } = await listening(t, {}, socket => socket.end('x'))
    const none = { handshakes: 0, handshakesResumed: 0, handshakesFailed: 0, insecure: 0 }
    t.same(server.stats, { ...none, handshaking: 0, connections: 0 })
    const security = await trust()
    const peerTargetName = 'host/localhost'
    for (const turn of [1, 2]) {
      const socket = createConnection({ port, host: '127.0.0.1', peerTargetName, security })
      t.equal(await text(socket), 'x')
      await closed(socket)
      t.match(server.stats, { handshakes: turn, handshakesResumed: turn - 1 })
    }
    const silent = net.connect(port, '127.0.0.1')
    await until('its handshake is awaited', () => server.stats.handshaking === 1)
    t.equal(server.stats.connections, 1)
    silent.end('this is no TLS')
    silent.on('error', () => {}).resume()
    await until('it has failed', () => server.stats.handshaking === 0)
    await until('it is gone', () => server.stats.connections === 0)
    t.same(server.stats, {
      handshakes: 2,
      handshakesResumed: 1,
      handshakesFailed: 1,
      insecure: 0,
      handshaking: 0,
      connections: 0,
    })
  },
)

t.test('however a handshake ends, it is under way no more', async t => {
  for (const security of [{}, { requestCert: true, ca: (await trust()).ca }]) {
    const { port, server } = await listening(t, {
      security: { ...security, handshakeTimeout: 300 },
    })
    const ways: ((socket: net.Socket) => unknown)[] = [
      socket => socket.end(),
      socket => socket.destroy(),
      socket => socket.resetAndDestroy(),
      socket => socket.write(Buffer.from([22, 3, 1])),
      () => {},
      socket => socket.end('GET / HTTP/1.1\r\n\r\n'),
    ]
    for (const way of ways) {
      const socket = net.connect(port, '127.0.0.1', () => way(socket))
      socket.on('error', () => {}).resume()
    }
    const name = `${Object.keys(security)}`
    await until(`all have failed ${name}`, () => server.stats.handshakesFailed === ways.length)
    t.match(server.stats, { handshakes: 0, handshaking: 0 }, name)
  }
})

t.test('allowInsecure: what it has let in', async t => {
  const security = { guaranteeEncryption: false, allowInsecure: true }
  const { port, server } = await listening(t, { security }, socket => socket.end('x'))
  const clear = net.connect(port, '127.0.0.1', () => clear.write('hello'))
  await closed(clear.resume())
  t.match(server.stats, { handshakes: 0, insecure: 1, handshaking: 0 })
})

t.test('a program may keep something of its own under the name', async t => {
  const { server } = await listening(t, {})
  const socket = createConnection({ port: 1, host: '127.0.0.1', security: await trust() })
  socket.on('error', () => {})
  for (const each of [socket, server] as { stats: unknown }[]) {
    each.stats = { mine: 1 }
    t.same(each.stats, { mine: 1 })
  }
})

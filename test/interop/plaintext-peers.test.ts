/**
 * Peers that speak no TLS. Whatever they say, and however long they are silent: the connection
 * fails, says why, and somebody on the wire has seen nothing of what the application wrote.
 */
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { createConnection } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { launch } from '../support/program.js'
import { clientIdentity, type Listening, listening } from '../support/secured.js'
import { until } from '../support/until.js'
import { type WireTap, wireTap } from '../support/wire-tap.js'
import { ownDirectory } from './files.js'

const secret = 'PASS correct horse battery staple'
const security = { ...(await clientIdentity()), handshakeTimeout: 500 }
const notTls = { code: /^ERR_SSL_/, message: /the peer does not speak TLS/ }

const servers: Record<string, { talk: (socket: Socket) => void; error: object }> = {
  'speaks first, as SMTP does': {
    talk: socket => socket.write('220 mail.example ESMTP ready\r\n'),
    error: notTls,
  },
  'answers in text, as a web server does': {
    talk: socket => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    error: notTls,
  },
  'says one byte': {
    talk: socket => socket.write('*'),
    error: { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message: /within 500 ms/ },
  },
  'is silent': {
    talk: () => {},
    error: { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message: /may speak no TLS/ },
  },
  // Its mirror image must not make us believe that somebody is there.
  'echoes what we send': {
    talk: socket => socket.pipe(socket),
    error: { code: /^ERR_SSL_/ },
  },
  'ends at once': {
    talk: socket => socket.end(),
    error: { code: 'ECONNRESET' },
  },
  'ends after the ClientHello': {
    talk: socket => socket.once('data', () => socket.end()),
    error: { code: 'ECONNRESET' },
  },
  'resets the connection': {
    talk: socket => socket.once('data', () => socket.resetAndDestroy()),
    error: { code: 'ECONNRESET' },
  },
}

for (const [what, { talk, error: expected }] of Object.entries(servers)) {
  t.test(`a server that ${what}`, async t => {
    const server = net.createServer(socket => talk(socket.on('error', () => {})))
    const tap = await tapped(t, await listen(t, server))
    const { socket, error } = await attempt(t, tap.port)
    t.match(error, expected)
    t.equal((await failure(socket.secured)).message, error.message)
    nothingSeen(t, tap)
  })
}

t.test('a real web server', async t => {
  const requests: unknown[] = []
  const tap = await tapped(
    t,
    await listen(
      t,
      http.createServer(request => requests.push(request)),
    ),
  )
  const { error } = await attempt(t, tap.port)
  t.match(error, notTls)
  t.same(requests, [])
  nothingSeen(t, tap)
})

t.test('a real redis-server', async t => {
  const path = requireProgram(t, 'redis-server')
  if (!path) return
  const port = await freePort()
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--dir',
    ownDirectory(t),
  ]
  await launch(t, path, settings).said(/Ready to accept connections/)
  const tap = await tapped(t, port)
  const { error } = await attempt(t, tap.port)
  // It waits for the end of a line that TLS never sends, or says -ERR.
  t.match(error, { code: /^ERR_(SSL_|TLS_HANDSHAKE_TIMEOUT)/ })
  nothingSeen(t, tap)
})

const clients: Record<string, { talk: (socket: Socket) => void; error: object }> = {
  'asks for a web page': {
    talk: socket => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    error: { code: 'ERR_SSL_HTTP_REQUEST', message: /plain HTTP request/ },
  },
  'says PING': {
    talk: socket => socket.write('PING\r\n'),
    error: notTls,
  },
  'sends a byte at a time': {
    talk: socket => {
      socket.setNoDelay()
      for (const character of 'USER guest\r\n') socket.write(character)
    },
    error: notTls,
  },
  'is silent': {
    talk: () => {},
    error: { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' },
  },
  'begins a handshake and stops': {
    // The header of a record with a ClientHello, and nothing of it.
    talk: socket => socket.write(Buffer.from('1603010200', 'hex')),
    error: { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' },
  },
  'ends at once': {
    talk: socket => socket.end(),
    error: { code: 'ECONNRESET' },
  },
  'resets the connection': {
    talk: socket => socket.resetAndDestroy(),
    error: { code: 'ECONNRESET' },
  },
}

for (const requestCert of [false, true]) {
  const asking = requestCert ? ', asked for a certificate' : ''
  for (const [what, { talk, error }] of Object.entries(clients)) {
    t.test(`a client that ${what}${asking}`, async t => {
      const listener = (socket: SecureSocket) => socket.write(secret)
      const { ca, handshakeTimeout } = security
      const secured = { handshakeTimeout, ...(requestCert ? { ca, requestCert } : {}) }
      const { server, port, refused } = await listening(t, { security: secured }, listener)
      server.on('connection', () => t.fail('it was let in'))
      const tap = await tapped(t, port)
      const client = net.connect(tap.port, '127.0.0.1')
      client.on('error', () => {})
      const closed = once(client, 'close').catch(() => {})
      const over = event(server, 'tlsClientError')
      client.on('connect', () => talk(client)).resume()
      await over
      await closed
      t.match(refused, [error])
      t.notOk(tap.toClient().includes(secret), 'nothing that the application would have said')
      t.ok(tap.toClient().length <= 7, 'at most an alert')
      await noConnections(server)
    })
  }
}

/** Connects and writes at once; gives the error that it must end with. */
async function attempt(t: Test, port: number) {
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.teardown(() => socket.destroy())
  socket.on('connect', () => t.fail('it connected'))
  socket.on('data', () => t.fail('it gave data'))
  socket.write(secret)
  socket.end(secret)
  const closed = once(socket, 'close').catch(() => {})
  const [error] = await event(socket, 'error')
  await closed
  return { socket, error: error as Error & { code?: string } }
}

/** The ClientHello is all that has left us, and perhaps an alert. */
function nothingSeen(t: Test, tap: WireTap): void {
  const seen = tap.toServer()
  t.notOk(seen.includes(secret), 'nothing of what was written')
  t.notOk(seen.includes('horse'), 'no part of it either')
  if (seen.length === 0) return
  t.equal(seen[0], 22, 'a handshake record')
  const rest = seen.subarray(5 + seen.readUInt16BE(3))
  t.ok(rest.length === 0 || (rest[0] === 21 && rest.length === 7), 'and at most an alert')
}

async function tapped(t: Test, port: number): Promise<WireTap> {
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  return tap
}

async function listen(t: Test, server: Server): Promise<number> {
  const open = new Set<Socket>()
  server.on('connection', socket => open.add(socket))
  server.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  await event(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await event(server, 'close')
  return port
}

async function noConnections(server: Listening['server']): Promise<void> {
  let count = -1
  const look = () => server.getConnections((_error, connections) => (count = connections))
  await until('the server holds no connection', () => {
    look()
    return count === 0
  })
}

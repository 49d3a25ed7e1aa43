/**
 * node:http as it is, over secured sockets: the server fed by a SecureServer, the client through
 * `createConnection` and through an Agent. What looks at the socket to see whether a request is
 * secure sees that it is.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http, { type ClientRequest, type IncomingMessage, type RequestListener } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection, createServer, type SecureConnectOptions } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure, text } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { clientIdentity } from '../support/secured.js'

const server = await testIdentity()
const client = await clientIdentity()

t.test('a request and its answer; the handler sees a secure request', async t => {
  const port = await httpServer(t, (request, response) => {
    // The types of node:http know plain sockets only; frameworks look at these all the same.
    const socket = request.socket as TLSSocket
    response.end(
      JSON.stringify({
        encrypted: socket.encrypted,
        authorized: socket.authorized,
        subject: socket.getPeerCertificate().subjectaltname,
        protocol: socket.getProtocol(),
        cipher: socket.getCipher().standardName,
        remote: socket.remoteAddress,
      }),
    )
  })
  const request = http.get({ port, host: '127.0.0.1', createConnection: secured })
  t.match(JSON.parse(await body(request)), {
    encrypted: true,
    authorized: true,
    subject: 'DNS:client.example',
    protocol: 'TLSv1.3',
    cipher: /^TLS_/,
    remote: '127.0.0.1',
  })
})

t.test('an Agent keeps secured connections and uses them again', async t => {
  const sockets = new Set<unknown>()
  const port = await httpServer(t, (request, response) => {
    sockets.add(request.socket)
    response.end(request.url)
  })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  t.teardown(() => agent.destroy())
  let dialled = 0
  Object.assign(agent, {
    createConnection(options: SecureConnectOptions) {
      dialled += 1
      return secured(options)
    },
  })
  const get = (path: string) => body(http.get({ port, host: '127.0.0.1', path, agent }))
  t.equal(await get('/first'), '/first')
  t.equal(await get('/second'), '/second')
  t.equal(dialled, 1, 'one connection for both')
  t.same(
    await Promise.all(['/a', '/b', '/c', '/d', '/e'].map(get)),
    ['/a', '/b', '/c', '/d', '/e'],
    'five at once over two connections',
  )
  t.equal(dialled, 2)
  t.equal(sockets.size, 2)
})

t.test('bodies of both directions, with a checksum', async t => {
  const port = await httpServer(t, async (request, response) => {
    const digest = createHash('sha256')
    await pipeline(request, digest)
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    response.write(digest.digest('hex').padEnd(64))
    await pipeline(Readable.from(chunks()), response)
  })
  const request = http.request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    createConnection: secured,
  })
  const sent = createHash('sha256')
  for (const chunk of chunks()) sent.update(chunk)
  const answered = answer(request)
  await pipeline(Readable.from(chunks()), request)
  const heard: Buffer[] = []
  for await (const chunk of await answered) heard.push(chunk as Buffer)
  const all = Buffer.concat(heard)
  t.equal(String(all.subarray(0, 64)), sent.copy().digest('hex'))
  t.equal(createHash('sha256').update(all.subarray(64)).digest('hex'), sent.digest('hex'))
})

t.test('100-continue, trailers, and an upgrade to another protocol', async t => {
  const port = await httpServer(
    t,
    (request, response) => {
      response.writeHead(200, { trailer: 'x-sum' })
      request.pipe(response, { end: false })
      request.on('end', () => {
        response.addTrailers({ 'x-sum': '42' })
        response.end()
      })
    },
    httpServer => {
      httpServer.on('upgrade', (_request, socket) => {
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n',
        )
        socket.pipe(socket)
      })
    },
  )
  const at = { port, host: '127.0.0.1', createConnection: secured }
  const expecting = http.request({ ...at, method: 'POST', headers: { expect: '100-continue' } })
  expecting.flushHeaders()
  await once(expecting, 'continue')
  const answered = answer(expecting)
  expecting.end('after being asked to go on')
  const response = await answered
  t.equal(await text(response), 'after being asked to go on')
  t.equal(response.trailers['x-sum'], '42')

  const upgrading = http.get({ ...at, headers: { connection: 'Upgrade', upgrade: 'echo' } })
  const [, socket, head] = await once(upgrading, 'upgrade')
  t.equal(head.length, 0)
  socket.write('another protocol')
  const [data] = await event(socket, 'data')
  t.equal(String(data), 'another protocol')
  t.equal(socket.encrypted, true)
  socket.destroy()
})

t.test('https.request over a secured socket', async t => {
  const port = await httpServer(t, (_request, response) => response.end('also fine'))
  const request = https.get({ port, host: '127.0.0.1', createConnection: secured } as object)
  t.equal(await body(request), 'also fine')
})

t.test('a server with another name gets no request', async t => {
  const requests: unknown[] = []
  const port = await httpServer(t, request => requests.push(request))
  const request = http.request({
    ...{ port, host: '127.0.0.1', method: 'POST', path: '/secret' },
    createConnection: options =>
      secured({ ...(options as SecureConnectOptions), peerTargetName: 'other.example' }),
  })
  const lost = failure(body(request))
  request.end('secret')
  t.match(await lost, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.same(requests, [])
})

t.test('a client that goes away in the middle is noticed', async t => {
  let noticed = () => {}
  const gone = new Promise<void>(resolve => {
    noticed = resolve
  })
  const port = await httpServer(t, (request, response) => {
    response.write('the first part')
    request.on('close', noticed)
  })
  const request = http.get({ port, host: '127.0.0.1', createConnection: secured })
  const response = await answer(request)
  await event(response, 'data')
  request.destroy()
  await gone
  t.pass('the handler has heard of it')
})

for (const [whose, credentials] of [
  ['any client', { ca: client.ca }],
  // Its acceptance is a byte of ours, which must be gone before node:http2 takes the handle over.
  ['a client with a certificate', client],
] as const) {
  t.test(`HTTP/2, agreed on by ALPN, of ${whose}`, async t => {
    const port = await http2Server(t)
    const options = { port, host: '127.0.0.1', security: { ...credentials, alpn: ['h2'] } }
    const socket = createConnection(options)
    await socket.secured
    const session = http2.connect(`http://127.0.0.1:${port}`, { createConnection: () => socket })
    t.teardown(() => session.destroy())
    t.same(
      await Promise.all(['/a', '/b', '/c'].map(path => text(session.request({ ':path': path })))),
      ['GET /a over 2.0: 0', 'GET /b over 2.0: 0', 'GET /c over 2.0: 0'],
    )
    const big = session.request({ ':path': '/big', ':method': 'POST' })
    big.end(Buffer.alloc(1_000_000))
    t.equal(await text(big), 'POST /big over 2.0: 1000000')
    t.equal(session.alpnProtocol, 'h2')
    t.equal(session.encrypted, true)
    t.equal((session.socket as TLSSocket).getProtocol(), 'TLSv1.3')
  })
}

t.test('HTTP/2 over a socket that is still connecting', async t => {
  const port = await http2Server(t)
  const session = http2.connect(`http://127.0.0.1:${port}`, {
    createConnection: () =>
      createConnection({
        port,
        host: '127.0.0.1',
        security: { ca: client.ca ?? '', alpn: ['h2'] },
      }),
  })
  t.teardown(() => session.destroy())
  t.equal(await text(session.request({ ':path': '/a' })), 'GET /a over 2.0: 0')
})

/** What an application gives as `createConnection`. */
function secured(options: object): SecureSocket {
  const { port, host, peerTargetName } = options as SecureConnectOptions & {
    port: number
    host: string
  }
  const name = peerTargetName === undefined ? {} : { peerTargetName }
  return createConnection({ port, host, ...name, security: client })
}

async function httpServer(
  t: Test,
  listener: RequestListener,
  prepare: (server: http.Server) => void = () => {},
): Promise<number> {
  const httpServer = http.createServer(listener)
  prepare(httpServer)
  const listens = createServer({ security: { ...server, requestCert: true } })
  listens.on('connection', socket => httpServer.emit('connection', socket))
  return listen(t, listens)
}

async function http2Server(t: Test): Promise<number> {
  const h2 = http2.createServer(async (request, response) => {
    const { method, url, httpVersion } = request
    let length = 0
    for await (const chunk of request) length += chunk.length
    response.end(`${method} ${url} over ${httpVersion}: ${length}`)
  })
  const listens = createServer({ security: { ...server, alpn: ['h2'] } })
  listens.on('connection', socket => h2.emit('connection', socket))
  return listen(t, listens)
}

async function listen(t: Test, listens: ReturnType<typeof createServer>): Promise<number> {
  const open = new Set<SecureSocket>()
  listens.on('connection', socket => open.add(socket))
  listens.listen(0, '127.0.0.1')
  t.teardown(async () => {
    for (const socket of open) socket.destroy()
    listens.close()
  })
  await event(listens, 'listening')
  return (listens.address() as AddressInfo).port
}

async function answer(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = await event(request, 'response')
  return response as IncomingMessage
}

async function body(request: ClientRequest): Promise<string> {
  return text(await answer(request))
}

/** 4 MB in chunks that all differ. */
function* chunks(): Generator<Buffer> {
  for (let index = 0; index < 64; index += 1)
    yield Buffer.alloc(65_537, createHash('sha512').update(String(index)).digest())
}

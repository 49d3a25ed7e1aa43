/** undici, unmodified, through a connector that gives it a SecureSocket. */
import { createHash } from 'node:crypto'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { Agent, type buildConnector, fetch, request } from 'undici'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection, createServer } from '../../src/net.js'
import { event, failure } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { clientIdentity } from '../support/secured.js'

const server = await testIdentity()
const client = await clientIdentity()

t.test('fetch and request, one connection for all', async t => {
  const { origin, peers } = await echoing(t)
  const { dispatcher, dialled } = agent(t, { connections: 1 })
  const answer = await fetch(`${origin}/one`, { dispatcher })
  t.same(await answer.json(), { method: 'GET', url: '/one', encrypted: true })
  const { statusCode, body } = await request(`${origin}/two`, { dispatcher })
  t.equal(statusCode, 200)
  t.match(await body.json(), { url: '/two' })
  const [connected] = dialled
  t.equal(dialled.length, 1)
  t.equal((await connected?.secured)?.peer?.pin, server.pin)
  t.same(peers, ['DNS:client.example', 'DNS:client.example'])
})

t.test('many requests at once over a few connections', async t => {
  const { origin } = await echoing(t)
  const { dispatcher, dialled } = agent(t, { connections: 3, pipelining: 4 })
  const paths = Array.from({ length: 60 }, (_, index) => `/${index}`)
  const answers = await Promise.all(
    paths.map(async path => (await request(origin + path, { dispatcher })).body.json()),
  )
  t.match(
    answers,
    paths.map(url => ({ url })),
  )
  t.equal(dialled.length, 3)
})

t.test('a streamed body, and its checksum back', async t => {
  const { origin } = await echoing(t)
  const { dispatcher } = agent(t)
  const chunk = Buffer.alloc(65_537, 'streamed ')
  const body = Readable.from(Array.from({ length: 40 }, () => chunk))
  const sent = createHash('sha256')
  for (let index = 0; index < 40; index += 1) sent.update(chunk)
  const answer = await request(`${origin}/`, { dispatcher, method: 'PUT', body })
  t.match(await answer.body.json(), { digest: sent.digest('hex') })
})

t.test('a request that is aborted', async t => {
  const { origin } = await echoing(t)
  const { dispatcher } = agent(t)
  const controller = new AbortController()
  const { signal } = controller
  const lost = failure(request(`${origin}/never`, { dispatcher, signal }))
  setImmediate(() => controller.abort())
  t.equal((await lost).name, 'AbortError')
})

t.test('a server with another name gets no request', async t => {
  const { origin, peers } = await echoing(t)
  const { dispatcher } = agent(t, {}, { peerTargetName: 'other.example' })
  const lost = await failure(request(`${origin}/secret`, { dispatcher }))
  t.match(lost, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  const error = await failure(fetch(`${origin}/secret`, { dispatcher }))
  t.match(error.cause, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }, 'fetch wraps it')
  t.same(peers, [])
})

t.test('HTTP/2 by ALPN', async t => {
  const security = { ...server, alpn: ['h2'] }
  const h2 = http2.createServer((request, response) => response.end(request.httpVersion))
  const port = await listen(t, security, socket => h2.emit('connection', socket))
  const { dispatcher, dialled } = agent(
    t,
    { allowH2: true },
    { security: { ...client, alpn: ['h2', 'http/1.1'] } },
  )
  const { body } = await request(`http://127.0.0.1:${port}/`, { dispatcher })
  t.equal(await body.text(), '2.0')
  t.equal(dialled[0]?.alpnProtocol, 'h2')
})

/** What an application writes to use undici with this library. */
function agent(
  t: Test,
  options: Agent.Options = {},
  secured: { security?: SecuritySettings; peerTargetName?: string } = {},
) {
  const dialled: ReturnType<typeof createConnection>[] = []
  const connect: buildConnector.connector = ({ hostname, port }, done) => {
    const socket = createConnection({
      host: hostname,
      port: Number(port),
      security: client,
      ...secured,
    })
    dialled.push(socket)
    const failed = (error: Error) => done(error, null)
    socket.once('error', failed)
    socket.once('connect', () => {
      socket.off('error', failed)
      done(null, socket)
    })
  }
  const dispatcher = new Agent({ ...options, connect })
  t.teardown(() => dispatcher.destroy())
  return { dispatcher, dialled }
}

/** Says in JSON what it was asked; the subjects of those who ask are in `peers`. */
async function echoing(t: Test) {
  const peers: unknown[] = []
  const httpServer = http.createServer(async (request, response) => {
    const socket = request.socket as TLSSocket
    peers.push(socket.getPeerCertificate().subjectaltname)
    const { method, url } = request
    if (url === '/never') return
    const digest = createHash('sha256')
    for await (const chunk of request) digest.update(chunk)
    const body = method === 'PUT' ? { digest: digest.digest('hex') } : {}
    response.end(JSON.stringify({ method, url, encrypted: socket.encrypted, ...body }))
  })
  const security = { ...server, requestCert: true }
  const port = await listen(t, security, socket => httpServer.emit('connection', socket))
  return { origin: `http://127.0.0.1:${port}`, peers }
}

async function listen(
  t: Test,
  security: SecuritySettings,
  listener: (socket: unknown) => void,
): Promise<number> {
  const open = new Set<{ destroy(): void }>()
  const listens = createServer({ security }, socket => {
    open.add(socket.on('error', () => {}))
    listener(socket)
  })
  listens.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    listens.close()
  })
  await event(listens, 'listening')
  return (listens.address() as AddressInfo).port
}

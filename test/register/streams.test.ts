/** A program that knows nothing of this library: whatever it connects or accepts is TLS on the wire. */
import http2 from 'node:http2'
import https from 'node:https'
import type { Readable } from 'node:stream'
import tls from 'node:tls'
import t from 'tap'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { policyFile, registered, registerFile } from './registered.js'

t.before(built)

const identity = await testIdentity()

t.test('every way to a connection ends at a TLS server, and is read there', async t => {
  const { cert, key } = identity
  const echo = tls.createServer({ cert, key }, socket => socket.on('error', () => {}).pipe(socket))
  const web = https.createServer({ cert, key }, (request, response) => {
    response.end(`${request.method} over ${(request.socket as tls.TLSSocket).getProtocol()}`)
  })
  // Its clients know nothing of TLS, so they name no protocol.
  const other = http2.createServer((_request, response) => response.end('h2c'))
  const outer = tls.createServer({ cert, key }, socket => other.emit('connection', plain(socket)))
  const ports = []
  for (const server of [echo, web, outer]) {
    server.listen(0, 'localhost')
    await event(server, 'listening')
    t.teardown(() => server.close())
    ports.push(String((server.address() as { port: number }).port))
  }

  for (const flags of [
    ['--require', registerFile],
    ['--import', 'secure-socket/register'],
  ]) {
    const policy = await policyFile(t)
    const program = registered(t, ['clients.mjs', ...ports], { policy, flags })
    await program.ended(30_000)
    const ways = [
      ...['net.connect', 'a named import', 'a captured function', 'new Socket()', 'a class'],
      ...['util.inherits', 'the method itself', 'onread'],
    ]
    for (const way of ways) t.match(program.output, `${way}: echo of ${way}\n`)
    t.match(program.output, 'http.get: GET over TLSv1.3\n')
    t.match(program.output, 'fetch: GET over TLSv1.3\n')
    t.match(program.output, 'fetch again: POST over TLSv1.3\n')
    t.match(program.output, 'http2: h2c\n')
  }
})

/** An HTTP/2 server takes a connection without ALPN for one of HTTP/1. */
function plain(socket: tls.TLSSocket): tls.TLSSocket {
  return Object.defineProperty(socket, 'alpnProtocol', { value: undefined })
}

t.test('every way to a server speaks TLS, and shows its application nothing else', async t => {
  const program = registered(t, ['servers.mjs'], { policy: await policyFile(t) })
  await program.said(/all listen/)
  const listens = /^(.+) listens at (\d+)$/gm
  const ports = new Map(
    [...program.output.matchAll(listens)].map(([, name, port]) => [name, Number(port)]),
  )
  const { ca } = identity

  for (const name of ['createServer', 'captured', 'new Server', 'a class']) {
    const socket = tls.connect({ port: ports.get(name) as number, host: 'localhost', ca })
    socket.write(`echo of ${name}`)
    const [data] = await event(socket, 'data')
    t.equal(String(data), `echo of ${name}`)
    socket.destroy()
  }
  t.notMatch(program.output, 'in clear')

  const get = (name: string) => text(`https://localhost:${ports.get(name)}/`, ca as string)
  t.equal(await get('http'), 'secured: true')
  t.equal(await get('new http.Server'), 'secured: true')
  t.equal(await get('handing'), 'handed on')

  const socket = tls.connect({ port: ports.get('http2') as number, host: 'localhost', ca })
  const session = http2.connect(`http://localhost:${ports.get('http2')}`, {
    createConnection: () => socket,
  })
  const stream = session.request({ ':path': '/' })
  t.equal(String(Buffer.concat(await stream.toArray())), 'h2c')
  session.destroy()
})

async function text(url: string, ca: string): Promise<string> {
  const [response] = (await event(https.get(url, { ca, agent: false }), 'response')) as [Readable]
  return Buffer.concat(await response.toArray()).toString()
}

t.test('a client that speaks in clear is refused, and the application never sees it', async t => {
  const program = registered(t, ['servers.mjs'], { policy: await policyFile(t) })
  const [, port] = await program.said(/^createServer listens at (\d+)$/m)
  const { connect } = await import('node:net')
  const socket = connect(Number(port), 'localhost')
  const heard: Buffer[] = []
  socket.on('data', chunk => heard.push(chunk)).on('error', () => {})
  socket.write('clear text\n')
  await event(socket, 'close')
  t.notMatch(Buffer.concat(heard).toString('latin1'), 'clear text')
})

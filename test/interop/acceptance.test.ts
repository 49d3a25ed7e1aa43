/**
 * Has the server accepted our certificate? In TLS 1.3 a client cannot know from the handshake. With
 * servers that are not ours: those that know nothing of our acceptance, those that refuse to hear
 * of it, and those that speak it themselves.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls, { type TLSSocket, type TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { clientIdentity, trust } from '../support/secured.js'
import { type WireTap, wireTap } from '../support/wire-tap.js'
import { files } from './files.js'
import { sServer } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const client = await clientIdentity()
const { cert, key } = save(await testIdentity())
const asking = ['-cert', cert, '-key', key, '-Verify', '1', '-CAfile', save({ ca }).ca]

t.test('a server without ALPN does not mind our token', { skip }, async t => {
  const { port } = await sServer(t, ...asking, '-rev')
  const tap = await tapped(t, port)
  const socket = connect(t, tap.port)
  await socket.secured
  t.equal(await answer(socket, 'stressed\n'), 'desserts\n')
  t.equal(tap.connections, 1)
  t.ok(tap.toServer().includes('secure-socket/1'), 'it was offered')
})

t.test('a server that knows other protocols only is dialled again', { skip }, async t => {
  const { port } = await sServer(t, ...asking, '-rev', '-alpn', 'http/1.1')
  const tap = await tapped(t, port)
  const socket = connect(t, tap.port)
  let connects = 0
  socket.on('connect', () => {
    connects += 1
  })
  // What was written before goes out once, on the connection that came about.
  t.equal(await answer(socket, 'stressed\n'), 'desserts\n')
  t.equal(connects, 1, "the application sees one 'connect'")
  t.equal(socket.alpnProtocol, false)
  t.equal(tap.connections, 2)
  await gone(socket)

  const offered = occurrences(tap.toServer(), 'secure-socket/1')
  const again = connect(t, tap.port)
  t.equal(await answer(again, 'live\n'), 'evil\n')
  t.equal(tap.connections, 3, 'that was remembered: no third attempt in vain')
  t.equal(occurrences(tap.toServer(), 'secure-socket/1'), offered)
})

t.test('a server that shares a protocol with us needs one connection', { skip }, async t => {
  const { port } = await sServer(t, ...asking, '-rev', '-alpn', 'http/1.1')
  const tap = await tapped(t, port)
  const socket = connect(t, tap.port, { alpn: ['http/1.1'] })
  t.equal((await socket.secured).alpn, 'http/1.1')
  t.equal(socket.alpnProtocol, 'http/1.1')
  t.equal(await answer(socket, 'stressed\n'), 'desserts\n')
  t.equal(tap.connections, 1)
})

t.test(
  'a server with none of our protocols is an error, after both attempts',
  { skip },
  async t => {
    const { port } = await sServer(t, ...asking, '-alpn', 'http/1.1')
    const tap = await tapped(t, port)
    const socket = connect(t, tap.port, { alpn: ['mqtt'] })
    const [error] = await event(socket, 'error')
    t.match(error, { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' })
    t.equal(tap.connections, 2)
  },
)

t.test('without a certificate of ours no token is offered', { skip }, async t => {
  const { port } = await sServer(t, '-cert', cert, '-key', key, '-rev', '-alpn', 'http/1.1')
  const tap = await tapped(t, port)
  const socket = connect(t, tap.port, { cert: undefined, key: undefined })
  t.equal(await answer(socket, 'stressed\n'), 'desserts\n')
  t.equal(tap.connections, 1)
  t.notOk(tap.toServer().includes('secure-socket/1'))
})

t.test('another maker’s server that speaks our acceptance', { skip }, async t => {
  const speaking = async (t: Test) => {
    const { port, program } = await sServer(t, ...asking, '-alpn', 'secure-socket/1')
    const socket = connect(t, port)
    await program.said(/CIPHER is/)
    return { socket, program }
  }
  await t.test('connects us with its first byte, which nobody sees', async t => {
    const { socket, program } = await speaking(t)
    t.equal(socket.connecting, true, 'its handshake is no acceptance')
    program.type('\x01and more\n')
    const [data] = await event(socket, 'data')
    t.equal(String(data), 'and more\n')
    t.equal(socket.bytesRead, 'and more\n'.length)
    t.equal(socket.alpnProtocol, false)
  })
  await t.test('with something else it breaks the agreement', async t => {
    const { socket, program } = await speaking(t)
    program.type('Hello\n')
    const [error] = await event(socket, 'error')
    t.match(error, { code: 'EPROTO' })
  })
  await t.test('with an end it has not accepted', async t => {
    const { socket, program } = await speaking(t)
    // "q" ends the connection and listens on.
    program.type('q\n')
    const [error] = await event(socket, 'error')
    t.match(error, { code: 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE' })
  })
})

t.test('a server without acceptance that ends before it says anything', { skip }, async t => {
  const endingAtOnce = async (t: Test, ...args: string[]) => {
    const { port, program } = await sServer(t, ...asking, ...args)
    const socket = connect(t, port)
    socket.resume()
    await socket.secured
    await program.said(/CIPHER is/)
    program.type('q\n')
    return socket
  }
  await t.test('a session ticket is a sign of acceptance, so this is an end', async t => {
    const socket = await endingAtOnce(t)
    socket.on('error', error => t.fail(error.message))
    await event(socket, 'end')
    t.equal(socket.bytesRead, 0)
  })
  await t.test('without a ticket nothing is known, so this is an error', async t => {
    const socket = await endingAtOnce(t, '-num_tickets', '0')
    socket.on('end', () => t.fail('a clean end'))
    const [error] = await once(socket, 'error')
    t.match(error, {
      code: 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE',
      message: /refused.*or it accepted/,
    })
  })
  await t.test('but a server that asked for no certificate cannot have refused it', async t => {
    const open = ['-cert', cert, '-key', key, '-num_tickets', '0']
    const { port, program } = await sServer(t, ...open)
    const socket = connect(t, port)
    socket.on('error', error => t.fail(error.message)).resume()
    await socket.secured
    await program.said(/CIPHER is/)
    program.type('q\n')
    await event(socket, 'end')
    t.equal(socket.bytesRead, 0)
  })
})

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`node:tls, ${maxVersion}: an end before any sign of acceptance is an error`, async t => {
    const stranger = await strangerIdentity(['client.example'])
    const own = { cert: stranger.cert, key: stranger.key }
    for (const [what, listener, credentials] of [
      ['it refuses our certificate', () => t.fail('it accepted'), own],
      ['it accepts and breaks off', (socket: TLSSocket) => socket.destroy(), {}],
    ] as const) {
      const port = await tlsServer(t, { maxVersion }, listener)
      const socket = connect(t, port, { ...credentials })
      socket.on('end', () => t.fail(`${what}: a clean end`))
      socket.resume()
      const [error] = await once(socket, 'error')
      // In TLS 1.2 the verdict is part of the handshake: there the connection does not come about.
      const early = maxVersion === 'TLSv1.2'
      t.match(error, { code: early ? 'ECONNRESET' : 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE' }, what)
    }
  })

  t.test(`node:tls, ${maxVersion}: an end after a byte is an end`, async t => {
    const port = await tlsServer(t, { maxVersion }, socket => socket.end('bye'))
    const socket = connect(t, port)
    socket.on('error', error => t.fail(error.message))
    socket.resume()
    await event(socket, 'end')
    t.equal(socket.bytesRead, 3)
  })
}

async function tlsServer(
  t: Test,
  options: TlsOptions,
  listener: (socket: TLSSocket) => void,
): Promise<number> {
  const identity = await testIdentity()
  const server = tls.createServer({ ...identity, requestCert: true, ...options }, socket => {
    socket.on('error', () => {})
    listener(socket)
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await event(server, 'listening')
  return (server.address() as AddressInfo).port
}

function connect(t: Test, port: number, more: object = {}): SecureSocket {
  const security = { ...client, ...more }
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.teardown(() => socket.destroy())
  return socket
}

async function tapped(t: Test, port: number): Promise<WireTap> {
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  return tap
}

/** Writes a line, gives the first that comes back. */
async function answer(socket: SecureSocket, line: string): Promise<string> {
  socket.write(line)
  const [data] = await event(socket, 'data')
  return String(data)
}

/** A server that talks to one client at a time is free again after this. */
async function gone(socket: SecureSocket): Promise<void> {
  const closed = event(socket, 'close')
  socket.destroy()
  await closed
}

function occurrences(bytes: Buffer, text: string): number {
  return bytes.toString('latin1').split(text).length - 1
}

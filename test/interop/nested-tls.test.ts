/**
 * A TLS session of node:tls inside a secured socket, as STARTTLS in protocols that know nothing of
 * us begins one: the client by `tls.connect({ socket })`, the server by `new tls.TLSSocket(socket)`.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection, createServer } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure, text } from '../support/events.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { clientIdentity, trust } from '../support/secured.js'

const { ca } = await trust()
const outer = { server: await testIdentity(), client: await clientIdentity() }
const inner = {
  server: await testIdentity(['inner.example']),
  client: await testIdentity(['user']),
}

t.test('one inside the other, each with its own identities', async t => {
  const { clientSide, serverSide, nested } = await startTls(t)
  const client = tls.connect({ socket: clientSide, ...inner.client, servername: 'inner.example' })
  await event(client, 'secureConnect')
  const server = await nested
  t.equal(client.authorized, true)
  t.equal(client.getPeerCertificate().subjectaltname, 'DNS:inner.example')
  t.equal(server.getPeerCertificate().subjectaltname, 'DNS:user')
  t.same((await serverSide.querySecurity()).peer?.names, ['client.example'])
  t.equal(clientSide.getPeerX509Certificate()?.checkHost('localhost'), 'localhost')

  client.write('through two')
  const [data] = await event(server, 'data')
  t.equal(String(data), 'through two')
  server.write('and back')
  const [answer] = await event(client, 'data')
  t.equal(String(answer), 'and back')
})

t.test('bulk in both directions, and each end heard', async t => {
  const { clientSide, nested } = await startTls(t)
  const client = tls.connect({ socket: clientSide, ca, servername: 'inner.example' })
  await event(client, 'secureConnect')
  const server = await nested
  const up = 'all that the client says '.repeat(200_000)
  const down = 'all that the server says '.repeat(200_000)
  const heard = Promise.all([text(server), text(client)])
  client.end(up)
  server.end(down)
  const [atServer, atClient] = await heard
  t.ok(atServer === up)
  t.ok(atClient === down)
  if (!clientSide.closed) await event(clientSide, 'close')
  t.equal(clientSide.destroyed, true, 'the outer socket ends with the inner one')
})

t.test('a stranger inside is refused, although the way to him is secured', async t => {
  const { clientSide } = await startTls(t)
  const { ca: otherCa } = await strangerIdentity()
  const client = tls.connect({ socket: clientSide, ca: otherCa, servername: 'inner.example' })
  t.match(await failure(event(client, 'secureConnect')), { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
})

t.test('begun before the outer socket is connected', async t => {
  const listens = createServer({ security: { ...outer.server, requestCert: true } }, socket => {
    const session = new tls.TLSSocket(socket, { isServer: true, ...inner.server })
    session.on('error', () => {}).end('at once')
  })
  const port = await listen(t, listens)
  const socket = createConnection({ port, host: '127.0.0.1', security: outer.client })
  t.teardown(() => socket.destroy())
  t.equal(socket.connecting, true)
  const client = tls.connect({ socket, ca, servername: 'inner.example' })
  t.equal(await text(client), 'at once')
})

t.test('when the outer connection breaks, the inner one does not hang', async t => {
  const { clientSide, serverSide, nested } = await startTls(t)
  const client = tls.connect({ socket: clientSide, ca, servername: 'inner.example' })
  await event(client, 'secureConnect')
  const server = await nested
  server.on('error', () => {})
  client.on('error', () => {}).resume()
  const closed = once(client, 'close')
  serverSide.destroy()
  await closed
  t.equal(client.destroyed, true)
})

/** Connects, agrees on STARTTLS over the secured socket, and starts the server's side of it. */
async function startTls(t: Test) {
  let begin: (session: TLSSocket) => void
  const nested = new Promise<TLSSocket>(resolve => {
    begin = resolve
  })
  const listens = createServer({ security: { ...outer.server, requestCert: true } }, socket => {
    socket.on('error', () => {})
    socket.once('data', command => {
      socket.write(String(command) === 'STARTTLS\r\n' ? '220 go ahead\r\n' : '500 what?\r\n')
      const options = { isServer: true, requestCert: true, rejectUnauthorized: false }
      const session = new tls.TLSSocket(socket, { ...inner.server, ...options })
      session.on('error', () => {}).once('secure', () => begin(session))
    })
  })
  const port = await listen(t, listens)
  const accepted = event(listens, 'connection')
  const clientSide = createConnection({ port, host: '127.0.0.1', security: outer.client })
  t.teardown(() => clientSide.destroy())
  clientSide.on('error', () => {})
  clientSide.write('STARTTLS\r\n')
  const [reply] = await event(clientSide, 'data')
  t.equal(String(reply), '220 go ahead\r\n')
  const [serverSide] = (await accepted) as [SecureSocket]
  return { clientSide, serverSide, nested }
}

async function listen(t: Test, listens: ReturnType<typeof createServer>): Promise<number> {
  const open = new Set<SecureSocket>()
  listens.on('connection', socket => open.add(socket))
  listens.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    listens.close()
  })
  await event(listens, 'listening')
  return (listens.address() as AddressInfo).port
}

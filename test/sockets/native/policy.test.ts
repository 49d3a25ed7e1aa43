/**
 * A server follows the policy until it listens: who secures it, and whether it shares its port, is what
 * the policy says then. With the wrong provider a server of IPsec would be one that nothing secures.
 */
// Before anything of src, which looks at the variable when it is loaded.
import '../../support/policy-place.js'

import net from 'node:net'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { reloadPolicy } from '../../../src/policy.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { event, failure } from '../../support/events.js'
import { testIdentity } from '../../support/identities.js'
import { writePolicy, writeSecret } from '../../support/policy-place.js'
import { provide, typeOfService, typeOfServiceOf } from './stand-in.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the stand-in provider makes sockets by Linux calls')
  process.exit()
}

const { cert, key, ca } = await testIdentity(['localhost'])
writeSecret('host.crt', cert)
writeSecret('host.key', key)
const byTls = { identity: { cert: 'host.crt', key: 'host.key' } }
const byIpsec = { protocol: 'ipsec' }

function policy(contents: object): void {
  writePolicy(contents)
  reloadPolicy()
}

/** Of a program that sets something of its own, so that it has settings from the beginning. */
function newServer(t: Test): SecureServer {
  const server = new SecureServer({ security: { handshakeTimeout: 20_000 } })
  server.on('connection', socket => socket.on('error', () => {}).end('hello'))
  t.teardown(() => server.close())
  return server
}

async function listening(server: SecureServer, more: object = {}): Promise<number> {
  server.listen({ port: 0, host: '127.0.0.1', ...more })
  await event(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

async function stop(server: SecureServer): Promise<void> {
  server.close()
  await event(server, 'close')
}

async function heardBy(socket: net.Socket): Promise<string> {
  const [data] = await event(socket, 'data')
  socket.destroy()
  return String(data)
}

const heardInClear = (port: number) => heardBy(net.connect(port, '127.0.0.1'))
const heardByTls = (port: number) =>
  heardBy(tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca }))

t.test('made for TLS, and listening for IPsec; and the other way round', async t => {
  const provider = provide(t)
  policy(byTls)
  const server = newServer(t)
  policy(byIpsec)
  const port = await listening(server)
  t.equal(typeOfServiceOf(server), typeOfService, 'the socket is the provider’s')
  t.equal(await heardInClear(port), 'hello')
  t.equal(provider.queries.length, 1, 'which has said what secures the connection')
  await stop(server)

  policy(byTls)
  const other = await listening(server)
  t.equal(typeOfServiceOf(server), 0, 'Node’s own socket')
  t.equal(await heardByTls(other), 'hello')
  await stop(server)

  policy(byIpsec)
  t.equal(await heardInClear(await listening(server)), 'hello')
  t.equal(provider.queries.length, 2)
})

t.test('what listens already is not changed by a listen() that fails', async t => {
  policy(byTls)
  const server = newServer(t)
  const port = await listening(server)
  policy(byIpsec)
  t.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' })
  const refused = event(server, 'tlsClientError')
  const client = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
  client.on('error', () => {})
  t.match((await refused)[0], { code: 'ERR_POLICY_FORBIDS' }, 'it is none of IPsec')
  policy(byTls)
  t.equal(await heardByTls(port), 'hello')
})

t.test('whether it shares its port', async t => {
  const sharing = { ...byTls, streams: { sharePort: true } }
  policy(sharing)
  const server = newServer(t)
  policy(byTls)
  t.match(await failure(listening(server, { reusePort: true })), { code: 'EINVAL' })
  t.notOk(server.listening)
  policy(sharing)
  t.equal(await heardByTls(await listening(server, { reusePort: true })), 'hello')
})

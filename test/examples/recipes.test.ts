/** Every recipe does what it says. The two that need a server of another maker are used as modules. */
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { SecureServer, type SecureSocket } from '../../src/index.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { launch } from '../support/program.js'
import { built, root } from './built.js'

const recipes = join(root, 'examples/recipes')
const load = (name: string) => import(pathToFileURL(join(recipes, name)).href)

/** What each prints, line by line. */
const expected: Record<string, RegExp[]> = {
  'access-check.mjs': [
    /^the document, for spiffe:\/\/example\.com\/alice$/,
    /^spiffe:\/\/example\.com\/mallory may not read$/,
  ],
  'coap.mjs': [/^\/temperature for sensor-17$/, /^with another key: ERR_(SSL|TLS)_\w+$/],
  'hop.mjs': [/^hello through the hop$/],
  'http.mjs': [
    /^\/first by way of TLSv1\.3$/,
    /^\/second by way of TLSv1\.3, on the same connection$/,
  ],
  'ioredis.mjs': [],
  'pg.mjs': [],
  'pinned-key.mjs': [/^ready to print$/, /^with another pin: ERR_PEER_TARGET_NAME_MISMATCH$/],
  'psk.mjs': [/^hello sensor-17$/, /^with another key: ERR_SSL_\w+$/],
  'service.mjs': [/^it is \d{4}-\d\d-\d\dT[\d:.]+Z$/],
  'snmp.mjs': [
    /^the router of example\.com$/,
    /^ERR_PEER_TARGET_NAME_MISMATCH$/,
    /^ERR_SSL_TLSV1_ALERT_UNKNOWN_CA$/,
  ],
  'statsd.mjs': [/^shop\.orders:1\|c from spiffe:\/\/example\.com\/shop$/],
  'undici.mjs': [/^hello from \/undici$/],
  'ws.mjs': [/^you said: hello$/],
}

t.before(built)

t.test('no recipe is left out here', async t => {
  t.same(readdirSync(recipes).sort(), Object.keys(expected))
})

for (const [name, lines] of Object.entries(expected)) {
  t.test(`${name} runs, prints what it shows, and ends by itself`, async t => {
    const program = launch(t, process.execPath, [join(recipes, name)])
    const { code } = await program.ended(30_000)
    t.equal(code, 0, program.output)
    const printed = program.output.split('\n').slice(0, -1)
    t.equal(printed.length, lines.length, program.output)
    for (const [index, line] of lines.entries()) t.match(printed[index], line)
  })
}

t.test('ioredis.mjs with a Redis that has TLS of its own', async t => {
  const path = requireProgram(t, 'redis-server')
  if (path === undefined) return
  const directory = t.testdir()
  const { ca } = await testIdentity(['localhost'], { directory, file: 'redis' })
  const port = await freePort()
  const redis = launch(t, path, [
    ...['--port', '0', '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
    ...['--tls-port', String(port), '--tls-auth-clients', 'no'],
    ...['--tls-cert-file', join(directory, 'redis.crt')],
    ...['--tls-key-file', join(directory, 'redis.key')],
    ...['--tls-ca-cert-file', join(directory, 'redis.crt')],
  ])
  await redis.said(/eady to accept connections/)
  await useRedis(t, port, ca)
})

t.test('ioredis.mjs and hop.mjs with a Redis that has no TLS', async t => {
  const path = requireProgram(t, 'redis-server')
  if (path === undefined) return
  // A unix socket, whose path must be short: nothing of Redis can be reached but by the hop.
  const directory = await mkdtemp(join(tmpdir(), 'redis-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const socket = join(directory, 'redis.sock')
  const redis = launch(t, path, [
    ...['--port', '0', '--unixsocket', socket, '--dir', directory, '--save', ''],
  ])
  await redis.said(/eady to accept connections/)

  const { secureHop } = await load('hop.mjs')
  const identity = await testIdentity(['localhost'])
  const hop = await secureHop({ path: socket }, identity)
  t.teardown(() => hop.close())
  await useRedis(t, hop.address().port, identity.ca)
})

t.test('pg.mjs gives pg what it expects of a stream', async t => {
  const { secureStream } = await load('pg.mjs')
  const identity = await testIdentity(['localhost'])
  const server = new SecureServer({ security: { ...identity, alpn: ['postgresql'] } })
  t.teardown(() => server.close())
  await event(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = event(server, 'connection')

  // In this order pg uses it: made without arguments that name a host, then set, then connected.
  const stream: SecureSocket = secureStream({ security: { ca: identity.ca } })()
  stream.setNoDelay(true)
  stream.connect(port, 'localhost')
  await event(stream, 'connect')
  stream.write('startup')
  const [socket] = (await accepted) as [SecureSocket]
  t.equal(socket.alpnProtocol, 'postgresql', 'PostgreSQL answers TLS only with its protocol named')
  const [data] = await event(socket, 'data')
  t.equal(String(data), 'startup')
  stream.destroy()

  // pg reports the first of the two that it hears.
  const refused: SecureSocket = secureStream({
    peerTargetName: 'host/other.example.com',
    security: { ca: identity.ca },
  })()
  const heard: string[] = []
  refused.on('error', error => heard.push((error as NodeJS.ErrnoException).code ?? ''))
  refused.on('close', () => heard.push('close'))
  refused.connect(port, 'localhost')
  await new Promise(resolve => refused.once('close', resolve))
  t.same(heard, ['ERR_PEER_TARGET_NAME_MISMATCH', 'close'])
})

async function useRedis(t: Test, port: number, ca: string) {
  const { secureConnector } = await load('ioredis.mjs')
  const options = { host: 'localhost', port, retryStrategy: null }

  const redis = new Redis({ ...options, Connector: secureConnector({ security: { ca } }) })
  const large = 'x'.repeat(3_000_000)
  t.equal(await redis.set('key', large), 'OK')
  t.equal(await redis.get('key'), large)
  const many = Array.from({ length: 500 }, (_, i) => redis.incr(`counter ${i % 7}`))
  t.equal((await Promise.all(many)).length, 500)
  t.equal(await redis.quit(), 'OK')

  const wrong = new Redis({
    ...options,
    Connector: secureConnector({ peerTargetName: 'host/other.example.com', security: { ca } }),
  })
  const [error] = (await event(wrong, 'error')) as [NodeJS.ErrnoException]
  t.equal(error.code, 'ERR_PEER_TARGET_NAME_MISMATCH')
  wrong.disconnect()
}

/** Redis cannot choose one itself. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

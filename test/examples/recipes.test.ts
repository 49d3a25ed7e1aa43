/** Every recipe does what it says. Those that need a server of another maker are used as modules. */
import type { EventEmitter } from 'node:events'
import { readdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { MqttClient } from 'mqtt'
import type pg from 'pg'
import t, { type Test } from 'tap'
import { SecureServer, type SecureSocket } from '../../src/index.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { clientIdentity } from '../support/secured.js'
import { mosquitto, postgresql, redis, redisWithTls } from '../support/servers.js'
import { built } from './built.js'

const recipes = join(root, 'examples/recipes')
const load = (name: string) => import(pathToFileURL(join(recipes, name)).href)

const wrongName = /^ERR_PEER_TARGET_NAME_MISMATCH$/
/** What a stream's client hears when the server refuses its certificate. */
const refused = /^ERR_PEER_CLOSED_BEFORE_ACCEPTANCE$/
/** What a datagram's client hears then. */
const unknownAuthority = /^ERR_SSL_TLSV1_ALERT_UNKNOWN_CA$/

/** What each prints, line by line. */
const expected: Record<string, RegExp[]> = {
  'access-check.mjs': [
    /^the document, for spiffe:\/\/example\.com\/alice$/,
    /^spiffe:\/\/example\.com\/mallory may not read$/,
  ],
  'coap.mjs': [/^\/temperature for sensor-17$/, /^with another key: ERR_(SSL|TLS)_\w+$/],
  'hop.mjs': [/^hello through the hop$/, wrongName, refused],
  'http.mjs': [
    /^\/first for spiffe:\/\/example\.com\/shop$/,
    /^\/second for spiffe:\/\/example\.com\/shop, on the same connection$/,
    wrongName,
    refused,
  ],
  'ioredis.mjs': [],
  'mqtt.mjs': [
    /^sensor-17\/temperature: 21\.5$/,
    /^spiffe:\/\/example\.com\/sensor-17 may not publish sensor-18\/temperature$/,
    wrongName,
    refused,
  ],
  'mysql2.mjs': [/^spiffe:\/\/example\.com\/shop$/, wrongName, refused],
  'nodemailer.mjs': [
    /^Subject: your order, from shop@example\.com$/,
    /^250 OK: message queued$/,
    wrongName,
    refused,
  ],
  'pg.mjs': [],
  'pinned-key.mjs': [/^ready to print$/, /^with another pin: ERR_PEER_TARGET_NAME_MISMATCH$/],
  'psk.mjs': [/^hello sensor-17$/, /^with another key: ERR_SSL_\w+$/],
  'service.mjs': [/^it is \d{4}-\d\d-\d\dT[\d:.]+Z$/],
  'snmp.mjs': [/^the router of example\.com$/, wrongName, unknownAuthority],
  'ssh2.mjs': [/^backup: done$/, wrongName, refused],
  'statsd.mjs': [
    /^shop\.orders:1\|c from spiffe:\/\/example\.com\/shop$/,
    wrongName,
    unknownAuthority,
  ],
  'syslog.mjs': [
    /^<132>.* disk full, by TCP from spiffe:\/\/example\.com\/shop$/,
    wrongName,
    refused,
    /^<132>.* disk full, by UDP from spiffe:\/\/example\.com\/shop$/,
    wrongName,
    unknownAuthority,
  ],
  'undici.mjs': [/^\/undici for spiffe:\/\/example\.com\/shop$/, wrongName, refused],
  'ws.mjs': [/^spiffe:\/\/example\.com\/alice said: hello$/, wrongName, refused],
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
  await useRedis(t, await redisWithTls(t, path, await testIdentity(['localhost'])))
})

t.test('ioredis.mjs and hop.mjs with a Redis that has no TLS', async t => {
  const path = requireProgram(t, 'redis-server')
  if (path === undefined) return
  await useRedis(t, await hopTo(t, await redis(t, path)))
})

t.test('mqtt.mjs with mosquitto, which has TLS of its own', async t => {
  const path = requireProgram(t, 'mosquitto')
  if (path === undefined) return
  const port = await mosquitto(t, path, await testIdentity(['localhost']))
  const { secureStream } = await load('mqtt.mjs')
  const connect = (security: object, peerTargetName = 'host/localhost') => {
    const stream = secureStream({ host: '127.0.0.1', port, peerTargetName, security })
    const client = new MqttClient(stream, { reconnectPeriod: 0 })
    t.teardown(() => client.endAsync(true))
    return client as unknown as MqttClient & EventEmitter
  }

  const client = connect(await clientIdentity())
  await event(client, 'connect')
  await client.subscribeAsync('greeting', { qos: 2 })
  const large = Buffer.alloc(300_000, 'hello ')
  const message = event(client, 'message')
  await client.publishAsync('greeting', large, { qos: 2 })
  t.ok(large.equals((await message)[1] as Buffer))

  const [wrong] = await event(connect(await clientIdentity(), 'host/other.example.com'), 'error')
  t.match(wrong, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  const stranger = { ...(await strangerIdentity()), ca: (await testIdentity()).ca }
  const [refusal] = await event(connect(stranger), 'error')
  t.match(refusal, { code: /^ERR_(PEER_CLOSED_BEFORE_ACCEPTANCE|SSL_TLSV1_ALERT_UNKNOWN_CA)$/ })
})

t.test('pg.mjs and hop.mjs with a PostgreSQL', async t => {
  const path = requireProgram(t, 'postgres')
  if (path === undefined) return
  const port = await hopTo(t, await postgresql(t, path))
  const { securePool } = await load('pg.mjs')
  const [client, { cert, key }] = [await clientIdentity(), await strangerIdentity()]
  const connect = (how: object): pg.Pool =>
    securePool({ host: 'localhost', port, user: 'postgres', database: 'postgres', ...how })

  const pool = connect({ security: client })
  const large = 'x'.repeat(3_000_000)
  const { rows } = await pool.query('select length($1) as length, $1 as text', [large])
  t.same(rows, [{ length: large.length, text: large }])
  const many = Array.from({ length: 20 }, (_, i) => pool.query('select $1::int as i', [i]))
  t.same(
    (await Promise.all(many)).map(({ rows: [row] }) => row.i),
    Array.from({ length: 20 }, (_, i) => i),
  )
  await pool.end()

  const wrong = connect({ peerTargetName: 'host/other.example.com', security: client })
  t.match(await failure(wrong.connect()), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  const stranger = connect({ security: { cert, key, ca: client.ca } })
  t.match(await failure(stranger.connect()), { code: 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE' })
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

async function useRedis(t: Test, port: number) {
  const { secureConnector } = await load('ioredis.mjs')
  const options = { host: 'localhost', port, retryStrategy: null }
  const security = await clientIdentity()

  const redis = new Redis({ ...options, Connector: secureConnector({ security }) })
  const large = 'x'.repeat(3_000_000)
  t.equal(await redis.set('key', large), 'OK')
  t.equal(await redis.get('key'), large)
  const many = Array.from({ length: 500 }, (_, i) => redis.incr(`counter ${i % 7}`))
  t.equal((await Promise.all(many)).length, 500)
  t.equal(await redis.quit(), 'OK')

  const wrong = new Redis({
    ...options,
    Connector: secureConnector({ peerTargetName: 'host/other.example.com', security }),
  })
  t.match(await event(wrong, 'error'), [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }])
  wrong.disconnect()

  const { cert, key } = await strangerIdentity()
  const Connector = secureConnector({ security: { cert, key, ca: security.ca } })
  const stranger = new Redis({ ...options, Connector })
  stranger.on('error', () => {})
  t.match(await failure(stranger.get('key')), { message: /closed/i })
  stranger.disconnect()
}

/** The port of a hop for clients of the test authority only, to a server that nothing else can reach. */
async function hopTo(t: Test, path: string): Promise<number> {
  const { secureHop } = await load('hop.mjs')
  const hop = await secureHop(
    { path },
    { ...(await testIdentity(['localhost'])), requestCert: true },
  )
  t.teardown(() => hop.close())
  return hop.address().port
}

/**
 * ioredis, unmodified, through the hook that it offers (a Connector), to a real redis-server that
 * knows nothing of TLS: before it stands a secured hop, a SecureServer that pipes both ways.
 */
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis'
import t, { type Test } from 'tap'
import { createConnection, createServer } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { launch } from '../support/program.js'
import { clientIdentity } from '../support/secured.js'
import { wireTap } from '../support/wire-tap.js'
import { ownDirectory } from './files.js'

const redisServer = requireProgram(t, 'redis-server')
const skip = !redisServer
const server = await testIdentity(['host/db.example.com', '127.0.0.1'])
const client = await clientIdentity()

t.test('commands, pipelines, transactions and big values', { skip }, async t => {
  const { port } = await securedRedis(t)
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  const redis = connect(t, { port: tap.port })
  t.equal(await redis.set('greeting', 'hello from a secured socket'), 'OK')
  t.equal(await redis.get('greeting'), 'hello from a secured socket')

  const pipelined = redis.pipeline()
  for (let index = 0; index < 500; index += 1) pipelined.incr('counter')
  t.same((await pipelined.exec())?.at(-1), [null, 500])
  t.same(await redis.multi().set('a', '1').incr('a').exec(), [
    [null, 'OK'],
    [null, 2],
  ])

  const big = Buffer.alloc(8 * 1024 * 1024, 'a big value, ')
  await redis.set('big', big)
  t.ok((await redis.getBuffer('big'))?.equals(big))

  for (const bytes of [tap.toServer(), tap.toClient()]) {
    t.notOk(bytes.includes('hello from a secured socket'), 'nothing of it is on the wire')
    t.notOk(bytes.includes('$'.concat(String(big.length))))
  }
})

t.test('publish and subscribe, and a blocking read', { skip }, async t => {
  const { port } = await securedRedis(t)
  const redis = connect(t, { port })
  const subscriber = connect(t, { port })
  await subscriber.subscribe('news')
  const heard = event(subscriber, 'message')
  await redis.publish('news', 'secured')
  t.same(await heard, ['news', 'secured'])

  const blocked = connect(t, { port }).blpop('queue', 10)
  await redis.rpush('queue', 'an item')
  t.same(await blocked, ['queue', 'an item'])
})

t.test('ioredis connects again by itself, and the session is resumed', { skip }, async t => {
  const { port, connections } = await securedRedis(t)
  const redis = connect(t, { port, retryStrategy: () => 10 })
  await redis.set('kept', 'yes')
  connections[0]?.destroy()
  t.equal(await redis.get('kept'), 'yes', 'ioredis has sent it anew')
  const names = ['client.example']
  t.equal(connections.length, 2)
  t.match(await connections[1]?.querySecurity(), { resumed: true, peer: { names } })
})

t.test('a server with another name gets no command', { skip }, async t => {
  const { port, connections } = await securedRedis(t)
  const redis = connect(t, { port, retryStrategy: null }, 'host/other.example.com')
  const told = event(redis, 'error')
  const lost = failure(redis.set('secret', 'never sent'))
  const [error] = await told
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.match(await lost, { message: /Connection is closed|max retries/ })
  for (const connection of connections) t.equal(connection.bytesRead, 0)
})

/** What an application writes to use ioredis with this library. */
function connect(t: Test, options: RedisOptions, peerTargetName = 'host/db.example.com'): Redis {
  class SecureConnector extends AbstractConnector {
    constructor() {
      super(500)
    }
    override connect() {
      const { port } = options
      this.stream = createConnection({
        ...{ host: '127.0.0.1', port: port as number },
        ...{ peerTargetName, security: client },
      })
      this.stream.once('error', error => {
        this.firstError = error
      })
      return Promise.resolve(this.stream)
    }
  }
  const redis = new Redis({ ...options, Connector: SecureConnector })
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  return redis
}

/** redis-server behind a secured hop; only the hop listens to the network. */
async function securedRedis(t: Test) {
  const directory = ownDirectory(t)
  const path = join(directory, 'socket')
  const settings = ['--port', '0', '--unixsocket', path, '--save', '', '--dir', directory]
  await launch(t, redisServer as string, settings).said(/[Rr]eady to accept connections/)

  const connections: SecureSocket[] = []
  const security = { ...server, requestCert: true }
  const hop = createServer({ security }, socket => {
    connections.push(socket)
    const inner = net.connect(path)
    // The end of either ends the other; why it ended is of no interest here.
    pipeline(socket, inner, socket).catch(() => {})
  })
  hop.listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of connections) socket.destroy()
    hop.close()
  })
  await event(hop, 'listening')
  return { port: (hop.address() as AddressInfo).port, connections }
}

/** `secure-socket/promises`: connect, a listener whose connections and datagrams whose messages are taken by `for await`. */
import t from 'tap'
import { connect, createSocket, listen } from '../src/promises.js'
import type { SecureSocket } from '../src/sockets/secure-socket.js'
import { closed, event, failure, text } from './support/events.js'
import { serverIdentity, trust } from './support/secured.js'
import { identified } from './support/secured-datagrams.js'
import { until } from './support/until.js'

t.test('connect() resolves with a secured socket, and rejects with the error', async t => {
  const listener = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  const { port } = listener.address()
  const socket = await connect({ port, host: '127.0.0.1', security: await trust() })
  t.match(await socket.querySecurity(), { secured: true })
  socket.destroy()
  t.match(
    await failure(
      connect({
        port,
        host: '127.0.0.1',
        security: await trust(),
        peerTargetName: 'host/x.example',
      }),
    ),
    { code: 'ERR_PEER_TARGET_NAME_MISMATCH' },
  )
  t.match(
    await failure(connect({ port, host: '127.0.0.1', signal: AbortSignal.abort() } as never)),
    { name: 'AbortError' },
  )
  const controller = new AbortController()
  const pending = failure(connect({ port, host: '127.0.0.1', signal: controller.signal } as never))
  controller.abort()
  t.match(await pending, { name: 'AbortError' })
  await listener.close()
  t.match(await failure(connect({ port, host: '127.0.0.1' })), { code: 'ECONNREFUSED' })
})

t.test('connections are iterated, also those that came before the loop', async t => {
  const listener = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  const { port } = listener.address()
  const options = { port, host: '127.0.0.1', security: await trust() }
  const clients = await Promise.all([connect(options), connect(options)])
  const served: SecureSocket[] = []
  for await (const socket of listener) {
    served.push(socket)
    socket.end(`number ${served.length}`)
    if (served.length === 2) break
  }
  t.same((await Promise.all(clients.map(text))).sort(), ['number 1', 'number 2'])

  const third = connect(options)
  for await (const socket of listener) {
    socket.end('a new loop goes on')
    break
  }
  t.equal(await text(await third), 'a new loop goes on')
  await listener.close()
  for await (const _socket of listener) t.fail('no connection after close()')
})

t.test('close() ends a loop that waits, and the connections that nobody took', async t => {
  const listener = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  const { port } = listener.address()
  const untaken = await connect({ port, host: '127.0.0.1', security: await trust() })
  await listener[Symbol.asyncDispose]()
  await closed(untaken.resume())

  const other = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  const loop = (async () => {
    for await (const _socket of other) t.fail('nobody connects')
  })()
  await other.close()
  await loop
})

t.test('several loops share the connections, and all of them end', async t => {
  const listener = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  const { port } = listener.address()
  const taken: string[] = []
  const worker = async (name: string) => {
    for await (const socket of listener) {
      taken.push(name)
      socket.end(name)
      await text(socket)
    }
  }
  const workers = [worker('a'), worker('b')]
  const options = { port, host: '127.0.0.1', security: await trust() }
  const clients = await Promise.all([connect(options), connect(options)])
  const answers = await Promise.all(clients.map(text))
  t.same(answers.sort(), ['a', 'b'])
  t.equal(listener.close(), listener.close(), 'the same end for all who ask for it')
  await Promise.all([listener.close(), ...workers])
})

t.test('what cannot begin rejects: nothing is thrown, nothing waits for ever', async t => {
  const rejected = connect({ port: 1, host: '127.0.0.1', security: { nonsense: 1 } as never })
  t.match(await failure(rejected), { code: 'EINVAL' })
  const security = await serverIdentity()
  const aborted = { port: 0, host: '127.0.0.1', security, signal: AbortSignal.abort() }
  t.match(await failure(listen(aborted)), { name: 'AbortError' })
})

t.test('the queue is bounded', async t => {
  const listener = await listen({
    port: 0,
    host: '127.0.0.1',
    maxWaiting: 1,
    security: await serverIdentity(),
  })
  const { port } = listener.address()
  const options = { port, host: '127.0.0.1', security: await trust() }
  const first = await connect(options)
  const second = await connect(options)
  await closed(second.resume())
  t.equal(first.destroyed, false)
  first.destroy()
  await listener.close()
})

t.test('what the settings lack rejects listen()', async t => {
  t.match(await failure(listen({ port: 0, host: '127.0.0.1' })), { code: 'ENOCREDENTIAL' })
  const listener = await listen({ port: 0, host: '127.0.0.1', security: await serverIdentity() })
  t.match(
    await failure(
      listen({
        port: listener.address().port,
        host: '127.0.0.1',
        security: await serverIdentity(),
      }),
    ),
    { code: 'EADDRINUSE' },
  )
  const failed = (async () => {
    for await (const _socket of listener) t.fail('nobody connects')
  })()
  listener.server.emit('error', new Error('accept failed'))
  t.match(
    await failure(failed),
    { message: 'accept failed' },
    'an error of the server ends the loop',
  )
  listener.server.close()
  await event(listener.server, 'close').catch(() => {})
})

t.test('datagrams: every method is a promise, and the messages are iterated', async t => {
  const server = createSocket({ type: 'udp4', security: await identified() })
  const { port } = await server.bind({ port: 0, address: '127.0.0.1' })
  const client = createSocket({ type: 'udp4', security: await identified(['client.example']) })
  t.teardown(() => Promise.all([client.close(), server.close()]))
  t.match(await client.secure({ address: '127.0.0.1', port }), { secured: true })
  t.equal(await client.send('one', { address: '127.0.0.1', port }), 3)
  t.equal(await client.send(['t', Buffer.from('wo')], { address: '127.0.0.1', port }), 3)
  const texts: string[] = []
  for await (const { message, rinfo } of server) {
    texts.push(message.toString())
    t.same(rinfo.peer?.names, ['client.example'])
    await server.send(`back ${message}`, rinfo)
    if (texts.length === 2) break
  }
  t.same(texts, ['one', 'two'])
  for await (const { message } of client) {
    t.equal(message.toString(), 'back one', 'also what came before the loop')
    break
  }
})

t.test('datagrams: a connected socket needs no address', async t => {
  const server = createSocket({ type: 'udp4', security: await identified() })
  const { port } = await server.bind(0, '127.0.0.1')
  const client = createSocket({ type: 'udp4' })
  t.teardown(() => Promise.all([client.close(), server.close()]))
  await client.setSecurity(await identified(['client.example']))
  await client.setPeerTargetName({ address: '127.0.0.1', port, targetName: 'localhost' })
  await client.connect({ port, address: '127.0.0.1' })
  t.match(await client.secure(), { peer: { targetName: 'localhost' } })
  t.equal(await client.send('hello'), 5)
})

t.test('datagrams: what fails rejects, and the loops go on', async t => {
  const taken = createSocket({ type: 'udp4', security: await identified() })
  const { port } = await taken.bind(0, '127.0.0.1')
  const socket = createSocket({ type: 'udp4', security: await identified() })
  t.teardown(() => taken.close())
  const loop = (async () => {
    for await (const { message } of socket) return message.toString()
    return 'ended'
  })()
  t.match(await failure(socket.bind(port, '127.0.0.1')), { code: 'EADDRINUSE' })
  await socket.bind(0, '127.0.0.1')
  t.match(await failure(socket.bind()), { code: 'ERR_SOCKET_ALREADY_BOUND' })
  t.match(await failure(socket.send('x')), { code: 'ERR_SOCKET_BAD_PORT' })
  t.match(await failure(socket.send('', { address: '127.0.0.1', port })), { code: 'EOPNOTSUPP' })
  t.match(await failure(socket.connect({ port: 0 })), { code: 'ERR_SOCKET_BAD_PORT' })
  await socket.close()
  t.equal(await loop, 'ended')
  await socket.close()
  t.match(await failure(socket.bind()), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  const unsecured = createSocket('udp4')
  unsecured.setSecurity({ nonsense: 1 } as never)
  t.match(await failure(unsecured.bind()), { code: 'EINVAL' })
  t.match(await failure(unsecured.connect({ port, address: '127.0.0.1' })), { code: 'EINVAL' })
  await unsecured[Symbol.asyncDispose]()
})

t.test('datagrams: an error of the socket ends the loops', async t => {
  const socket = createSocket({ type: 'udp4', security: await identified() })
  const loop = (async () => {
    for await (const _datagram of socket) t.fail('nobody sends')
  })()
  socket.socket.emit('error', new Error('of the system'))
  t.match(await failure(loop), { message: 'of the system' })
  await socket.close()
})

t.test('datagrams: those that nobody takes are bounded, and counted', async t => {
  const server = createSocket({ type: 'udp4', maxWaiting: 2, security: await identified() })
  const { port } = await server.bind(0, '127.0.0.1')
  const client = createSocket({ type: 'udp4', security: await identified() })
  t.teardown(() => Promise.all([client.close(), server.close()]))
  for (const text of ['one', 'two', 'three', 'four'])
    await client.send(text, { address: '127.0.0.1', port })
  await until('all have come', () => server.socket.stats.datagramsReceived === 4)
  t.equal(server.lost, 2)
  const texts: string[] = []
  for await (const { message } of server) {
    texts.push(message.toString())
    if (texts.length === 2) break
  }
  t.same(texts, ['one', 'two'])
})

/** `secure-socket/promises`: connect, and a listener whose connections are taken by `for await`. */
import t from 'tap'
import { connect, listen } from '../src/promises.js'
import type { SecureSocket } from '../src/sockets/secure-socket.js'
import { closed, event, failure, text } from './support/events.js'
import { serverIdentity, trust } from './support/secured.js'

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

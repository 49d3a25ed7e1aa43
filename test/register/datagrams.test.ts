/** Datagrams of a program that knows nothing of this library are DTLS on the wire, but for peers that stay clear. */
import type { Socket } from 'node:dgram'
import t, { type Test } from 'tap'
import { createSocket, type SecureDgramSocket } from '../../src/dgram.js'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { bound } from '../support/udp-tap.js'
import { policyFile, registered } from './registered.js'

t.before(built)

const { ca, cert, key } = await testIdentity()

/** A peer that is secured, and sends back what it gets. */
async function securedPeer(t: Test): Promise<SecureDgramSocket> {
  const socket = createSocket({ type: 'udp4', security: { ca, cert, key } })
  socket.on('message', (message, { port, address }) => socket.send(message, port, address))
  socket.bind(0, '127.0.0.1')
  await event(socket, 'listening')
  t.teardown(() => socket.close())
  return socket
}

/** One that is not, and all that it has heard. */
async function plainPeer(t: Test, echoes = true) {
  const socket: Socket = await bound()
  t.teardown(() => socket.close())
  const heard: Buffer[] = []
  socket.on('message', (message, { port, address }) => {
    heard.push(message)
    if (echoes) socket.send(message, port, address)
  })
  return {
    socket,
    port: socket.address().port,
    heard: () => Buffer.concat(heard).toString('latin1'),
  }
}

t.test('every way to a datagram socket is secured', async t => {
  const peer = await securedPeer(t)
  const policy = await policyFile(t)
  const port = String(peer.address().port)
  const program = registered(t, ['datagrams.mjs', port], { policy })
  await program.ended(30_000)
  const ways = [
    ...['createSocket', 'a captured function', 'new createSocket()', 'new Socket()'],
    ...['a class', 'util.inherits', 'bound before', 'connect'],
  ]
  for (const way of ways) t.match(program.output, `${way}: echo of ${way}\n`)
  t.match(program.output, 'a lookup in the handle: 127.0.0.1')
  t.match(program.output, 'multicast: EOPNOTSUPP')
})

t.test('what no rule names never leaves in clear, nor is it heard', async t => {
  const plain = await plainPeer(t)
  const policy = await policyFile(t, {
    clear: [{ transport: 'udp', direction: 'out', port: 1 }],
    datagrams: { handshakeTimeout: 1000 },
  })
  const program = registered(t, ['talk.cjs', '0'], { policy })
  const [, port] = await program.said(/at (\d+)/)
  program.type(`127.0.0.1:${plain.port} clear text\n`)
  plain.socket.send('from a stranger', Number(port), '127.0.0.1')
  await program.said(new RegExp(`${plain.port}: E`))
  t.notMatch(plain.heard(), 'clear text')
  t.notMatch(program.output, 'says')
})

t.test('one socket speaks to some peers in clear, and to others secured', async t => {
  const [plain, secured, stranger] = [await plainPeer(t), await securedPeer(t), await plainPeer(t)]
  const { port } = secured.address()
  const policy = await policyFile(t, {
    clear: [{ transport: 'udp', direction: 'out', port: plain.port }],
  })
  // In either order: the first peer decides how the socket begins.
  for (const ports of [
    [plain.port, port],
    [port, plain.port],
  ]) {
    for (const own of [[], ['0']]) {
      const program = registered(t, ['talk.cjs', ...own], { policy })
      for (const [index, each] of [...ports, ...ports].entries()) {
        program.type(`127.0.0.1:${each} word ${index}\n`)
        await program.said(new RegExp(`^${each} says word ${index}$`, 'm'))
      }
      const [, from] = await program.said(/from (\d+)/)
      stranger.socket.send('from a stranger', Number(from), '127.0.0.1')
      program.type(`127.0.0.1:${plain.port} the last\n`)
      await program.said(/says the last/)
      t.notMatch(program.output, 'a stranger')
      t.same(await program.finish(20_000), { code: 0, signal: null })
    }
  }
  t.match(plain.heard(), 'word')
})

t.test('a name is looked up where a rule is about addresses', async t => {
  const plain = await plainPeer(t)
  const policy = await policyFile(t, { clear: [{ loopback: true }] })
  const program = registered(t, ['talk.cjs'], { policy })
  program.type(`localhost:${plain.port} by name\n`)
  await program.said(new RegExp(`^${plain.port} says by name$`, 'm'))
  t.equal(plain.heard(), 'by name')
})

t.test('a port of its own that stays clear', async t => {
  const plain = await plainPeer(t, false)
  const free = await bound()
  const { port } = free.address()
  await new Promise<void>(resolve => free.close(resolve))
  const policy = await policyFile(t, { clear: [{ transport: 'udp', direction: 'in', port }] })
  const program = registered(t, ['talk.cjs', String(port)], { policy })
  await program.said(/at \d+/)
  plain.socket.send('clear text', port, '127.0.0.1')
  await program.said(new RegExp(`^${plain.port} says clear text$`, 'm'))
  program.type(`127.0.0.1:${plain.port} answer\n`)
  await program.said(/sent answer/)
  if (!plain.heard()) await event(plain.socket, 'message')
  t.equal(plain.heard(), 'answer')
})

t.test('a policy that cannot be used: no datagram leaves', async t => {
  const plain = await plainPeer(t)
  const folder = t.testdir({ broken: '{ "clear": [{ "loopback": true }], "identty": {} }' })
  const program = registered(t, ['talk.cjs'], { policy: `${folder}/broken` })
  program.type(`127.0.0.1:${plain.port} clear text\n`)
  await program.said(/ERR_POLICY_INVALID/)
  t.equal(plain.heard(), '')
})

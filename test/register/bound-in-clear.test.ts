/**
 * A datagram socket on a port that stays clear is not clear for whatever it does: not when that port was
 * taken and it has another one, not to a peer of another kind, and not after a connect() that failed.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { built } from '../examples/built.js'
import { run } from '../support/program.js'
import { root } from '../support/project-root.js'
import { policyFile, registerFile } from './registered.js'

t.before(built)

for (const [what, script] of [
  ['sends from a port that stays clear', 'socket.bind(clear, send)'],
  [
    'binds another port, since that one is taken',
    `socket.once('error', () => socket.bind(0, send)).bind(taken)`,
  ],
  ['could not connect', `try { socket.connect(0, '127.0.0.2') } catch { send() }`],
] as const)
  t.test(`a socket that ${what} says nothing in clear to others`, async t => {
    const [peer, other, spare] = await Promise.all([bound(t), bound(t), bound(t)])
    const clear = spare.address().port
    await new Promise<void>(resolve => spare.close(resolve))
    const first = once(peer, 'message')
    const program = `
      const [clear, taken, peer] = [${[clear, other.address().port, peer.address().port]}]
      const socket = require('node:dgram').createSocket('udp4').on('error', () => {})
      const send = () => socket.send('in clear', peer, '127.0.0.1', () => {})
      setTimeout(() => process.exit(), 2000)
      ${script}`
    const policy = await policyFile(t, {
      clear: [
        ...[clear, other.address().port].map(port => ({ port, transport: 'udp', direction: 'in' })),
        { address: '127.0.0.2' },
      ],
    })
    const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
    const ended = run(process.execPath, ['--require', registerFile, '-e', program], {
      cwd: root,
      env,
    })
    const [message] = await first
    t.equal(message[0], 22, 'what arrives first is a handshake')
    t.notMatch(message.toString('latin1'), 'in clear')
    await ended
  })

t.test('it answers whoever speaks to that port', async t => {
  const [peer, spare] = await Promise.all([bound(t), bound(t)])
  const { port } = spare.address()
  await new Promise<void>(resolve => spare.close(resolve))
  const policy = await policyFile(t, { clear: [{ port, transport: 'udp', direction: 'in' }] })
  const program = `
    const socket = require('node:dgram').createSocket('udp4')
    socket.on('message', (message, { port, address }) =>
      socket.send('answer', port, address, () => process.exit()))
    socket.bind(${port}, '127.0.0.1')`
  const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
  const answer = once(peer, 'message')
  // It may not listen yet.
  const asking = setInterval(() => peer.send('question', port, '127.0.0.1'), 100)
  t.teardown(() => clearInterval(asking))
  await run(process.execPath, ['--require', registerFile, '-e', program], { cwd: root, env })
  t.equal(String((await answer)[0]), 'answer')
})

async function bound(t: Test): Promise<dgram.Socket> {
  const socket = dgram.createSocket('udp4')
  t.teardown(() => {
    try {
      socket.close()
    } catch {
      // The test has closed it.
    }
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return socket
}

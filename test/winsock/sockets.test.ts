/** SOCKETs of our own making: what they are, whose they are, and the port that is theirs alone. */
import net from 'node:net'
import t from 'tap'
import { closesocket, getsockopt } from '../../lib/winsock.js'
import { bindSocket, createSocket, useExclusively } from '../../src/providers/winsock/sockets.js'
import { event } from '../support/events.js'
import { localAddress } from './local-address.js'

const skip = process.platform === 'win32' ? false : 'needs Winsock: npm run test:winsock'
const [SOL_SOCKET, SO_TYPE] = [0xffff, 0x1008]

t.test('a socket of each kind', { skip }, async t => {
  for (const kind of ['stream', 'datagram'] as const) {
    for (const family of [4, 6] as const) {
      const socket = createSocket(kind, family)
      t.match(socket, { kind, family, isAdopted: false })
      t.equal(getsockopt(socket.descriptor, SOL_SOCKET, SO_TYPE), kind === 'stream' ? 1 : 2)
      t.equal(localAddress(socket.descriptor), undefined, 'it is not bound')
      bindSocket(socket, {})
      const address = family === 4 ? '0.0.0.0' : '::'
      t.match(localAddress(socket.descriptor), { family, address, port: Number })
      socket.discard()
    }
  }
})

t.test('it is closed once, and only while it is ours', { skip }, async t => {
  const socket = createSocket('stream', 4)
  t.ok(socket.alive())
  socket.discard()
  t.notOk(socket.alive())
  const other = createSocket('stream', 4)
  t.equal(other.descriptor, socket.descriptor, 'the number is given to the next at once')
  socket.discard()
  t.equal(localAddress(other.descriptor), undefined, 'and the next is left alone')

  let held = true
  other.adopted(() => held)
  t.ok(other.isAdopted)
  t.ok(other.alive())
  other.discard()
  t.equal(localAddress(other.descriptor), undefined, 'what Node has taken is Node’s to close')
  held = false
  t.notOk(other.alive(), 'and lives as long as the handle says')
  t.equal(closesocket(other.descriptor), 0)
})

t.test('a socket that is discarded cannot be adopted', { skip }, async t => {
  const socket = createSocket('stream', 4)
  socket.discard()
  socket.adopted(() => true)
  t.notOk(socket.alive())
  t.notOk(socket.isAdopted)
})

t.test('a port that is used exclusively is refused to others', { skip }, async t => {
  const socket = createSocket('stream', 4)
  t.teardown(() => socket.discard())
  useExclusively(socket.descriptor)
  bindSocket(socket, { address: '127.0.0.1' })
  const port = localAddress(socket.descriptor)?.port as number
  const other = createSocket('stream', 4)
  t.teardown(() => other.discard())
  t.throws(() => bindSocket(other, { address: '127.0.0.1', port }), {
    code: /^EADDRINUSE|EACCES$/,
    syscall: 'bind',
    address: '127.0.0.1',
    port,
    errno: Number,
    message: new RegExp(`^bind E\\w+ 127\\.0\\.0\\.1:${port}`),
  })
  const server = net.createServer()
  server.listen(port, '127.0.0.1')
  t.match(await event(server, 'error'), [{ code: 'EADDRINUSE' }])
})

t.test('an address that is not here', { skip }, async t => {
  const socket = createSocket('stream', 4)
  t.teardown(() => socket.discard())
  t.throws(() => bindSocket(socket, { address: '192.0.2.1', port: 1 }), {
    code: 'EADDRNOTAVAIL',
    address: '192.0.2.1',
  })
  t.throws(() => bindSocket(socket, { address: '::1' }), { code: 'EINVAL', syscall: 'bind' })
})

t.test('an option of a closed socket is ENOTSOCK', { skip }, async t => {
  const socket = createSocket('stream', 4)
  socket.discard()
  t.throws(() => useExclusively(socket.descriptor), { code: 'ENOTSOCK', syscall: 'setsockopt' })
  t.throws(() => localAddress(socket.descriptor), { code: 'ENOTSOCK' })
})

/** The port of a guarded datagram socket: its own for as long as it lives, and empty when it begins. */
import dgram from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { NativeBinding } from '../../../../src/providers/datagram-provider.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the port is bound by Linux calls')
  process.exit()
}
const linux = await import('../../../../lib/linux-sockets.js')
const { bindDatagrams, drain, lingers } = await import(
  '../../../../src/providers/strongswan/datagrams/datagram-port.js'
)
const { boundAddress, makeSocket } = await import(
  '../../../../src/providers/strongswan/host/linux-socket.js'
)

const LOOPBACK = '127.0.0.1'

function made(t: Test) {
  const socket = makeSocket('datagram', 4)
  t.teardown(() => socket.discard())
  return socket
}

function to(port: number): NativeBinding {
  const { signal } = new AbortController()
  return { address: LOOPBACK, port, ipv6Only: false, acceptsStrangers: true, signal }
}

t.test('a port that the system chooses stays, also when the socket is disconnected', async t => {
  const socket = made(t)
  const { port } = await bindDatagrams(socket, to(0))
  t.ok(port > 0)
  const words = new Uint32Array(8)
  const name = new Uint8Array(words.buffer)
  name.set([linux.AF_INET, 0, 0, 9, 127, 0, 0, 1])
  t.equal(linux.connect(socket.descriptor, words, 16), 0)
  // AF_UNSPEC.
  t.equal(linux.connect(socket.descriptor, new Uint32Array(8), 16), 0)
  t.same(boundAddress(socket.descriptor), { address: LOOPBACK, port })
})

t.test('nobody else can take the port, whatever he sets (R9)', async t => {
  const socket = made(t)
  // As a handle of libuv's does that opens it.
  linux.setsockopt(socket.descriptor, linux.SOL_SOCKET, linux.SO_REUSEADDR, 1)
  const { port } = await bindDatagrams(socket, to(0))
  const thief = dgram.createSocket({ type: 'udp4', reuseAddr: true }).bind(port, LOOPBACK)
  t.match(await once(thief, 'error'), [{ code: 'EADDRINUSE' }])
  thief.close()
  await t.rejects(bindDatagrams(made(t), to(port)), {
    code: 'EADDRINUSE',
    syscall: 'bind',
    errno: -98,
    address: LOOPBACK,
    port,
  })
})

t.test('a port that this process gives up just now is waited for', async t => {
  const before = made(t)
  const { port } = await bindDatagrams(before, to(0))
  let ends = () => {}
  lingers(
    new Promise(resolve => {
      ends = resolve
    }),
  )
  const binding = bindDatagrams(made(t), to(port))
  before.discard()
  ends()
  t.same(await binding, { address: LOOPBACK, port })
})

t.test('what has come before is thrown away, empty datagrams too', async t => {
  const socket = made(t)
  const { port } = await bindDatagrams(socket, to(0))
  const sender = dgram.createSocket('udp4')
  t.teardown(() => sender.close())
  for (const text of ['one', '', 'x'.repeat(2000)])
    await new Promise(resolve => sender.send(text, port, LOOPBACK, resolve))
  drain(socket.descriptor)
  const into = new Uint8Array(10)
  t.equal(linux.recv(socket.descriptor, into, linux.MSG_DONTWAIT), -11, 'EAGAIN')
  await new Promise(resolve => sender.send('later', port, LOOPBACK, resolve))
  t.equal(linux.recv(socket.descriptor, into, linux.MSG_DONTWAIT), 5)
  t.throws(() => drain(-1), { code: 'EBADF' })
})

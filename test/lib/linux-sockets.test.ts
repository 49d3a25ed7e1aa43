/**
 * Linux's socket calls, seen at sockets of this process: what a provider relies on before Node has
 * the descriptor.
 */
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import * as linux from '../../lib/linux-sockets.js'
import { readSource, sockaddr, sockaddrBytes } from '../../src/channels/batch/sockaddr.js'

const skip = process.platform !== 'linux' && 'for Linux'

t.test('bind with port 0 takes a port that getsockname tells', { skip }, async t => {
  for (const [family, address] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const fd = socket(t, family, linux.SOCK_DGRAM)
    t.equal(bind(fd, family, address, 0), 0)
    const words = new Uint32Array(8)
    t.equal(linux.getsockname(fd, words), 0)
    const { address: bound, port } = readSource(words, 0)
    t.equal(bound, address)
    t.ok(port > 0, 'a port of the system')
    const other = socket(t, family, linux.SOCK_DGRAM)
    t.equal(bind(other, family, address, port), -98, 'EADDRINUSE comes back as its number')
  }
})

t.test('connect of a datagram socket tells the source address', { skip }, async t => {
  const fd = socket(t, 4, linux.SOCK_DGRAM)
  t.equal(linux.connect(fd, name(4, '127.0.0.5', 9), sockaddrBytes(4)), 0)
  const words = new Uint32Array(8)
  t.equal(linux.getsockname(fd, words), 0)
  t.equal(readSource(words, 0).address, '127.0.0.1')
})

t.test('recv takes what waits, one datagram at a time, then EAGAIN', { skip }, async t => {
  const fd = socket(t, 4, linux.SOCK_DGRAM)
  t.equal(bind(fd, 4, '127.0.0.1', 0), 0)
  const words = new Uint32Array(8)
  linux.getsockname(fd, words)
  const from = socket(t, 4, linux.SOCK_DGRAM)
  t.equal(linux.connect(from, words, sockaddrBytes(4)), 0)
  const { createArena } = await import('../../lib/memory.js')
  const { bytes, address } = createArena(4)
  bytes.write('abcd')
  t.equal(linux.sendto(from, address, 4, 0, 0, 0), 4)
  t.equal(linux.sendto(from, address, 2, 0, 0, 0), 2)
  const into = Buffer.alloc(3)
  t.equal(linux.recv(fd, into, linux.MSG_DONTWAIT), 3, 'cut to the room')
  t.equal(into.toString(), 'abc')
  t.equal(linux.recv(fd, into, linux.MSG_DONTWAIT), 2)
  t.equal(linux.recv(fd, into, linux.MSG_DONTWAIT), -11, 'EAGAIN')
})

t.test('with a linger of 0 seconds close resets the connection', { skip }, async t => {
  const server = createServer()
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const seen = new Promise<string | undefined>(settled => {
    server.once('connection', (accepted: Socket) => {
      accepted.once('error', (error: Error & { code?: string }) => settled(error.code))
      accepted.once('end', () => settled('a clean end'))
      accepted.resume()
      linux.close(fd)
    })
  })
  const fd = linux.socket(linux.AF_INET, linux.SOCK_STREAM, 0)
  t.equal(linux.connect(fd, name(4, '127.0.0.1', port), sockaddrBytes(4)), 0)
  t.equal(linux.setLinger(fd, 0), 0)
  t.equal(await seen, 'ECONNRESET')
})

function socket(t: Test, family: 4 | 6, type: number): number {
  const fd = linux.socket(family === 4 ? linux.AF_INET : linux.AF_INET6, type, 0)
  t.ok(fd >= 0)
  t.teardown(() => {
    linux.close(fd)
  })
  return fd
}

function bind(fd: number, family: 4 | 6, address: string, port: number): number {
  return linux.bind(fd, name(family, address, port), sockaddrBytes(family))
}

function name(family: 4 | 6, address: string, port: number): Uint32Array {
  const words = sockaddr(family, address, port)
  if (!words) throw new Error(`no address: ${address}`)
  return words
}

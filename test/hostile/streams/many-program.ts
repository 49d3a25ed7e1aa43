/**
 * A process that opens and closes connections in every way, both ends in it, and says what it holds after a
 * part of them and at the end. Its garbage is collected before each count.
 */
import net from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import tls from 'node:tls'
import { createConnection } from '../../../src/net.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { allocated } from '../../support/allocated.js'
import { connections } from '../../support/connections.js'
import { descriptors } from '../../support/descriptors.js'

const { count, client, server: security, plain = false } = JSON.parse(process.argv[2] as string)
const alive: WeakRef<object>[] = []
const HOST = '127.0.0.1'
/** TLS 1.2 without tickets: then it is the server that would have to keep something. */
const SSL_OP_NO_TICKET = 0x4000

const server = plain
  ? tls.createServer(security, echo).on('tlsClientError', () => {})
  : new SecureServer({ security }, echo)
server.listen(0, HOST, run)

function echo(socket: net.Socket): void {
  alive.push(new WeakRef(socket))
  socket.on('error', () => {}).pipe(socket)
}

async function run(): Promise<void> {
  const { port } = server.address() as { port: number }
  const ways = [
    () => ours(port, socket => socket.end()),
    () => ours(port, socket => socket.destroy()),
    () => ours(port, socket => socket.resetAndDestroy()),
    () => ours(port, () => {}, { peerTargetName: 'another.example' }),
    () => ours(port, socket => socket.destroy(), {}, true),
    () => inClear(port),
    () => foreign(port, { maxVersion: 'TLSv1.2', secureOptions: SSL_OP_NO_TICKET }),
    () => foreign(port, {}),
  ]
  // For comparison: what Node itself keeps of each.
  if (plain) ways.splice(0, ways.length, () => foreign(port, {}))
  const figures = []
  for (let done = 0; done < count; ) {
    const some = Array.from({ length: 40 }, (_, index) => ways[(done + index) % ways.length]?.())
    await Promise.all(some)
    done += some.length
    // What is loaded and compiled with the first ones stays.
    if (figures.length === 0 ? done >= count / 5 : done >= count) figures.push(await held(done))
  }
  server.close()
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

function ours(
  port: number,
  ends: (socket: SecureSocket) => void,
  more: object = {},
  atOnce = false,
): Promise<unknown> {
  const socket = createConnection({ port, host: HOST, security: client, ...more })
  alive.push(new WeakRef(socket))
  socket.write('x')
  if (atOnce) ends(socket)
  return over(socket, () => ends(socket))
}

function inClear(port: number): Promise<unknown> {
  const socket = net.connect(port, HOST)
  socket.write('GET / HTTP/1.1\r\n\r\n')
  return over(socket, () => {})
}

function foreign(port: number, more: tls.ConnectionOptions): Promise<unknown> {
  const socket = tls.connect({ ...client, port, host: HOST, servername: 'localhost', ...more })
  socket.write('x')
  return over(socket, () => socket.end())
}

function over(socket: net.Socket, heard: () => void): Promise<unknown> {
  socket.on('error', () => {})
  socket.on('data', heard)
  return new Promise(resolve => socket.on('close', resolve))
}

async function held(done: number): Promise<object> {
  // The other ends close a little later.
  for (let i = 0; i < 200 && (await connections(server)) > 0; i++) await pause(10)
  for (let i = 0; i < 10; i++) {
    globalThis.gc?.()
    await pause(20)
  }
  return {
    done,
    connections: await connections(server),
    sockets: alive.filter(each => each.deref() !== undefined).length,
    resources: process.getActiveResourcesInfo().sort(),
    descriptors: descriptors(),
    heap: process.memoryUsage().heapUsed,
    external: process.memoryUsage().external,
    allocated: allocated(),
    resident: process.memoryUsage().rss,
  }
}

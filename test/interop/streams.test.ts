/**
 * Node's own stream tools and old ways of inheriting, with node:tls at the other end: web streams,
 * stream.pipeline, compression, subclasses.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, NetConnectOpts } from 'node:net'
import { Duplex, PassThrough, Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import util from 'node:util'
import { createGunzip, createGzip } from 'node:zlib'
import t, { type Test } from 'tap'
import { createConnection } from '../../src/net.js'
import { SecureSocket, type SecureSocketOptions } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { clientIdentity, listening, trust } from '../support/secured.js'

const { ca } = await trust()
const server = await testIdentity()
const client = await clientIdentity()

t.test('as a web stream: written, read, and ended', async t => {
  const port = await foreignServer(t, socket => socket.pipe(socket))
  const socket = createConnection({ port, host: '127.0.0.1', security: client })
  await socket.secured
  const { readable, writable } = Duplex.toWeb(socket)
  const sent = randomBytes(1_000_000)
  const writing = (async () => {
    const writer = writable.getWriter()
    for (let offset = 0; offset < sent.length; offset += 50_000) {
      await writer.ready
      await writer.write(sent.subarray(offset, offset + 50_000))
    }
    await writer.close()
  })()
  const heard: Uint8Array[] = []
  for await (const chunk of readable) heard.push(chunk as Uint8Array)
  await writing
  t.ok(Buffer.concat(heard).equals(sent))
})

t.test('a web stream through a web transform, at our server', async t => {
  const { port } = await listening(t, { security: { ca, requestCert: true } }, socket => {
    socket.on('error', () => {})
    const { readable, writable } = Duplex.toWeb(socket)
    const shout = new TransformStream({
      transform: (chunk, controller) =>
        controller.enqueue(Buffer.from(String(Buffer.from(chunk)).toUpperCase())),
    })
    const over = readable.pipeThrough(shout as never).pipeTo(writable)
    // The client just goes in the end.
    over.catch(() => {})
  })
  const socket = foreignClient(t, port)
  for (const word of ['quietly', 'again']) {
    socket.write(word)
    const [data] = await event(socket, 'data')
    t.equal(String(data), word.toUpperCase())
  }
})

t.test('a web stream whose peer breaks off does not hang', async t => {
  const port = await foreignServer(t, socket => {
    socket.write('the first half')
    socket.once('data', () => socket.destroy())
  })
  const socket = createConnection({ port, host: '127.0.0.1', security: client })
  await socket.secured
  const closed = once(socket, 'close').catch(() => {})
  const { readable, writable } = Duplex.toWeb(socket)
  const reader = readable.getReader()
  t.equal(String(Buffer.from((await reader.read()).value)), 'the first half')
  const writer = writable.getWriter()
  await writer.write(Buffer.from('break off now'))
  await Promise.allSettled([reader.closed, writer.closed, closed])
  t.equal(socket.destroyed, true)
})

t.test('stream.pipeline: file, compression, socket; and back', async t => {
  const digest = createHash('sha256')
  const { port } = await listening(
    t,
    { allowHalfOpen: true, security: { ca, requestCert: true } },
    socket => {
      const count = new Transform({
        transform(chunk, _encoding, next) {
          digest.update(chunk)
          next(null, chunk)
        },
      })
      pipeline(socket, createGunzip(), count, createGzip(), socket).catch(error => t.fail(error))
    },
  )
  const socket = foreignClient(t, port, { allowHalfOpen: true })
  const sent = Buffer.from('a line that compresses well\n'.repeat(100_000))
  const heard: Buffer[] = []
  const back = pipeline(socket, createGunzip(), new PassThrough(), async source => {
    for await (const chunk of source) heard.push(chunk)
  })
  await Promise.all([pipeline(Readable.from([sent]), createGzip(), socket), back])
  t.ok(Buffer.concat(heard).equals(sent))
  t.equal(digest.digest('hex'), createHash('sha256').update(sent).digest('hex'))
})

t.test('pipeline ends with the error of a refused connection', async t => {
  const port = await foreignServer(t, () => {})
  const socket = createConnection({
    ...{ port, host: '127.0.0.1', security: client },
    peerTargetName: 'other.example',
  })
  const error = await failure(pipeline(Readable.from(['secret']), socket))
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
})

t.test('subclasses, written in the way of any age, talk to node:tls', async t => {
  const port = await foreignServer(t, socket => socket.pipe(socket))

  class Modern extends SecureSocket {
    lines: string[] = []
    constructor(options: SecureSocketOptions) {
      super(options)
      this.on('data', line => this.lines.push(String(line)))
    }
  }

  function Old(this: SecureSocket & { lines: string[] }, options: SecureSocketOptions) {
    SecureSocket.call(this as never, options)
    this.lines = []
    this.on('data', (line: Buffer) => this.lines.push(String(line)))
  }
  util.inherits(Old, SecureSocket)

  function Older(this: SecureSocket, options: SecureSocketOptions) {
    const self = SecureSocket.call(this as never, options) ?? this
    return self
  }
  Object.setPrototypeOf(Older.prototype, SecureSocket.prototype)
  Older.prototype.greet = function (this: SecureSocket) {
    return this.write('hello from a prototype')
  }

  for (const [name, Kind] of Object.entries({ Modern, Old, Older })) {
    const New = Kind as unknown as new (
      options: SecureSocketOptions,
    ) => SecureSocket & { lines?: string[]; greet?: () => void }
    const socket = new New({ security: client })
    t.teardown(() => socket.destroy())
    t.ok(socket instanceof SecureSocket, name)
    socket.connect({ port, host: '127.0.0.1' } as NetConnectOpts)
    t.match(await socket.secured, { secured: true, peer: { pin: server.pin } })
    if (socket.greet) socket.greet()
    else socket.write('hello')
    const [data] = await event(socket, 'data')
    t.match(String(data), /^hello/)
    t.same(socket.lines ?? ['hello'], ['hello'])
  }
})

function foreignClient(t: Test, port: number, options: object = {}): TLSSocket {
  const identity = client as ConnectionOptions
  const socket = tls.connect({ port, host: '127.0.0.1', ...identity, ...options })
  t.teardown(() => socket.destroy())
  return socket
}

async function foreignServer(t: Test, listener: (socket: TLSSocket) => void): Promise<number> {
  const { cert, key } = server
  const listens = tls.createServer({ cert, key, ca, requestCert: true }, socket => {
    t.teardown(() => socket.destroy())
    listener(socket.on('error', () => {}))
  })
  listens.listen(0, '127.0.0.1')
  t.teardown(() => listens.close())
  await event(listens, 'listening')
  return (listens.address() as AddressInfo).port
}

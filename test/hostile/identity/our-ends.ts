/** Our sockets in the table: they have a secret to tell to the right peer, and tell what became of it. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'
import type { Test } from 'tap'
import { createSocket } from '../../../src/dgram.js'
import { createConnection } from '../../../src/net.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { closed as closedDatagrams } from '../../interop/dtls-sockets.js'
import { closed, event, failure } from '../../support/events.js'
import { OUR_SECRET, type Transport } from './reader.js'

const HOST = '127.0.0.1'

/** Settings that streams and datagrams both have. */
export interface Security {
  readonly cert?: string
  readonly key?: string
  readonly ca?: string
  readonly crl?: string
  readonly psk?: object
  readonly ticketKeys?: Buffer
  readonly handshakeTimeout?: number
  readonly ciphers?: string
}

export type Refusal = Error & { code?: string; peer?: string }

/** Contacts whoever is there, with its secret at hand, and gives the error that it must end with. */
export function refusedAsServer(
  t: Test,
  transport: Transport,
  port: number,
  name: string | undefined,
  security: Security,
): Promise<Refusal> {
  return transport === 'tcp'
    ? refusedStream(t, port, name, security)
    : refusedDatagrams(t, port, name, security)
}

async function refusedStream(
  t: Test,
  port: number,
  peerTargetName: string | undefined,
  security: Security,
): Promise<Refusal> {
  const named = peerTargetName === undefined ? {} : { peerTargetName }
  const socket = createConnection({ port, host: HOST, ...named, security: security as object })
  t.teardown(() => socket.destroy())
  socket.on('connect', () => t.fail('it connected'))
  socket.on('data', () => t.fail('it gave data'))
  const written = new Promise<Error | null | undefined>(resolve =>
    socket.write(OUR_SECRET, resolve),
  )
  const [error] = (await event(socket, 'error')) as [Refusal]
  t.equal((await failure(socket.secured)).message, error.message, 'secured says the same')
  t.ok((await written) instanceof Error, 'and the write tells that it was not sent')
  await closed(socket)
  return error
}

async function refusedDatagrams(
  t: Test,
  port: number,
  targetName: string | undefined,
  security: Security,
): Promise<Refusal> {
  const socket = createSocket({ type: 'udp4', security: security as object })
  t.teardown(() => closedDatagrams(socket))
  socket.on('secure', () => t.fail('it was secured'))
  socket.on('message', () => t.fail('it gave a message'))
  if (targetName !== undefined) await socket.setPeerTargetName({ address: HOST, port, targetName })
  const told = event(socket, 'peerError')
  const error = await failure(
    new Promise<void>((resolve, reject) => {
      socket.send(OUR_SECRET, port, HOST, error => (error ? reject(error) : resolve()))
    }),
  )
  t.equal(((await told)[0] as Error).message, error.message, "'peerError' says the same")
  t.same(socket.peers(), [])
  return error
}

export interface Guarded {
  readonly port: number
  /** The error by which the next who came was not let in. */
  refusal(): Promise<Refusal>
}

/** Lets nobody in but the right peer, to whom it would tell its secret at once. */
export function guarded(
  t: Test,
  transport: Transport,
  name: string | undefined,
  security: Security,
): Promise<Guarded> {
  return transport === 'tcp' ? guardedStreams(t, security) : guardedDatagrams(t, name, security)
}

async function guardedStreams(t: Test, security: Security): Promise<Guarded> {
  const server = new SecureServer({
    security: { requestCert: !security.psk, ...security } as object,
  })
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  server.on('connection', socket => {
    t.fail('it was let in')
    socket.end(OUR_SECRET)
  })
  const refusals = queue<Refusal>()
  server.on('tlsClientError', refusals.put)
  server.listen(0, HOST)
  await event(server, 'listening')
  return { port: (server.address() as { port: number }).port, refusal: refusals.next }
}

/** Of strangers nobody is told but who listens for the story of the whole process. */
async function guardedDatagrams(
  t: Test,
  targetName: string | undefined,
  security: Security,
): Promise<Guarded> {
  const socket = createSocket({ type: 'udp4', security: security as object })
  t.teardown(() => closedDatagrams(socket))
  socket.on('error', error => t.fail(`'error' at a server: ${error.message}`))
  socket.on('message', () => t.fail('it gave a message'))
  socket.on('secure', ({ address, port }) => {
    t.fail('it was let in')
    socket.send(OUR_SECRET, port, address)
  })
  socket.bind(0, HOST)
  await event(socket, 'listening')
  // Without a port: whoever speaks from there.
  if (targetName !== undefined) await socket.setPeerTargetName({ address: HOST, targetName })
  const refusals = queue<Refusal>()
  const failed = (message: unknown) => refusals.put((message as { error: Refusal }).error)
  subscribe('secure-socket:dtls:failed', failed)
  t.teardown(() => unsubscribe('secure-socket:dtls:failed', failed))
  return { port: socket.address().port, refusal: refusals.next }
}

/** What comes, in order; who asks first waits. */
function queue<T>(): { put(item: T): void; next(): Promise<T> } {
  const items: T[] = []
  const arrivals = new EventEmitter()
  return {
    put(item) {
      items.push(item)
      arrivals.emit('item')
    },
    async next() {
      while (items.length === 0) await event(arrivals, 'item')
      return items.shift() as T
    },
  }
}

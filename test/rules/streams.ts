/** What every provider's streams have in common in the table of rules: SecureSocket and SecureServer. */
import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { wireTap } from '../support/wire-tap.js'
import { clearClient, clearPeer } from './raw-tcp.js'
import {
  type Endpoint,
  type ForeignPeer,
  HOST,
  type ServerEndpoint,
  type ServerOptions,
  type SocketOptions,
  type Subject,
} from './subject.js'

export const streams = {
  kind: 'stream',
  socket(t, options) {
    const socket = new SecureSocket(options)
    t.teardown(() => socket.destroy())
    return endpoint(socket)
  },
  foreignSocket,
  foreignPeer,
  noSocket: thing => ({
    setSecurity: settings =>
      SecureSocket.prototype.setSecurity.call(thing as never, settings as never),
    setPeerTargetName: name =>
      SecureSocket.prototype.setPeerTargetName.call(thing as never, name as never),
    querySecurity: () => SecureSocket.prototype.querySecurity.call(thing as never),
  }),
  server,
  listenInWorker,
  clearPeer,
  clearClient,
  async tap(t, port) {
    const tap = await wireTap(port)
    t.teardown(() => tap.close())
    return {
      port: tap.port,
      get contacts() {
        return tap.connections
      },
      toServer: tap.toServer,
      toClient: tap.toClient,
    }
  },
  resources: () =>
    process.getActiveResourcesInfo().filter(each => /TCP|TLS|Timeout/.test(each)).length,
} satisfies Partial<Subject>

function endpoint(socket: SecureSocket): Endpoint {
  let heard = ''
  let insecure = false
  // `socket.closed` is true a little before the event 'close'.
  let open = true
  // What becomes of a connect(): its error, or nothing where it succeeds.
  const outcomes = new EventEmitter()
  socket.on('connect', () => outcomes.emit('outcome'))
  socket.on('error', error => outcomes.emit('outcome', error))
  socket.on('close', () => {
    open = false
    outcomes.emit('outcome', new Error('closed before it was connected'))
    outcomes.emit('close')
  })
  socket.on('data', chunk => {
    heard += chunk.toString()
  })
  socket.on('insecure', () => {
    insecure = true
  })
  return {
    setSecurity: settings => socket.setSecurity(settings as never),
    setPeerTargetName: name => socket.setPeerTargetName(name as never),
    deletePeerTargetName: () => socket.deletePeerTargetName(),
    querySecurity: () => socket.querySecurity(),
    impersonatePeer: fn => socket.impersonatePeer(fn),
    get secured() {
      return socket.secured
    },
    connect(port) {
      open = true
      socket.connect(port, HOST)
      return connected()
    },
    connectForeign(path) {
      socket.connect(path)
      return connected()
    },
    send: text => void socket.write(text),
    get heard() {
      return heard
    },
    async hears(length) {
      while (heard.length < length) await event(socket, 'data')
      return heard
    },
    get insecure() {
      return insecure
    },
    destroy() {
      socket.destroy()
      return closed()
    },
    close() {
      socket.end()
      return closed()
    },
    closed,
  }

  function connected(): Promise<void> {
    const outcome = event(outcomes, 'outcome').then(([error]) => {
      if (error !== undefined) throw error
    })
    outcome.catch(() => {})
    return outcome
  }

  async function closed(): Promise<void> {
    if (open) await event(outcomes, 'close')
  }
}

function server(t: Test, { greeting, ...options }: ServerOptions = {}): ServerEndpoint {
  const endpoints: Endpoint[] = []
  const accepted = queue<Endpoint>()
  const refused = queue<Error>()
  let insecure = 0
  const server = new SecureServer(options)
  server.on('connection', socket => {
    const each = endpoint(socket)
    endpoints.push(each)
    accepted.put(each)
    if (greeting !== undefined) each.send(greeting)
  })
  server.on('insecure', () => {
    insecure += 1
  })
  server.on('tlsClientError', refused.put)
  t.teardown(() => {
    for (const each of endpoints) each.destroy()
    server.close()
  })
  return {
    setSecurity: settings => server.setSecurity(settings as never),
    async listen(options) {
      server.listen({ port: 0, host: HOST, ...options })
      await event(server, 'listening', 60_000)
      return (server.address() as net.AddressInfo).port
    },
    async listenForeign() {
      server.listen(pipePath())
      await event(server, 'listening', 60_000)
    },
    get listening() {
      return server.listening
    },
    accepted: accepted.next,
    refused: refused.next,
    get insecure() {
      return insecure
    },
    get heard() {
      return endpoints.map(each => each.heard).join('')
    },
    async close() {
      const closed = event(server, 'close')
      server.close()
      await closed
    },
  }
}

/** Listens in a process of a cluster, once for each, and says how that went. */
async function listenInWorker(t: Test, attempts: readonly object[]): Promise<string[]> {
  cluster.setupPrimary({ exec: fileURLToPath(new URL('cluster-worker.ts', import.meta.url)) })
  const worker = cluster.fork({ RULES_ATTEMPTS: JSON.stringify(attempts) })
  t.teardown(() => worker.process.kill())
  const [outcomes] = await event(worker, 'message', 60_000)
  return outcomes as string[]
}

/** Libraries adopt handles in this way; a pipe's is none that can be secured. */
async function foreignSocket(t: Test, options?: SocketOptions): Promise<Endpoint> {
  const { path } = await foreignPeer(t)
  const pipe = net.connect(path)
  await event(pipe, 'connect')
  const socket = new SecureSocket(options)
  const { _handle } = pipe as unknown as { _handle: unknown }
  Object.assign(socket, { _handle })
  t.teardown(() => {
    // Two sockets must not close one handle.
    Object.assign(socket, { _handle: null })
    pipe.destroy()
  })
  return endpoint(socket)
}

async function foreignPeer(t: Test): Promise<ForeignPeer> {
  const path = pipePath()
  let contacts = 0
  const server = net.createServer(socket => {
    contacts += 1
    t.teardown(() => socket.destroy())
  })
  server.listen(path)
  await event(server, 'listening', 60_000)
  t.teardown(() => server.close())
  return {
    path,
    get contacts() {
      return contacts
    },
  }
}

function pipePath(): string {
  const name = `secure-socket-${randomUUID()}`
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), name)
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

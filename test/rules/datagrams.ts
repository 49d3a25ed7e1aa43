/**
 * What every provider's datagrams have in common in the table of rules: SecureDgramSocket. A client is
 * a socket that is connected to its one peer, which it has authenticated; a server is a bound one, and
 * what it has accepted is a peer that it has secured.
 */
import cluster from 'node:cluster'
import { EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { SecurityInfo } from '../../src/model/security-info.js'
import type { PeerAddress } from '../../src/providers/datagram-provider.js'
import {
  SecureDgramSocket,
  type SecureDgramSocketOptions,
} from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { udpTap } from '../support/udp-tap.js'
import { clearClient, clearPeer } from './raw-udp.js'
import {
  type Endpoint,
  HOST,
  type ServerEndpoint,
  type ServerOptions,
  type SocketOptions,
  type Subject,
} from './subject.js'

/** Where a system negotiates when a datagram is sent, one is; nobody counts it as the test's own. */
export const HELLO = '\0'

/** How a socket has a peer authenticated before anything of the test's own is sent to it. */
export type Secure = (socket: SecureDgramSocket, peer: PeerAddress) => Promise<SecurityInfo>

export function datagrams(secure: Secure) {
  return {
    kind: 'datagram',
    socket(t, options) {
      const socket = created(options)
      t.teardown(() => closed(socket))
      const client = endpoint(socket, secure)
      if (options && 'peerTargetName' in options) client.setPeerTargetName(options.peerTargetName)
      return client
    },
    datagramSocket(t, options) {
      const socket = created(options)
      t.teardown(() => closed(socket))
      return socket
    },
    secure,
    foreignSocket: noPipes,
    foreignPeer: noPipes,
    noSocket: thing => ({
      setSecurity: settings =>
        SecureDgramSocket.prototype.setSecurity.call(thing as never, settings as never),
      setPeerTargetName: name =>
        SecureDgramSocket.prototype.setPeerTargetName.call(
          thing as never,
          { address: HOST, targetName: name } as never,
        ),
      querySecurity: () => SecureDgramSocket.prototype.querySecurity.call(thing as never),
    }),
    server: (t, options) => server(t, options, secure),
    listenInWorker,
    clearPeer,
    clearClient,
    async tap(t, port) {
      const tap = await udpTap(port)
      t.teardown(() => tap.close())
      return {
        port: tap.port,
        get contacts() {
          return tap.toServer.length
        },
        toServer: () => Buffer.concat(tap.toServer),
        toClient: () => Buffer.concat(tap.toClient),
      }
    },
    resources: () =>
      process.getActiveResourcesInfo().filter(each => /UDP|Timeout/.test(each)).length,
  } satisfies Partial<Subject>
}

function created(options: object = {}) {
  const { peerTargetName: _name, ...rest } = options as SocketOptions
  return new SecureDgramSocket({ type: 'udp4', ...rest } as SecureDgramSocketOptions)
}

/** A socket that speaks to one peer of loopback. */
function endpoint(socket: SecureDgramSocket, secure: Secure): Endpoint {
  const texts = collected(socket, () => true)
  let connectedPort = 0
  let secured: Promise<SecurityInfo> | undefined
  let open = true
  const ends = new EventEmitter()
  const end = () => {
    open = false
    ends.emit('end')
  }
  socket.on('close', end)
  socket.on('peerClose', end)
  socket.on('error', () => {})
  return {
    setSecurity: settings => socket.setSecurity(settings as never),
    setPeerTargetName: name =>
      socket.setPeerTargetName({ address: HOST, targetName: name as string }),
    deletePeerTargetName: () => socket.deletePeerTargetName({ address: HOST }),
    querySecurity: () => socket.querySecurity(),
    impersonatePeer: fn => socket.impersonatePeer(fn),
    get secured() {
      return secured ?? Promise.reject(new Error('connect() was not called'))
    },
    connect(port) {
      connectedPort = port
      secured = new Promise<void>((resolve, reject) => {
        // What cannot be bound never comes to connect.
        socket.once('error', reject)
        const connected = (error?: Error) => (error ? reject(error) : resolve())
        socket.connect(port, HOST, connected as () => void)
      }).then(() => secure(socket, { address: HOST, port }))
      secured.catch(() => {})
      const outcome = secured.then(() => {})
      outcome.catch(() => {})
      return outcome
    },
    connectForeign: noPipes,
    // While it is connecting, a datagram says where it goes.
    send(text) {
      if (isConnected(socket)) socket.send(text)
      else socket.send(text, connectedPort, HOST)
    },
    get heard() {
      return texts.heard
    },
    hears: texts.hears,
    insecure: false,
    async destroy() {
      for (const { address, port } of socket.peers()) socket.closePeer({ address, port })
      await closed(socket)
    },
    close: () => closed(socket),
    async closed() {
      if (open) await event(ends, 'end')
    },
  }
}

/** A peer of a bound socket. */
function acceptedPeer(socket: SecureDgramSocket, peer: PeerAddress, secure: Secure): Endpoint {
  const isPeer = (from: PeerAddress) => from.port === peer.port && from.address === peer.address
  const texts = collected(socket, isPeer)
  let open = true
  const ends = new EventEmitter()
  const end = () => {
    open = false
    ends.emit('end')
  }
  socket.on('peerClose', each => {
    if (isPeer(each)) end()
  })
  socket.on('close', end)
  const unconnected = () => Promise.reject(new Error('a peer of a server is not connected'))
  return {
    setSecurity: settings => socket.setSecurity(settings as never),
    setPeerTargetName: name => socket.setPeerTargetName({ ...peer, targetName: name as string }),
    deletePeerTargetName: () => socket.deletePeerTargetName(peer),
    querySecurity: () => socket.querySecurity(peer),
    impersonatePeer: fn => socket.impersonatePeer(peer, fn),
    get secured() {
      return secure(socket, peer)
    },
    connect: unconnected,
    connectForeign: noPipes,
    send: text => socket.send(text, peer.port, peer.address),
    get heard() {
      return texts.heard
    },
    hears: texts.hears,
    insecure: false,
    async destroy() {
      socket.closePeer(peer)
    },
    async close() {
      socket.closePeer(peer)
    },
    async closed() {
      if (open) await event(ends, 'end')
    },
  }
}

function server(
  t: Test,
  { greeting, ...options }: ServerOptions = {},
  secure: Secure,
): ServerEndpoint {
  let listening = false
  let socket!: SecureDgramSocket
  let texts!: ReturnType<typeof collected>
  const accepted: Endpoint[] = []
  const arrivals = new EventEmitter()
  const create = (more: object) => {
    socket = created({ ...options, ...more })
    texts = collected(socket, () => true)
    socket.on('secure', peer => {
      accepted.push(acceptedPeer(socket, peer, secure))
      arrivals.emit('accepted')
      if (greeting !== undefined) socket.send(greeting, peer.port, peer.address)
    })
    const own = socket
    t.teardown(() => closed(own))
  }
  create({})
  return {
    setSecurity: settings => socket.setSecurity(settings as never),
    async listen(more = {}) {
      // Of a datagram socket it is an option of the constructor.
      if (more.reusePort) create({ reusePort: true })
      const bound = event(socket, 'listening', 60_000)
      socket.bind(0, HOST)
      await bound
      listening = true
      return socket.address().port
    },
    listenForeign: noPipes,
    get listening() {
      return listening
    },
    async accepted() {
      while (accepted.length === 0) await event(arrivals, 'accepted')
      return accepted.shift() as Endpoint
    },
    refused: () => Promise.reject(new Error('a server of datagrams tells nobody of strangers')),
    get heard() {
      return texts.heard
    },
    insecure: 0,
    close: () => closed(socket),
  }
}

async function listenInWorker(
  t: Test,
  attempts: readonly { security: object; options?: object }[],
): Promise<string[]> {
  const exec = fileURLToPath(new URL('cluster-datagram-worker.ts', import.meta.url))
  cluster.setupPrimary({ exec })
  const worker = cluster.fork({ RULES_ATTEMPTS: JSON.stringify(attempts) })
  t.teardown(() => worker.process.kill())
  const [outcomes] = await event(worker, 'message', 60_000)
  return outcomes as string[]
}

/** What such peers have said. */
function collected(socket: SecureDgramSocket, isPeer: (from: PeerAddress) => boolean) {
  const arrivals = new EventEmitter()
  let heard = ''
  socket.on('message', (message, from) => {
    if (!isPeer(from) || message.toString() === HELLO) return
    heard += message.toString()
    arrivals.emit('text')
  })
  return {
    get heard() {
      return heard
    },
    async hears(length: number) {
      while (heard.length < length) await event(arrivals, 'text')
      return heard
    },
  }
}

function isConnected(socket: SecureDgramSocket): boolean {
  try {
    socket.remoteAddress()
    return true
  } catch {
    return false
  }
}

function closed(socket: SecureDgramSocket): Promise<void> {
  return socket[Symbol.asyncDispose]()
}

function noPipes(): Promise<never> {
  return Promise.reject(new Error('a datagram socket has no pipes'))
}

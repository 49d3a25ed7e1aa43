// What is compared. Each has the same two functions: `serve` starts the far end, `dial` gives a
// client that is ready to send. A listener gets each message, and at the far end whom to answer.

import dgram from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import tls from 'node:tls'

const require = createRequire(import.meta.url)

const host = '127.0.0.1'

/** Holds a window of the largest messages, also where the kernel counts a page for each. */
const recvBufferSize = 256 * 1024

/** The suites that all of them have: with certificates, and with a pre-shared key. */
const suite = 'ECDHE-ECDSA-AES128-GCM-SHA256'
const pskSuite = 'PSK-AES128-GCM-SHA256'

/** One more than any bench needs, of one host or of all. */
const sessions = 20_000

/**
 * @param {{ subject: string, build?: string, credentials: object, resume?: boolean }} task `resume`:
 *   whether a subject that resumes sessions may do so
 */
export function makeSubject({ subject, build, credentials, resume = true }) {
  switch (subject) {
    case 'dgram':
      return sockets(dgram, { connected: false })
    case 'dgram-connected':
      return sockets(dgram, { connected: true })
    case 'ours':
      return ours(build, { connected: false, resume, ...serverOnly(credentials) })
    case 'ours-connected':
      return ours(build, { connected: true, resume, ...serverOnly(credentials) })
    case 'ours-mutual':
      return ours(build, { connected: false, resume, ...mutual(credentials) })
    case 'ours-psk':
      return ours(build, { connected: false, resume: true, ...preshared(credentials) })
    case 'node-dtls-client':
      return {
        serve: ours(build, { resume: true, ...preshared(credentials) }).serve,
        dial: dialNodeDtlsClient(credentials.psk),
      }
    case 'tls':
      return streams({ resume, ...serverOnly(credentials) })
    case 'tls-mutual':
      return streams({ resume, ...mutual(credentials) })
    case 'werift-dtls':
      return werift(credentials.server)
  }
  throw new Error(`there is no subject ${subject}`)
}

function serverOnly({ server, ca }) {
  const { cert, key } = server
  return {
    atServer: { cert, key, requestCert: false, ciphers: suite },
    atClient: { ca, ciphers: suite },
  }
}

function mutual({ server, client, ca }) {
  return {
    atServer: { cert: server.cert, key: server.key, ca, requestCert: true, ciphers: suite },
    atClient: { cert: client.cert, key: client.key, ca, ciphers: suite },
  }
}

function preshared({ psk: { identity, key } }) {
  const bytes = Buffer.from(key)
  return {
    atServer: { psk: { [identity]: bytes }, ciphers: pskSuite },
    atClient: { psk: { identity, key: bytes }, ciphers: pskSuite },
  }
}

function ours(build, { atServer, atClient, ...how }) {
  const limits = { maxSessions: sessions, maxSessionsPerHost: sessions }
  return sockets(require(join(build, 'dgram.cjs')), {
    ...how,
    atServer: { security: { ...atServer, ...limits } },
    atClient: { security: atClient },
  })
}

/** Of node:dgram and of what is shaped like it. */
function sockets(face, { connected, resume, atServer, atClient }) {
  let count = 0
  return {
    async serve(listener) {
      const socket = face.createSocket({ type: 'udp4', recvBufferSize, ...atServer })
      socket.on('message', listener)
      socket.bind(0, host)
      await once(socket, 'listening')
      const { port } = socket.address()
      return {
        offer: () => port,
        send: (message, peer) => socket.send(message, peer.port, peer.address),
      }
    },
    async dial(port, listener) {
      const socket = face.createSocket({ type: 'udp4', recvBufferSize, ...atClient })
      socket.on('message', listener)
      // Sessions belong to a target name, so a new one makes a full handshake.
      count += 1
      if (resume === false) {
        await socket.setPeerTargetName({
          address: host,
          port,
          targetName: `bench${count}/${host}`,
        })
      }
      if (connected) {
        socket.connect(port, host)
        await once(socket, 'connect')
      }
      const info = await socket.secure?.({ address: host, port })
      return {
        resumed: info?.resumed,
        send: connected
          ? message => socket.send(message)
          : message => socket.send(message, port, host),
        close: () => ended(socket),
      }
    },
  }
}

function ended(socket) {
  return new Promise(resolve => socket.close(resolve))
}

/** TLS 1.2, the same handshake but for the cookie, by Node itself: how fast is this machine? */
function streams({ atServer, atClient, resume }) {
  const maxVersion = 'TLSv1.2'
  const secureContext = tls.createSecureContext({ ...atClient, maxVersion })
  let session
  return {
    async serve(listener) {
      const server = tls.createServer({ ...atServer, maxVersion, noDelay: true }, socket => {
        socket.on('data', data => listener(data, socket))
        socket.on('end', () => socket.end())
      })
      server.listen(0, host)
      await once(server, 'listening')
      const { port } = server.address()
      return { offer: () => port, send: (message, socket) => socket.write(message) }
    },
    async dial(port, listener) {
      const socket = tls.connect({ host, port, secureContext, session }).setNoDelay()
      socket.on('data', listener)
      await once(socket, 'secureConnect')
      if (resume) session = socket.getSession()
      return {
        resumed: socket.isSessionReused(),
        send: message => socket.write(message),
        async close() {
          socket.end()
          await once(socket, 'close')
        },
      }
    },
  }
}

/** A client with a pre-shared key is all that it has. */
function dialNodeDtlsClient({ identity, key }) {
  return async function dial(port, listener) {
    const { dtls } = await import('node-dtls-client')
    const socket = dtls.createSocket({
      type: 'udp4',
      recvBufferSize,
      address: host,
      port,
      psk: { [identity]: key },
      ciphers: ['TLS_PSK_WITH_AES_128_GCM_SHA256'],
      timeout: 10_000,
    })
    await once(socket, 'connected')
    socket.on('message', listener)
    return { send: message => socket.send(message), close: () => ended(socket) }
  }
}

/** A server has one peer, so each connection gets a port of its own. It checks no certificate. */
function werift({ cert, key }) {
  // Its package.json names a file that is not in the package.
  const { DtlsServer, DtlsClient } = require('werift-dtls/lib/dtls/src/index.js')
  const ecdsaWithSha256 = { hash: 4, signature: 3 }
  const common = { extendedMasterSecret: true }
  return {
    onePeer: true,
    async serve(listener) {
      const open = new Map()
      return {
        release: port => {
          const socket = open.get(port)
          open.delete(port)
          return ended(socket)
        },
        async offer() {
          const socket = await boundSocket()
          const server = new DtlsServer({
            ...common,
            cert,
            key,
            signatureHash: ecdsaWithSha256,
            transport: weriftTransport(socket),
          })
          server.onData.subscribe(message => listener(message, server))
          const { port } = socket.address()
          open.set(port, socket)
          return port
        },
        send: (message, server) => server.send(message),
      }
    },
    async dial(port, listener) {
      const socket = await boundSocket()
      const client = new DtlsClient({ ...common, transport: weriftTransport(socket, port) })
      client.onData.subscribe(listener)
      await new Promise((resolve, reject) => {
        client.onConnect.subscribe(resolve)
        client.onError.subscribe(reject)
        client.connect().catch(reject)
      })
      return { send: message => client.send(message), close: () => ended(socket) }
    },
  }
}

/** Leaner than the one it brings, in its favour. */
function weriftTransport(socket, port) {
  const transport = {
    type: 'udp',
    onData() {},
    async send(message) {
      socket.send(message, port, host)
    },
    close: async () => ended(socket),
  }
  socket.on('message', (message, from) => {
    port = from.port
    transport.onData(message, [from.address, from.port])
  })
  return transport
}

async function boundSocket() {
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize })
  socket.bind(0, host)
  await once(socket, 'listening')
  return socket
}

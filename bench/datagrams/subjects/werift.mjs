import dgram from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { ended, host, recvBufferSize } from './sockets.mjs'

const require = createRequire(import.meta.url)

/** A server has one peer, so each connection gets a port of its own. It checks no certificate. */
export function werift({ cert, key }) {
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

import { once } from 'node:events'
import tls from 'node:tls'
import { host } from './sockets.mjs'

/** TLS 1.2, the same handshake but for the cookie, by Node itself: how fast is this machine? */
export function streams({ atServer, atClient, resume }) {
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

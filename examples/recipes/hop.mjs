// Secures a server that cannot be changed: a hop beside it takes secured connections and passes them
// on, over loopback or a unix socket. `secureHop` is for use; what follows it shows it.

import { once } from 'node:events'
import * as net from 'node:net'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createAuthority, createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

/**
 * Starts a hop.
 * @param {net.NetConnectOpts} target the server behind it
 * @param {import('secure-socket').SecuritySettings} security of the hop's own side
 */
export async function secureHop(target, security, listen = { port: 0, host: '127.0.0.1' }) {
  const server = createServer({ security, allowHalfOpen: true }, socket => {
    const behind = net.connect({ ...target, allowHalfOpen: true })
    // Whichever side fails, both end.
    pipeline(socket, behind, socket).catch(() => {})
  })
  await once(server.listen(listen), 'listening')
  return server
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const unchangeable = net.createServer(socket => socket.pipe(socket))
  await once(unchangeable.listen(0, '127.0.0.1'), 'listening')

  const authority = await createAuthority()
  const identity = await createIdentity({ authority, names: ['host/echo.example.com'] })
  const hop = await secureHop({ port: unchangeable.address().port, host: '127.0.0.1' }, identity)

  const socket = createConnection({
    host: '127.0.0.1',
    port: hop.address().port,
    peerTargetName: 'host/echo.example.com',
    security: { ca: authority.cert },
  })
  socket.end('hello through the hop')
  let echo = ''
  for await (const text of socket.setEncoding('utf8')) echo += text
  console.log(echo)

  hop.close()
  unchangeable.close()
}

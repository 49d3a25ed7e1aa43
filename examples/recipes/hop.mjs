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
  const [echo, alice, mallory] = await Promise.all([
    createIdentity({ authority, names: ['host/echo.example.com'] }),
    createIdentity({ authority, names: ['spiffe://example.com/alice'] }),
    createIdentity({ names: ['spiffe://example.com/alice'] }), // signed by nobody
  ])
  const target = { port: unchangeable.address().port, host: '127.0.0.1' }
  const hop = await secureHop(target, { ...echo, requestCert: true })

  console.log(await say('hello through the hop', alice, 'host/echo.example.com'))
  console.log(await say('hello', alice, 'host/bank.example.com'))
  console.log(await say('hello', { ...mallory, ca: authority.cert }, 'host/echo.example.com'))
  hop.close()
  unchangeable.close()

  async function say(text, security, peerTargetName) {
    const { port } = hop.address()
    const socket = createConnection({ host: '127.0.0.1', port, peerTargetName, security })
    socket.end(text)
    let answer = ''
    try {
      for await (const chunk of socket.setEncoding('utf8')) answer += chunk
    } catch ({ code }) {
      return code
    }
    return answer
  }
}

// WebSockets over secured sockets: the ws package asks a function for its connections, and its server
// is one of node:http.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'
import { WebSocket, WebSocketServer } from 'ws'

const authority = await createAuthority()
const [chat, alice, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/chat.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/alice'] }),
  createIdentity({ names: ['spiffe://example.com/alice'] }), // signed by nobody
])

const web = http.createServer()
const sockets = new WebSocketServer({ server: web })
sockets.on('connection', (client, { socket }) => {
  const { names } = socket.impersonatePeer(currentPeer)
  client.on('message', data => client.send(`${names} said: ${data}`))
})
const server = createServer({ security: { ...chat, requestCert: true } }, socket =>
  web.emit('connection', socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await say('hello', alice, 'host/chat.example.com'))
console.log(await say('hello', alice, 'host/bank.example.com'))
console.log(await say('hello', { ...mallory, ca: authority.cert }, 'host/chat.example.com'))
server.close()

async function say(text, security, peerTargetName) {
  const client = new WebSocket(`ws://127.0.0.1:${server.address().port}`, {
    createConnection: ({ host, port }) =>
      createConnection({ host, port, peerTargetName, security }),
  })
  try {
    await once(client, 'open')
    client.send(text)
    const [data] = await once(client, 'message')
    return String(data)
  } catch ({ code }) {
    return code
  } finally {
    client.close()
  }
}

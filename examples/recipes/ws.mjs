// WebSockets over secured sockets: the ws package asks a function for its connections.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'
import { WebSocket, WebSocketServer } from 'ws'

const authority = await createAuthority()
const identity = await createIdentity({ authority, names: ['host/chat.example.com'] })

const web = http.createServer()
const sockets = new WebSocketServer({ server: web })
sockets.on('connection', each => each.on('message', data => each.send(`you said: ${data}`)))
const server = createServer({ security: identity }, socket => web.emit('connection', socket))
await once(server.listen(0, '127.0.0.1'), 'listening')

const { port } = server.address()
const client = new WebSocket(`ws://127.0.0.1:${port}`, {
  createConnection: ({ host, port }) =>
    createConnection({
      host,
      port,
      peerTargetName: 'host/chat.example.com',
      security: { ca: authority.cert },
    }),
})
await once(client, 'open')
client.send('hello')
const [data] = await once(client, 'message')
console.log(String(data))

client.close()
server.close()

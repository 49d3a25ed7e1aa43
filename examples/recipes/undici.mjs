// undici, and fetch with it, over secured sockets: its connector gives back a connected socket.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity } from 'secure-socket'
import { createServer } from 'secure-socket/net'
import { connect } from 'secure-socket/promises'
import { Agent, fetch } from 'undici'

const authority = await createAuthority()
const identity = await createIdentity({ authority, names: ['host/api.example.com'] })

const web = http.createServer((request, response) => response.end(`hello from ${request.url}`))
const server = createServer({ security: identity }, socket => web.emit('connection', socket))
await once(server.listen(0, '127.0.0.1'), 'listening')

const dispatcher = new Agent({
  connect: ({ hostname, port }, callback) => {
    const peerTargetName = 'host/api.example.com'
    connect({ host: hostname, port, peerTargetName, security: { ca: authority.cert } }).then(
      socket => callback(null, socket),
      callback,
    )
  },
})
const response = await fetch(`http://127.0.0.1:${server.address().port}/undici`, { dispatcher })
console.log(await response.text())

await dispatcher.close()
server.close()

// undici, and fetch with it, over secured sockets: its connector gives back a connected socket.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createServer } from 'secure-socket/net'
import { connect } from 'secure-socket/promises'
import { Agent, fetch } from 'undici'

const authority = await createAuthority()
const [api, shop, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/api.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

const web = http.createServer((request, response) => {
  const { names } = request.socket.impersonatePeer(currentPeer)
  response.end(`${request.url} for ${names}`)
})
const server = createServer({ security: { ...api, requestCert: true } }, socket =>
  web.emit('connection', socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await get('/undici', shop, 'host/api.example.com'))
console.log(await get('/undici', shop, 'host/bank.example.com'))
console.log(await get('/undici', { ...mallory, ca: authority.cert }, 'host/api.example.com'))
server.close()

async function get(path, security, peerTargetName) {
  const dispatcher = new Agent({
    connect: ({ hostname, port }, callback) => {
      connect({ host: hostname, port, peerTargetName, security }).then(
        socket => callback(null, socket),
        callback,
      )
    },
  })
  try {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { dispatcher })
    return await response.text()
  } catch ({ cause }) {
    return cause.code
  } finally {
    await dispatcher.close()
  }
}

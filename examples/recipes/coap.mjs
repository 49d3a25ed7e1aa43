// CoAP over secured datagrams (RFC 7252, section 9), with keys as small devices have them. node-coap
// takes a socket at both ends, and to it they are plain ones.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer } from 'coap'
import { createSocket } from 'secure-socket/dgram'

const key = randomBytes(16)

// The server: `rsinfo` is the rinfo of the socket, so it says who asks.
const serving = createSocket({ type: 'udp4', security: { psk: { 'sensor-17': key } } })
await once(serving.bind(0, '127.0.0.1'), 'listening')
const server = createServer((request, response) => {
  response.end(`${request.url} for ${request.rsinfo.peer.pskIdentity}`)
})
server.listen(serving)

console.log(await get('/temperature', key))
console.log(await get('/temperature', randomBytes(16)))
server.close()
serving.close()

async function get(pathname, key) {
  const security = { psk: { identity: 'sensor-17', key }, handshakeTimeout: 2000 }
  const socket = createSocket({ type: 'udp4', security })
  const agent = new Agent({ socket })
  const { port } = serving.address()
  try {
    const request = agent.request({ hostname: '127.0.0.1', port, pathname }).end()
    request.on('error', () => {}) // node-coap sends again, and each attempt fails; the first one tells
    const [response] = await once(request, 'response')
    return String(response.payload)
  } catch ({ code }) {
    return `with another key: ${code}`
  } finally {
    agent.close()
    socket.close()
  }
}

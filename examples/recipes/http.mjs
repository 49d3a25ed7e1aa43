// node:http over secured sockets, with its own server and its own Agent: to http they are sockets.
// Both ends have certificates, so the server knows who asks.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const authority = await createAuthority()
const [api, shop, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/api.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

// The server: http takes the connections that the secured server has accepted.
const web = http.createServer((request, response) => {
  const { names } = request.socket.impersonatePeer(currentPeer)
  response.end(`${request.url} for ${names}`)
})
const server = createServer({ security: { ...api, requestCert: true } }, socket =>
  web.emit('connection', socket),
)
await once(server.listen(0, '127.0.0.1'), 'listening')

// The client: an Agent whose connections are secured. It keeps them alive as any Agent does.
class SecureAgent extends http.Agent {
  createConnection(options) {
    return createConnection(options)
  }
}

const agent = secureAgent(shop, 'host/api.example.com')
console.log(await get(agent, '/first'))
console.log(await get(agent, '/second'))
console.log(await get(secureAgent(shop, 'host/bank.example.com'), '/third'))
console.log(await get(secureAgent({ ...mallory, ca: authority.cert }, 'host/api.example.com'), '/'))

agent.destroy()
server.close()

function secureAgent(security, peerTargetName) {
  return new SecureAgent({ keepAlive: true, security, peerTargetName })
}

async function get(agent, path) {
  const request = http.get({ agent, host: '127.0.0.1', port: server.address().port, path })
  try {
    const [response] = await once(request, 'response')
    let body = ''
    for await (const text of response.setEncoding('utf8')) body += text
    return `${body}${request.reusedSocket ? ', on the same connection' : ''}`
  } catch ({ code }) {
    return code
  }
}

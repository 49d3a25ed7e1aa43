// node:http over secured sockets, with its own server and its own Agent: to http they are sockets.

import { once } from 'node:events'
import http from 'node:http'
import { createAuthority, createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const authority = await createAuthority()
const identity = await createIdentity({ authority, names: ['host/api.example.com'] })

// The server: http takes the connections that the secured server has accepted.
const web = http.createServer((request, response) => {
  response.end(`${request.url} by way of ${request.socket.getProtocol()}`)
})
const server = createServer({ security: identity }, socket => web.emit('connection', socket))
await once(server.listen(0, '127.0.0.1'), 'listening')

// The client: an Agent whose connections are secured. It keeps them alive as any Agent does.
class SecureAgent extends http.Agent {
  createConnection(options) {
    return createConnection(options)
  }
}
const agent = new SecureAgent({
  keepAlive: true,
  peerTargetName: 'host/api.example.com',
  security: { ca: authority.cert },
})

for (const path of ['/first', '/second']) {
  const request = http.get({ agent, host: '127.0.0.1', port: server.address().port, path })
  const [response] = await once(request, 'response')
  let body = ''
  for await (const text of response.setEncoding('utf8')) body += text
  console.log(`${body}${request.reusedSocket ? ', on the same connection' : ''}`)
}

agent.destroy()
server.close()

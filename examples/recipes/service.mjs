// A service over net.createConnection becomes a secured one: the import changes, and three options
// say who one is, whom one trusts and who the peer must be. The code between stays as it was.
//
// -import { createConnection, createServer } from 'node:net'
// +import { createConnection, createServer } from 'secure-socket/net'
//
// -const server = createServer(answer)
// +const server = createServer({ security: identity }, answer)
//
// -const socket = createConnection({ host, port })
// +const socket = createConnection({ host, port, peerTargetName, security: { ca } })

import { once } from 'node:events'
import { createAuthority, createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const authority = await createAuthority()
const identity = await createIdentity({ authority, names: ['host/clock.example.com'] })

const server = createServer({ security: identity }, answer)
await once(server.listen(0, '127.0.0.1'), 'listening')
console.log(await ask({ host: '127.0.0.1', port: server.address().port }))
server.close()

function answer(socket) {
  socket.on('error', () => {}).end(`it is ${new Date().toISOString()}\n`)
}

async function ask({ host, port }) {
  const peerTargetName = 'host/clock.example.com'
  const socket = createConnection({ host, port, peerTargetName, security: { ca: authority.cert } })
  let time = ''
  for await (const text of socket.setEncoding('utf8')) time += text
  return time.trim()
}

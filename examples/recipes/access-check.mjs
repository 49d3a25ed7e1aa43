// Mutual TLS, and what it is good for: the server acts as its client, and code far away from the
// socket asks who that is. Nobody passes the peer along, and nobody can forget to revert.

import { once } from 'node:events'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const readers = new Set(['spiffe://example.com/alice'])

async function readDocument() {
  const { names } = currentPeer()
  if (!names.some(name => readers.has(name))) throw new Error(`${names} may not read`)
  return `the document, for ${names}`
}

const authority = await createAuthority()
const identity = await createIdentity({ authority, names: ['host/docs.example.com'] })

const server = createServer({ security: { ...identity, requestCert: true } }, async socket => {
  socket.on('error', () => {})
  // Also what runs later, such as after an await, runs as the peer.
  const answer = await socket.impersonatePeer(readDocument).catch(error => error.message)
  socket.end(answer)
})
await once(server.listen(0, '127.0.0.1'), 'listening')

for (const name of ['spiffe://example.com/alice', 'spiffe://example.com/mallory']) {
  const security = await createIdentity({ authority, names: [name] })
  const socket = createConnection({
    host: '127.0.0.1',
    port: server.address().port,
    peerTargetName: 'host/docs.example.com',
    security,
  })
  let answer = ''
  for await (const text of socket.setEncoding('utf8')) answer += text
  console.log(answer)
}
server.close()

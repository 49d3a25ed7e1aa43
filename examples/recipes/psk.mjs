// Peers without certificates: a key that two of them share, such as a device has from its making. The
// identity says which key it is; whoever has the key is that identity. One key for each pair.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const key = randomBytes(32)

const server = createServer({ security: { psk: { 'sensor-17': key } } }, socket => {
  socket.on('error', () => {})
  socket.impersonatePeer(() => socket.end(`hello ${currentPeer().pskIdentity}`))
})
await once(server.listen(0, '127.0.0.1'), 'listening')

console.log(await greet(key))
console.log(await greet(randomBytes(32)))
server.close()

async function greet(key) {
  const socket = createConnection({
    host: '127.0.0.1',
    port: server.address().port,
    // No peerTargetName: a shared key proves no name, but only its owner can complete the handshake.
    security: { psk: { identity: 'sensor-17', key } },
  })
  let greeting = ''
  try {
    for await (const text of socket.setEncoding('utf8')) greeting += text
  } catch ({ code }) {
    return `with another key: ${code}`
  }
  return greeting
}

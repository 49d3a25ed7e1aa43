// Peers without an authority: each knows the other's public key, as with SSH. The pin is the name.

import { once } from 'node:events'
import { createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

const identity = await createIdentity({ names: ['host/printer.example.com'] })
const stranger = await createIdentity({ names: ['host/printer.example.com'] })

const server = createServer({ security: identity }, socket => {
  socket.on('error', () => {}).end('ready to print')
})
await once(server.listen(0, '127.0.0.1'), 'listening')

// `secure-socket identity pin FILE` prints the pin of a certificate that exists already.
console.log(await status(identity.pin))
console.log(await status(stranger.pin))
server.close()

async function status(peerTargetName) {
  const socket = createConnection({
    host: '127.0.0.1',
    port: server.address().port,
    peerTargetName,
  })
  let text = ''
  try {
    for await (const chunk of socket.setEncoding('utf8')) text += chunk
  } catch ({ code }) {
    return `with another pin: ${code}`
  }
  return text
}

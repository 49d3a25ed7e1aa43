#!/usr/bin/env node
// The server of the Windows SDK's secure socket pair, with the same steps in the same order.

import { currentPeer, SecureServer } from 'secure-socket'
import { clientMessage, parseCommandLine, serverMessage, showSecurity } from './sdkcommon.mjs'
import { receive, settings, stcp } from './stcpcommon.mjs'

const help = `stcpserver: answers each client that has access with ${serverMessage}, until it is stopped

Usage:
  node examples/stcpserver.mjs [options]

  --allow NAME     who has access; may be given several times
                   (default: ${stcp.clientName})
  --address A      where to listen (default: everywhere)
${stcp.help}`

const options = parseCommandLine(stcp, help, {
  options: {
    allow: { type: 'string', multiple: true, default: [stcp.clientName] },
    address: { type: 'string' },
  },
})
const everywhere = options.v6 ? '::' : '0.0.0.0'

const server = new SecureServer()
server.on('error', error => {
  console.error(error.message)
  process.exitCode = 1
})
server.on('tlsClientError', error => console.log(`Refused a client: ${error.message}`))
server.on('connection', socket => {
  socket.on('error', error => console.log(`Lost a client: ${error.message}`))
  serve(socket).catch(error => socket.destroy(error))
})

server.setSecurity(settings(options, 'stcpserver'))
server.listen(
  { port: options.port, host: options.address ?? everywhere, ipv6Only: options.v6 },
  () => {
    const { address, port } = server.address()
    console.log(`Listening on ${address} port ${port}`)
  },
)

/** One client, accepted: it has proved who it is, but that alone gives no access. */
async function serve(socket) {
  console.log(`Accepted a client at ${socket.remoteAddress}`)
  showSecurity(await socket.querySecurity())

  const received = await receive(socket, clientMessage.length)
  if (received.length < clientMessage.length) throw new Error('it closed without a message')
  console.log(`Received ${received}`)

  // As the client, for as long as the function runs: there is nothing to revert, or to forget.
  const allowed = socket.impersonatePeer(() => hasAccess())
  if (allowed) {
    socket.write(serverMessage)
    console.log(`Sent ${serverMessage}`)
  }
  socket.destroySoon()
}

/** Does whoever this code runs as have access? */
function hasAccess() {
  const { names } = currentPeer()
  const allowed = names.some(name => options.allow.includes(name))
  console.log(`Access ${allowed ? 'granted' : 'denied'} to ${names.join(', ')}`)
  return allowed
}

#!/usr/bin/env node
// The server of a pair for datagrams, with the steps in the order that Microsoft documents for UDP:
// security on the new socket, bind, receive, query the peer, act as the peer, send.

import { currentPeer } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'
import { clientMessage, parseCommandLine, serverMessage, showSecurity } from './sdkcommon.mjs'
import { settings, sudp } from './sudpcommon.mjs'

const help = `sudpserver: answers each client that has access with ${serverMessage}, until it is stopped

Usage:
  node examples/sudpserver.mjs [options]

  --allow NAME     who has access; may be given several times
                   (default: ${sudp.clientName})
  --address A      where to listen (default: everywhere)
${sudp.help}`

const options = parseCommandLine(sudp, help, {
  options: {
    allow: { type: 'string', multiple: true, default: [sudp.clientName] },
    address: { type: 'string' },
  },
})
const everywhere = options.v6 ? '::' : '0.0.0.0'

const socket = createSocket({ type: options.v6 ? 'udp6' : 'udp4', ipv6Only: options.v6 })
socket.on('error', error => {
  console.error(error.message)
  process.exitCode = 1
  socket.close()
})
socket.on('secure', ({ address, port }) => console.log(`Secured a client at ${address}:${port}`))
socket.on('peerError', (error, { address, port }) =>
  console.log(`Lost the client at ${address}:${port}: ${error.message}`),
)
socket.on('message', (message, rinfo) => {
  serve(message, rinfo).catch(error => console.log(error.message))
})

socket.setSecurity(settings(options, 'sudpserver'))
socket.bind(options.port, options.address ?? everywhere, () => {
  const { address, port } = socket.address()
  console.log(`Bound to ${address} port ${port}`)
})

/** A datagram of a client that has proved who it is. That alone gives no access. */
async function serve(message, client) {
  console.log(`Received ${message}`)
  if (String(message) !== clientMessage) return
  showSecurity(await socket.querySecurity(client))

  // As the client, for as long as the function runs: there is nothing to revert, or to forget.
  const allowed = socket.impersonatePeer(client, () => hasAccess())
  if (!allowed) return
  socket.send(serverMessage, client.port, client.address, error => {
    console.log(error ? `Not sent: ${error.message}` : `Sent ${serverMessage}`)
  })
}

/** Does whoever this code runs as have access? */
function hasAccess() {
  const { names } = currentPeer()
  const allowed = names.some(name => options.allow.includes(name))
  console.log(`Access ${allowed ? 'granted' : 'denied'} to ${names.join(', ')}`)
  return allowed
}

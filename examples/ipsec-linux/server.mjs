#!/usr/bin/env node
// Greets, over TCP and UDP, whoever proves an identity that the authority has signed. The kernel drops
// everybody else's packets.

import { createSocket } from 'secure-socket/dgram'
import { createServer } from 'secure-socket/net'
import { address, port, security } from './settings.mjs'

const server = createServer({ security }, async socket => {
  socket.on('error', error => console.log(`Lost a client: ${error.message}`))
  const { peer, cipher } = await socket.querySecurity()
  console.log(`TCP: ${peer.names[0]} is connected, secured by ${cipher}`)
  socket.end(`hello, ${peer.names[0]}\n`)
})
server.on('tlsClientError', error => console.log(`Refused a client: ${error.message}`))
server.on('error', fail)

const datagrams = createSocket({ type: 'udp4', security })
datagrams.on('message', (message, { peer, ...from }) => {
  console.log(`UDP: ${peer.names[0]} says ${message}`)
  datagrams.send(`hello, ${peer.names[0]}`, from.port, from.address, error => {
    if (error) console.log(`Not answered: ${error.message}`)
  })
})
datagrams.on('error', fail)

datagrams.bind(port, address, () => {
  server.listen(port, address, () => console.log(`Listening on ${address} port ${port}`))
})

function fail(error) {
  console.error(error.message)
  process.exit(1)
}

#!/usr/bin/env node
// Asks the server for its greetings, over TCP and UDP. Nothing is sent to anybody who cannot prove the
// server's name.

import { once } from 'node:events'
import { createSocket } from 'secure-socket/dgram'
import { connect } from 'secure-socket/promises'
import { address, port, security, targetName } from './settings.mjs'

try {
  const socket = await connect({ host: address, port, security, peerTargetName: targetName })
  const { peer, cipher } = await socket.querySecurity()
  console.log(`TCP: connected to ${peer.names[0]}, secured by ${cipher}`)
  for await (const text of socket.setEncoding('utf8')) console.log(`TCP: ${text.trim()}`)

  const datagrams = createSocket({ type: 'udp4', security })
  // Before the first message: each peer of the socket has a name of its own.
  datagrams.setPeerTargetName({ address, port, targetName })
  datagrams.send('good morning', port, address)
  const [answer] = await once(datagrams, 'message', { signal: AbortSignal.timeout(30_000) })
  console.log(`UDP: ${answer}`)
  datagrams.close()
} catch (error) {
  console.error(`${error.code}: ${error.message}`)
  process.exit(1)
}

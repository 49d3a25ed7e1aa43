#!/usr/bin/env node
// The client of the Windows SDK's secure socket pair, with the same steps in the same order.

import { once } from 'node:events'
import { isIP } from 'node:net'
import { SecureSocket } from 'secure-socket'
import { clientMessage, parseCommandLine, serverMessage, showSecurity } from './sdkcommon.mjs'
import { receive, settings, stcp } from './stcpcommon.mjs'

const help = `stcpclient: connects to stcpserver, sends ${clientMessage} and prints the answer

Usage:
  node examples/stcpclient.mjs [options] SERVER

SERVER is the server's DNS name or address; it is also the name that the server must prove.

${stcp.help}`

const options = parseCommandLine(stcp, help, { operands: [1, 1] })
const [host] = options.positionals
const targetName = isIP(host) ? host : `host/${host}`
const security = settings(options, 'stcpclient')

try {
  const socket = new SecureSocket()

  await socket.setSecurity(security)
  await socket.setPeerTargetName(targetName)
  socket.connect({ host, port: options.port, family: options.v6 ? 6 : 4 })
  // Only now: the server has proved its name, and has accepted ours.
  await once(socket, 'connect')
  console.log(`Connected to ${targetName} at ${socket.remoteAddress}`)

  showSecurity(await socket.querySecurity())

  socket.write(clientMessage)
  console.log(`Sent ${clientMessage}`)

  const answer = await receive(socket, serverMessage.length)
  if (answer.length < serverMessage.length) throw new Error('the server closed without an answer')
  console.log(`Received ${answer}`)

  // Everything outstanding is sent first; then the connection and all its security are gone.
  socket.destroySoon()
} catch (error) {
  console.error(`${error.code ? `${error.code}: ` : ''}${error.message}`)
  process.exitCode = 1
}

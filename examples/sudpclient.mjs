#!/usr/bin/env node
// The client of a pair for datagrams, with the steps in the order that Microsoft documents for UDP:
// security on the new socket, a name for each peer, send, query each peer, delete the names, close.

import { on } from 'node:events'
import { isIP } from 'node:net'
import { createSocket } from 'secure-socket/promises'
import { clientMessage, parseCommandLine, showSecurity } from './sdkcommon.mjs'
import { settings, sudp } from './sudpcommon.mjs'

const help = `sudpclient: sends ${clientMessage} to each server by one socket, and prints the answers

Usage:
  node examples/sudpclient.mjs [options] SERVER[:PORT]...

SERVER is a server's DNS name or address; it is also the name that this server must prove.

${sudp.help}`

const ANSWER_MS = 10_000

const options = parseCommandLine(sudp, help, { operands: [1, Number.POSITIVE_INFINITY] })
const servers = options.positionals.map(parseServer)
const security = settings(options, 'sudpclient')

try {
  const datagrams = createSocket({ type: options.v6 ? 'udp6' : 'udp4', security })

  for (const { host, port, targetName } of servers)
    await datagrams.setPeerTargetName({ address: host, port, targetName })

  for (const server of servers) await exchange(datagrams, server)

  // The names serve no handshake from now on. What is secured stays so until the socket closes.
  for (const { host, port } of servers)
    await datagrams.socket.deletePeerTargetName({ address: host, port })
  await datagrams.close()
} catch (error) {
  fail(error)
}

/** One server that cannot be had is no reason to leave the others out. */
async function exchange(datagrams, { host, port, targetName }) {
  const { socket } = datagrams
  const messages = on(socket, 'message', { signal: AbortSignal.timeout(ANSWER_MS) })
  try {
    // Only when the server has proved its name has anything left.
    await datagrams.send(clientMessage, { address: host, port })
    console.log(`Sent ${clientMessage} to ${targetName}`)

    const [message, rinfo] = await from(targetName, messages)
    console.log(`Received ${message} from ${rinfo.targetName} at ${rinfo.address}`)

    showSecurity(await socket.querySecurity(rinfo))
  } catch (error) {
    fail(error)
  } finally {
    messages.return()
  }
}

/** The next message of the one with this name. Datagrams get lost, and nobody tells. */
async function from(targetName, messages) {
  try {
    for await (const received of messages)
      if (received[1].targetName === targetName) return received
  } catch {
    throw new Error(`${targetName} did not answer within ${ANSWER_MS / 1000} s`)
  }
}

/** HOST, HOST:PORT or [ADDRESS]:PORT */
function parseServer(text) {
  const [, bracketed, name, port = options.port] =
    /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? []
  const host = bracketed ?? name ?? text
  return { host, port: Number(port), targetName: isIP(host) ? host : `host/${host}` }
}

function fail(error) {
  console.error(`${error.code ? `${error.code}: ` : ''}${error.message}`)
  process.exitCode = 1
}

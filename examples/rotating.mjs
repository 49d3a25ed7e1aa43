#!/usr/bin/env node
// A server of streams and datagrams whose certificate comes from files. Whoever replaces the files
// replaces the certificate: the next handshake shows the new one, and those who are connected go on.

import { X509Certificate } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'
import { createConnection, createServer } from 'secure-socket/net'

const help = `rotating: an echo server whose certificate is replaced while it runs

Usage:
  node examples/rotating.mjs DIRECTORY   serves with tls.crt, tls.key and ca.crt of the directory, until it is stopped
  node examples/rotating.mjs --demo      makes them itself, replaces them, and ends
`
const address = '127.0.0.1'

const { values, positionals } = parseArgs({
  options: {
    demo: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
  allowPositionals: true,
})
if (values.demo) await demo()
else if (values.help || positionals.length !== 1) console.log(help)
else await serve(resolve(positionals[0]))

async function serve(directory) {
  const file = name => pathToFileURL(join(directory, name))
  const security = { cert: file('tls.crt'), key: file('tls.key'), ca: file('ca.crt') }

  const server = createServer({ security }, socket => {
    socket.on('error', error => console.log(error.message))
    socket.pipe(socket)
  })
  const socket = createSocket({ type: 'udp4', security })
  socket.on('message', (message, from) => socket.send(message, from.port, from.address))

  // What cannot be used, and a certificate that nobody renews, is a warning: those are printed.
  subscribe('secure-socket:credentials:replaced', ({ certificates: [certificate] }) => {
    console.log(`From now on: certificate ${short(certificate)}`)
  })

  server.listen(0, address)
  await once(server, 'listening')
  socket.bind(server.address().port, address)
  await once(socket, 'listening')
  console.log(`Echoing on ${address}, tcp and udp port ${server.address().port}`)
  return { server, socket }
}

async function demo() {
  const directory = mkdtempSync(join(tmpdir(), 'rotating-'))
  try {
    const authority = await createAuthority()
    writeFileSync(join(directory, 'ca.crt'), authority.cert)
    const renew = async () => {
      const { cert, key } = await createIdentity({ authority, names: [address] })
      for (const [name, content] of Object.entries({ 'tls.crt': cert, 'tls.key': key })) {
        writeFileSync(join(directory, `new-${name}`), content, { mode: 0o600 })
        renameSync(join(directory, `new-${name}`), join(directory, name))
      }
    }
    await renew()
    const { server, socket } = await serve(directory)
    const { port } = server.address()
    const own = await createIdentity({ authority, names: ['spiffe://example.com/client'] })

    const stays = await call(own, port)
    console.log(`A client is connected:   certificate ${stays.seen}`)
    const client = createSocket({ type: 'udp4', security: own })
    await echo(client, port)
    console.log(`A peer is secured:       certificate ${await seenBy(client, port)}`)

    await renew()
    console.log('The files have been replaced.')
    let { seen } = stays
    while (seen === stays.seen) {
      await delay(100)
      const comes = await call(own, port)
      seen = comes.seen
      comes.connection.destroy()
    }
    console.log(`A new client is shown:   certificate ${seen}`)
    const late = createSocket({ type: 'udp4', security: own })
    await echo(late, port)
    console.log(`A new peer is shown:     certificate ${await seenBy(late, port)}`)

    stays.connection.write('still here')
    const [data] = await once(stays.connection, 'data')
    console.log(`The first client says:   ${data}`)
    console.log(`And the first peer:      ${await echo(client, port)}`)

    stays.connection.destroy()
    for (const each of [server, socket, client, late]) each.close()
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** A client of streams, and what it was shown. */
async function call(security, port) {
  const connection = createConnection({ host: address, port, security })
  const { peer } = await connection.secured
  return { connection, seen: short(peer.certificate) }
}

/** Says something to the server, and gives what comes back. */
async function echo(socket, port) {
  socket.send('still here', port, address)
  const [message] = await once(socket, 'message')
  return message
}

async function seenBy(socket, port) {
  const { peer } = await socket.querySecurity({ address, port })
  return short(peer.certificate)
}

function short(certificate) {
  return new X509Certificate(certificate.raw).serialNumber.slice(0, 8)
}

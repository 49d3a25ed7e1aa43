#!/usr/bin/env node
// A server for datagrams in several threads of one process. Each thread has a socket of its own on one
// port (reusePort), so each uses a core of its own, and the system gives each peer to one of them. All
// have the same ticket keys, so the peers of a thread that ends go on with another, and resume there.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, threadId, Worker, workerData } from 'node:worker_threads'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'

const help = `threads: a server for datagrams in several threads

Usage:
  node examples/threads.mjs [--threads N]   serves until it is stopped
  node examples/threads.mjs --demo          has clients come, ends a thread, and ends
`
const address = '127.0.0.1'

if (isMainThread) await main()
else serve(workerData)

async function main() {
  const { values } = parseArgs({
    options: {
      demo: { type: 'boolean', default: false },
      threads: { type: 'string', default: '2' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return console.log(help)

  const authority = await createAuthority()
  const server = await createIdentity({ authority, names: [address] })
  const shared = { security: identityOf(server), ticketKeys: randomBytes(48), port: 0 }
  const threads = new Map()
  for (let count = 0; count < Number(values.threads); count += 1) {
    const thread = new Worker(new URL(import.meta.url), { workerData: shared })
    // The first has any port, the others the same.
    const [port] = await once(thread, 'message')
    shared.port = port
    threads.set(`thread ${thread.threadId}`, thread)
  }
  console.log(`Serving on ${address}, udp port ${shared.port}`)
  if (!values.demo) return

  const client = await createIdentity({ authority, names: ['spiffe://example.com/client'] })
  await demo(identityOf(client), shared.port, threads)
  for (const thread of threads.values()) await thread.terminate()
}

/** In a thread. */
function serve({ security, ticketKeys, port }) {
  const socket = createSocket({
    type: 'udp4',
    reusePort: true,
    security: { ...security, sharePort: true, ticketKeys },
  })
  socket.on('message', (_, { port, address }) => {
    socket.send(`thread ${threadId}`, port, address, () => {})
  })
  socket.bind(port, address, () => parentPort.postMessage(socket.address().port))
}

/** Clients until each thread has one; then a thread ends, without a word. */
async function demo(security, port, threads) {
  const clients = new Map()
  while (clients.size < threads.size) {
    const socket = createSocket({ type: 'udp4', security: { ...security, resumeAfter: 500 } })
    const thread = await answer(socket, port)
    if (clients.has(thread)) socket.close()
    else clients.set(thread, socket)
  }
  for (const thread of clients.keys()) console.log(`${thread} has a client`)

  const [[ended, orphan]] = clients
  await threads.get(ended).terminate()
  threads.delete(ended)
  console.log(`${ended} has ended`)
  const heir = await answer(orphan, port, thread => thread !== ended)
  const { resumed } = await orphan.querySecurity({ address, port })
  console.log(`${heir} has its client now, ${resumed ? 'resumed' : 'after a full handshake'}`)
  for (const socket of clients.values()) socket.close()
}

/** Asks until somebody answers: what goes to one that does not know us is lost, as datagrams can be. */
async function answer(socket, port, isWanted = () => true) {
  let heard
  socket.on('message', message => {
    if (isWanted(String(message))) heard = String(message)
  })
  while (heard === undefined) {
    socket.send('who are you?', port, address, () => {})
    await delay(100)
  }
  return heard
}

function identityOf({ cert, key, ca }) {
  return { cert, key, ca }
}

#!/usr/bin/env node
// A server in all processes of a cluster. For streams they share one socket that listens; for datagrams
// each has a socket of its own on one port, and the system gives each peer to one of them. All have the
// ticket keys that the primary makes and replaces: so a client resumes wherever it comes to, and a
// process that dies costs its peers one short handshake.

import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'
import { connect, createServer } from 'secure-socket/net'

const help = `cluster: a server in several processes, for streams and datagrams

Usage:
  node examples/cluster.mjs [--workers N]   serves until it is stopped
  node examples/cluster.mjs --demo          has a client come and go, kills a worker, and ends
`
const address = '127.0.0.1'
const KEYS_CHANGE_MS = 60 * 60 * 1000

if (cluster.isPrimary) {
  await primary()
} else {
  process.once('message', serve)
  process.send('ready')
}

async function primary() {
  const { values } = parseArgs({
    options: {
      demo: { type: 'boolean', default: false },
      workers: { type: 'string', default: '2' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return console.log(help)

  // In earnest these are files: cert: new URL('file:///etc/server.crt'), and so on. Whoever has the
  // ticket keys can pose as the server to its clients; they stay in memory here.
  const authority = await createAuthority()
  const server = await createIdentity({ authority, names: [address] })
  const shared = { security: identityOf(server), ticketKeys: [randomBytes(48)], udp: 0 }
  let tcp
  const workers = new Map()

  let replaced
  cluster.setupPrimary({ serialization: 'advanced' })
  cluster.on('exit', worker => {
    // One that could not even start would not the next time.
    if (workers.delete(worker.id)) replaced = start()
  })
  for (let count = 0; count < Number(values.workers); count += 1) await start()
  console.log(`Serving on ${address}, tcp port ${tcp} and udp port ${shared.udp}`)

  setInterval(replaceKeys, KEYS_CHANGE_MS).unref()
  if (values.demo) {
    const client = await createIdentity({ authority, names: ['spiffe://example.com/client'] })
    await demo(identityOf(client), { tcp, udp: shared.udp }, id =>
      workers.get(id)?.process.kill('SIGKILL'),
    )
    await replaced
    workers.clear()
    cluster.disconnect()
  }

  async function start() {
    const worker = cluster.fork()
    await once(worker, 'message')
    worker.send(shared)
    const [ports] = await once(worker, 'message')
    workers.set(worker.id, worker)
    tcp = ports.tcp
    shared.udp = ports.udp
  }

  /** The key before is kept until nobody has a ticket by it: two hours, for datagrams. */
  function replaceKeys() {
    shared.ticketKeys = [randomBytes(48), ...shared.ticketKeys.slice(0, 2)]
    for (const worker of workers.values()) worker.send(shared)
  }
}

/** A worker. */
async function serve({ security: identity, ticketKeys, udp }) {
  process.on('message', shared => {
    ticketKeys = shared.ticketKeys
  })
  // sharePort: without it a secured socket lets nobody else have its port.
  const security = { ...identity, sharePort: true, ticketKeys: () => ticketKeys }
  const me = `worker ${cluster.worker.id}`

  const server = createServer({ security: { ...security, requestCert: true } }, socket => {
    socket.on('error', () => {})
    socket.end(me)
  })
  // The same arguments in every worker are the same socket, which the primary holds.
  server.listen(0, address)
  await once(server, 'listening')

  // One socket for datagrams cannot be shared, as each process has keys of its own: reusePort. The
  // first worker has any port, all others the same.
  const socket = createSocket({ type: 'udp4', reusePort: true, security })
  socket.on('message', (_, { port, address }) => socket.send(me, port, address, () => {}))
  socket.bind(udp, address)
  await once(socket, 'listening')
  // With close() its peers are told, and do not have to find out by silence.
  process.on('disconnect', () => socket.close())
  process.send({ tcp: server.address().port, udp: socket.address().port })
}

/** A client of both. */
async function demo(security, { tcp, udp }, kill) {
  const seen = new Set()
  for (let turn = 0; turn < 20 && seen.size < 2; turn += 1) {
    const stream = connect({ host: address, port: tcp, security })
    const { resumed } = await stream.secured
    const [worker] = (await stream.toArray()).map(String)
    console.log(`tcp: ${worker} answers, ${handshake(resumed)}`)
    seen.add(worker)
  }

  const socket = createSocket({ type: 'udp4', security: { ...security, resumeAfter: 500 } })
  const peer = { address, port: udp }
  const first = await answer(socket, peer)
  console.log(`udp: ${first} answers, ${handshake((await socket.querySecurity(peer)).resumed)}`)
  console.log(`udp: ${first} is killed`)
  kill(Number(first.slice('worker '.length)))
  const second = await answer(socket, peer, worker => worker !== first)
  console.log(`udp: ${second} answers, ${handshake((await socket.querySecurity(peer)).resumed)}`)
  socket.close()
}

/** Asks until somebody answers: what goes to one that does not know us is lost, as datagrams can be. */
async function answer(socket, { address, port }, isWanted = () => true) {
  let heard
  const onMessage = message => {
    if (isWanted(String(message))) heard = String(message)
  }
  socket.on('message', onMessage)
  while (heard === undefined) {
    socket.send('who are you?', port, address, () => {})
    await delay(100)
  }
  socket.off('message', onMessage)
  return heard
}

function handshake(resumed) {
  return resumed ? 'resumed' : 'after a full handshake'
}

function identityOf({ cert, key, ca }) {
  return { cert, key, ca }
}

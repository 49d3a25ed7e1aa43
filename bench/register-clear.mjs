// A program that knows nothing of secured sockets, measured by bench/register.mjs: what a connection
// that is made, used and closed, and a datagram that is sent and received, cost it on loopback.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

const host = '127.0.0.1'
const results = { connection: await connections(1500), datagram: await datagrams(20_000) }
process.stdout.write(JSON.stringify(results))

/** Microseconds of CPU time for each, of both ends. The first tenth warms up. */
async function perPiece(count, piece) {
  let began
  for (let i = 0; i < count; i++) {
    if (i === count / 10) began = process.cpuUsage()
    await piece()
  }
  const { user, system } = process.cpuUsage(began)
  return (user + system) / (count * 0.9)
}

async function connections(count) {
  const server = createServer(socket => socket.pipe(socket))
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address()
  const cost = await perPiece(count, async () => {
    const socket = connect(port, host)
    socket.end('x')
    socket.resume()
    await once(socket, 'close')
  })
  server.close()
  return cost
}

async function datagrams(count) {
  const server = createSocket('udp4')
  server.bind(0, host)
  await once(server, 'listening')
  const { port } = server.address()
  const client = createSocket('udp4')
  const message = Buffer.alloc(64)
  const cost = await perPiece(count, async () => {
    const came = once(server, 'message')
    client.send(message, port, host)
    await came
  })
  client.close()
  server.close()
  return cost
}

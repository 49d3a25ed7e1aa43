/**
 * A process that writes without end, and puts down the number of each message of which the callback says
 * that it has left. Somebody ends it without a warning.
 */
import { writeSync } from 'node:fs'
import { createConnection } from '../../../src/net.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'

const { role, port, security, size } = JSON.parse(process.argv[2] as string)
const message = Buffer.alloc(size, 'm')

if (role === 'client') {
  writesWithoutEnd(createConnection({ port, host: '127.0.0.1', security }))
} else {
  const server = new SecureServer({ security }, writesWithoutEnd)
  server.listen(0, '127.0.0.1', () => {
    writeSync(1, `port ${(server.address() as { port: number }).port}\n`)
  })
}

function writesWithoutEnd(socket: SecureSocket): void {
  let number = 0
  socket.on('error', () => {})
  // What the peer had to say comes first: who ends with bytes unread, or to come, resets his connections.
  socket.once('data', next)
  function next(): void {
    while (socket.write(message, put(++number)));
    socket.once('drain', next)
  }
}

function put(number: number): (error?: Error | null) => void {
  return error => {
    if (!error) writeSync(1, `left ${number}\n`)
  }
}

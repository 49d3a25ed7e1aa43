/**
 * One end in a process of its own, which a test can kill or put to sleep: a server that says again what it
 * hears, or a client that says a word five times a second. It tells of all that happens, a line each.
 */
import { createSocket } from '../../../src/dgram.js'

const { role, port, security } = JSON.parse(process.argv[2] as string)
const HOST = '127.0.0.1'
const socket = createSocket({ type: 'udp4', security })
socket.on('error', error => tell('error', error.message))
socket.on('message', (message, from) => {
  tell('heard', String(message))
  if (role === 'server') socket.send(message, from.port, from.address, () => {})
})
if (role === 'server') {
  socket.bind(port, HOST, () => tell('listening', socket.address().port))
} else {
  let said = 0
  setInterval(() => {
    socket.send(`${process.pid}: ${said++}`, port, HOST, (error: Error | null) => {
      if (error) tell('failed', (error as Error & { code?: string }).code)
    })
  }, 200)
}

function tell(...what: unknown[]): void {
  process.stdout.write(`${what.join(' ')}\n`)
}

/**
 * One end of a stream in a process of its own, which a test can put to sleep: a server that says again what
 * it hears, or a client that says a word. It tells of all that happens, a line each.
 */
import { createConnection, createServer, type SecureSocket } from '../../../src/net.js'

const { role, port, security } = JSON.parse(process.argv[2] as string)
const host = '127.0.0.1'

if (role === 'server') {
  const server = createServer({ security }, socket => {
    tell('connection')
    listen(socket)
    socket.pipe(socket)
  })
  server.on('tlsClientError', (error: CodedError) => tell('refused', error.code))
  server.on('insecure', () => tell('insecure'))
  server.listen(port, host, () => tell('listening', (server.address() as { port: number }).port))
  // It is not told elsewhere: a connection that has not said anything yet.
  const looking = setInterval(() => {
    server.getConnections((_error, count) => {
      if (count === 0) return
      tell('accepted')
      clearInterval(looking)
    })
  }, 10)
} else {
  const socket = createConnection({ port, host, security })
  socket.on('connect', () => tell('connect'))
  socket.on('insecure', () => tell('insecure'))
  socket.write('word', (error?: CodedError | null) => tell('written', error?.code ?? 'well'))
  listen(socket)
  // For as long as the test wants to know what comes.
  setInterval(() => {}, 1000)
}

type CodedError = Error & { code?: string }

function listen(socket: SecureSocket): void {
  socket.on('data', data => tell('heard', String(data)))
  socket.on('error', (error: CodedError) => tell('error', error.code))
  socket.on('close', () => tell('close'))
}

function tell(...what: unknown[]): void {
  process.stdout.write(`${what.join(' ')}\n`)
}

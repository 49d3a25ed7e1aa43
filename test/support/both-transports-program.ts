/** Secures a stream, then a datagram, inside one process, and says when both have been heard. No key log is asked for. */
import { createSocket } from '../../src/dgram.js'
import { createConnection, createServer } from '../../src/net.js'
import { testIdentity } from './identities.js'

const { cert, key, ca } = await testIdentity()
const security = { cert, key, ca }

const server = createServer({ security }, socket => socket.end('x'))
await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as { port: number }
const client = createConnection({ port, host: '127.0.0.1', security: { ca } })
client.on('keylog', () => console.log('an event that nobody has asked for'))
await new Promise(resolve => client.on('close', resolve).resume())
server.close()

const a = createSocket({ type: 'udp4', security })
const b = createSocket({ type: 'udp4', security })
for (const socket of [a, b])
  socket.on('keylog', () => console.log('an event that nobody has asked for'))
await new Promise<void>(resolve => b.bind(0, '127.0.0.1', resolve))
const heard = new Promise(resolve => b.on('message', resolve))
a.send('x', b.address().port, '127.0.0.1')
await heard
a.close()
b.close()
console.log('heard')

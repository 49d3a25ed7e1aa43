/**
 * One of the processes that share a port: `reuse-port-program PORT`, with its security in
 * SHARED_SECURITY. It answers each message with its own number and the message, until it is told to end.
 */
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'

const security = JSON.parse(process.env.SHARED_SECURITY ?? '')
const socket = new SecureDgramSocket({
  type: 'udp4',
  reusePort: true,
  security: { ...security, sharePort: true, ticketKeys: Buffer.from(security.ticketKeys, 'hex') },
})
socket.on('message', (message, { port, address }) => {
  socket.send(`${process.pid} ${message}`, port, address)
})
socket.bind(Number(process.argv[2]), '127.0.0.1', () => process.send?.(socket.address().port))
process.on('message', () => socket.close(() => process.exit()))
process.on('disconnect', () => process.exit())

/** A thread that connects a secured socket to a port of loopback, and ends. */
import { workerData } from 'node:worker_threads'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { event } from '../../support/events.js'

const socket = new SecureSocket({ security: { protocol: 'ipsec' } })
socket.connect(workerData, '127.0.0.1')
await event(socket, 'connect')
socket.destroy()

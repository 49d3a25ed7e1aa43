/**
 * One host of a fleet: a secured datagram socket with the settings in HOST, on HOST's port or any.
 * It answers each message with what it knows of whom it came from. Its clock is ahead, if HOST says so.
 */
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import type { Answer, HostOptions } from './hosts.js'

const { security, ticketKeys, port, ahead } = JSON.parse(process.env.HOST ?? '') as HostOptions
const { now } = Date
Date.now = () => now() + ahead

const socket = new SecureDgramSocket({
  type: 'udp4',
  security: {
    ...security,
    ...(ticketKeys.length === 0
      ? {}
      : { ticketKeys: ticketKeys.map(key => Buffer.from(key, 'hex')) }),
  },
})
socket.on('message', async (message, rinfo) => {
  const { resumed } = await socket.querySecurity(rinfo)
  const names = rinfo.peer?.names ?? []
  const answer: Answer = { question: String(message), pid: process.pid, names, resumed }
  socket.send(JSON.stringify(answer), rinfo.port, rinfo.address)
})
socket.bind(port, '127.0.0.1', () => process.send?.(socket.address().port))
process.on('message', () => process.send?.(socket.stats))
process.on('disconnect', () => process.exit())

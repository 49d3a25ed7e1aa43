// One of the processes that share a port. It does some work for each message, and acknowledges each
// burst. Asked, it tells how many messages it has had, and the CPU time that it has used.

import { createHash } from 'node:crypto'

const { dist, port, security, kilobytes, burst, channel } = JSON.parse(process.argv[2])
const { createSocket } = await import(`${dist}/dgram.js`)
const socket = createSocket({
  type: 'udp4',
  channel,
  reusePort: true,
  recvBufferSize: 4_000_000,
  security: { ...security, sharePort: true },
})
const document = Buffer.alloc(kilobytes * 1024, 1)
const counts = new Map()
let messages = 0
socket.on('message', (_, { port, address }) => {
  messages += 1
  if (kilobytes > 0) createHash('sha256').update(document).digest()
  const count = (counts.get(port) ?? 0) + 1
  counts.set(port, count)
  if (count % burst === 0) socket.send('on', port, address)
})
socket.bind(port, '127.0.0.1', () => process.send(socket.address().port))
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send({ messages, cpu: user + system, peers: counts.size })
})
process.on('disconnect', () => process.exit())

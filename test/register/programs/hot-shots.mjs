// hot-shots: a client of statsd, and a collector that is no more than a socket.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { StatsD } from 'hot-shots'
import { run, word } from './run.cjs'

run({
  async server() {
    const socket = createSocket('udp4', message => console.log(`got ${message}`))
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return socket.address().port
  },
  async client(port) {
    const metrics = new StatsD({ host: '127.0.0.1', port, prefix: `${word}.` })
    await promisify(metrics.increment).call(metrics, 'orders', 1)
    await promisify(metrics.close).call(metrics)
    return 'through'
  },
})

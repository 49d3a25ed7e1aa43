// winston-syslog by UDP, and a collector that is no more than a socket.

const { createSocket } = require('node:dgram')
const { once } = require('node:events')
const winston = require('winston')
const { Syslog } = require('winston-syslog')
const { run, word } = require('./run.cjs')

run({
  async server() {
    const socket = createSocket('udp4', message => console.log(`got ${message}`))
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return socket.address().port
  },
  async client(port) {
    const transport = new Syslog({ host: '127.0.0.1', port, protocol: 'udp4' })
    const { levels } = winston.config.syslog
    const logger = winston.createLogger({ levels, transports: [transport] })
    logger.warning('what it has no socket for yet, and so does not report')
    await once(transport.socket, 'listening')
    logger.warning(word)
    await once(transport, 'logged')
    // It would wait a few seconds for the first one.
    setImmediate(() => process.exit())
    return 'through'
  },
})

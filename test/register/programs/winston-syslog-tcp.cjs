// winston-syslog by TCP, and a collector that is no more than a socket.

const { once } = require('node:events')
const { createServer } = require('node:net')
const winston = require('winston')
const { Syslog } = require('winston-syslog')
const { run, word } = require('./run.cjs')

run({
  async server() {
    const server = createServer(socket => socket.on('data', data => console.log(`got ${data}`)))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server.address().port
  },
  async client(port) {
    const transport = new Syslog({ host: '127.0.0.1', port, protocol: 'tcp4' })
    const { levels } = winston.config.syslog
    const logger = winston.createLogger({ levels, transports: [transport] })
    logger.warning(word)
    await once(transport, 'logged')
    // It connects again for ever, also once it is closed.
    setImmediate(() => process.exit())
    return 'through'
  },
})

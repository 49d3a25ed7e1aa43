// syslog over secured sockets, by TCP (as in RFC 5425) and by UDP (as in RFC 6012), with winston-syslog
// as the client: it makes its sockets in two methods, which a class of our own replaces.

import { EventEmitter, once } from 'node:events'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'
import { createConnection, createServer } from 'secure-socket/net'
import winston from 'winston'
import { Syslog } from 'winston-syslog'

class SecureSyslog extends Syslog {
  constructor({ security, peerTargetName, ...options }) {
    super(options)
    this.secured = { security, peerTargetName }
  }

  connect(callback) {
    if (this.socket || this.isDgram) return super.connect(callback)
    const { host, port, secured } = this
    this.socket = createConnection({ host, port, ...secured })
    this.socket.on('connect', () => this.socket.write(this.queue.splice(0).join('')))
    this.socket.on('error', error => this.emit('error', error))
    this.socket.on('close', () => {
      this.socket = null // the next message connects again
    })
    callback(true) // not yet: the message waits in the queue
  }

  connectDgram(callback) {
    const { host: address, port, secured } = this
    this.socket = createSocket({ type: 'udp4', security: secured.security })
    this.socket.setPeerTargetName({ address, port, targetName: secured.peerTargetName })
    this.connected = true // our socket keeps what it is given until it is secured
    callback(null)
  }
}

const authority = await createAuthority()
const [logs, shop, mallory] = await Promise.all([
  createIdentity({ authority, names: ['host/logs.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

// The collectors: whatever a message says, the certificate says whose it is.
const collected = new EventEmitter()
const streams = createServer({ security: { ...logs, requestCert: true } }, socket => {
  const { names } = socket.impersonatePeer(currentPeer)
  socket.on('error', () => {}).setEncoding('utf8')
  socket.on('data', text => collected.emit('message', `${text.trim()}, by TCP from ${names}`))
})
const datagrams = createSocket({ type: 'udp4', security: logs }, (text, { peer }) =>
  collected.emit('message', `${String(text).trim()}, by UDP from ${peer.names}`),
)
await Promise.all([
  once(streams.listen(0, '127.0.0.1'), 'listening'),
  once(datagrams.bind(0, '127.0.0.1'), 'listening'),
])

for (const [protocol, collector] of Object.entries({ tcp4: streams, udp4: datagrams })) {
  const where = { host: '127.0.0.1', port: collector.address().port, protocol, eol: '\n' }
  console.log(await log(where, shop, 'host/logs.example.com'))
  console.log(await log(where, shop, 'host/bank.example.com'))
  console.log(await log(where, { ...mallory, ca: authority.cert }, 'host/logs.example.com'))
}
streams.close()
datagrams.close()

async function log(where, security, peerTargetName) {
  const transport = new SecureSyslog({ ...where, security, peerTargetName })
  const { levels } = winston.config.syslog
  const format = winston.format.printf(({ message }) => message)
  const logger = winston.createLogger({ levels, format, transports: [transport] })
  logger.warning('disk full')
  const arrived = once(collected, 'message').then(([text]) => text)
  const failed = once(logger, 'error').then(([{ code }]) => code)
  const result = await Promise.race([arrived, failed])
  transport.queue.length = 0 // what is refused would be tried again
  logger.close()
  return result
}

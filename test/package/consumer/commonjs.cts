// Compiled, never run: the same from CommonJS.
import dgram = require('secure-socket/dgram')
import net = require('secure-socket/net')

import { type SecureSocket, SocketSecurityError } from 'secure-socket'
import { connect } from 'secure-socket/promises'

const socket: SecureSocket = net.createConnection({
  port: 5432,
  host: 'db.example.com',
  security: { ca: 'PEM' },
})
const server = net.createServer({ security: { cert: 'PEM', key: 'PEM', requestCert: true } })
server.on('connection', peer => peer.secured.then(info => info.protocol))

dgram.createSocket('udp4').bind(5000)

async function main() {
  try {
    await connect({ port: 5432, peerTargetName: 'host/db.example.com' })
  } catch (error) {
    if (error instanceof SocketSecurityError) return error.code
  }
  return socket.secured
}
void main()

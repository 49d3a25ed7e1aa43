/** A program of a few lines: it connects, says something, prints the answer and has nothing else to do. */
import { connect } from '../../src/net.js'
import { securityOf } from './support/hosts.js'

const [host, port] = process.argv.slice(2)
const security = securityOf('a', 'certificate')
const socket = connect({ host, port: Number(port), security, peerTargetName: 'b.example' } as never)
socket.end('hello ')
socket.on('data', (data: Buffer) => process.stdout.write(data))

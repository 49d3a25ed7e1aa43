/** A process of a cluster that binds a datagram socket with reusePort, and tells its parent how that went. */
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'

const { options, port } = JSON.parse(process.env.CLUSTER_SOCKET ?? '{}')
const socket = new SecureDgramSocket(options)
socket.on('error', error => process.send?.(String(error)))
socket.bind(port, '127.0.0.1', () => process.send?.(socket.channel))

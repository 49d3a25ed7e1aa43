// statsd over secured datagrams, with hot-shots as the client: it sends by a connected socket. The
// collector is known by its public key, as with SSH, and takes metrics from whoever has a certificate
// of its authority.

import { once } from 'node:events'
import { StatsD } from 'hot-shots'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'

const authority = await createAuthority()
const own = await createIdentity({ names: ['host/metrics.example.com'] }) // signed by nobody
const shop = await createIdentity({ authority, names: ['spiffe://example.com/shop'] })

const collector = createSocket({ type: 'udp4', security: { ...own, ca: authority.cert } })
await once(collector.bind(0, '127.0.0.1'), 'listening')
const { port } = collector.address()

const socket = createSocket({ type: 'udp4', security: { cert: shop.cert, key: shop.key } })
socket.setPeerTargetName({ address: '127.0.0.1', port, targetName: own.pin })
socket.connect(port, '127.0.0.1')
await once(socket, 'connect')
// It takes a socket where it believes to be the child of another client.
const metrics = new StatsD({ isChild: true, socket, bufferHolder: { buffer: '' }, prefix: 'shop.' })

metrics.increment('orders')
const [message, { peer }] = await once(collector, 'message')
console.log(`${message} from ${peer.names}`)

metrics.close() // and with it the socket
collector.close()

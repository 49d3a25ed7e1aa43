// statsd over secured datagrams, with hot-shots as the client: it sends by a connected socket. The
// collector is known by its public key, as with SSH, and takes metrics from whoever has a certificate
// of its authority.

import { once } from 'node:events'
import { promisify } from 'node:util'
import { StatsD } from 'hot-shots'
import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'

const authority = await createAuthority()
const [own, other, shop, mallory] = await Promise.all([
  createIdentity({ names: ['host/metrics.example.com'] }), // signed by nobody
  createIdentity({ names: ['host/metrics.example.com'] }),
  createIdentity({ authority, names: ['spiffe://example.com/shop'] }),
  createIdentity({ names: ['spiffe://example.com/shop'] }), // signed by nobody
])

const collector = createSocket({ type: 'udp4', security: { ...own, ca: authority.cert } })
collector.on('message', (message, { peer }) => console.log(`${message} from ${peer.names}`))
await once(collector.bind(0, '127.0.0.1'), 'listening')

await count(shop, own.pin)
await count(shop, other.pin)
await count(mallory, own.pin)
collector.close()

async function count({ cert, key }, targetName) {
  const { address, port } = collector.address()
  const socket = createSocket({ type: 'udp4', security: { cert, key } })
  socket.setPeerTargetName({ address, port, targetName })
  socket.connect(port, address)
  await once(socket, 'connect')
  // It takes a socket where it believes to be the child of another client.
  const metrics = new StatsD({
    isChild: true,
    socket,
    bufferHolder: { buffer: '' },
    prefix: 'shop.',
  })
  try {
    await promisify(metrics.increment).call(metrics, 'orders', 1)
  } catch ({ code }) {
    console.log(code)
  } finally {
    metrics.close() // and with it the socket
  }
}

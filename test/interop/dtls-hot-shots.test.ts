/** hot-shots, a client of statsd, unmodified: it sends by the connected socket that it is given. */
import { StatsD } from 'hot-shots'
import t from 'tap'
import { event, failure } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { identified, LOOPBACK, listening, speaking } from './dtls-sockets.js'

const own = await identified()
const client = await identified(['client.example'])

t.test('its metrics arrive, and the collector knows whose they are', async t => {
  const collector = await listening(t, own, { echo: false })
  const metrics = await metricsTo(t, collector.port)
  metrics.increment('orders')
  metrics.timing('checkout', 120)
  metrics.gauge('carts', 7)

  const heard = [
    await collector.heard.next(),
    await collector.heard.next(),
    await collector.heard.next(),
  ]
  t.same(
    heard.map(({ text }) => text),
    ['shop.orders:1|c', 'shop.checkout:120|ms', 'shop.carts:7|g'],
  )
  for (const { from } of heard) t.same(from.peer?.names, ['client.example'])

  const gone = event(collector.socket, 'peerClose')
  await new Promise<void>((resolve, reject) => {
    metrics.close(error => (error ? reject(error) : resolve()))
  })
  await gone
})

t.test('a collector that proves another name gets none', async t => {
  const { cert, key } = await testIdentity(['db.example.com'])
  const collector = await listening(t, { ...own, cert, key }, { echo: false })
  const metrics = await metricsTo(t, collector.port)
  const told = new Promise<void>((resolve, reject) => {
    metrics.increment('orders', 1, error => (error ? reject(error) : resolve()))
  })
  t.match(await failure(told), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.same(collector.heard.all, [])
})

async function metricsTo(t: Parameters<typeof speaking>[0], port: number): Promise<StatsD> {
  const socket = speaking(t, client)
  socket.connect(port, LOOPBACK)
  await event(socket, 'connect')
  // It makes no socket of its own where it is the child of a client: then it uses its parent's socket
  // and buffer.
  return new StatsD({ isChild: true, socket, bufferHolder: { buffer: '' }, prefix: 'shop.' })
}

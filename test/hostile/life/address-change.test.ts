/**
 * A router forgets a client and gives it another port, as after an idle time. There is no connection ID, so
 * the server takes it for somebody else: what comes by the old keys from the new port is dropped. The client
 * notices the silence after `resumeAfter`, and what it says next is heard.
 */
import { networkInterfaces } from 'node:os'
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { event } from '../../support/events.js'
import {
  boundSocket,
  datagramSocket,
  echo,
  identified,
  inbox,
  LOOPBACK,
  sent,
} from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { udpProxy } from '../datagrams/udp-proxy.js'

const PATIENCE = 60_000
const own = await identified()
const other = await identified(['client.example'])

t.test('a client whose port has changed', async t => {
  const server = await boundSocket(t, { ...own, idleTimeout: 3000 })
  echo(server.socket)
  const gone: number[] = []
  server.socket.on('peerClose', ({ port }) => gone.push(port))
  const proxy = await udpProxy(t, seededRandom(t), server.port)
  const client = datagramSocket(t, { security: { ...other, resumeAfter: 1000 } })
  const heard = inbox(client)
  await sent(client, 'from the old port', proxy.port)
  await heard.have(1)
  const [old] = server.socket.peers()

  await proxy.move()
  const strangers = server.socket.stats.dropped.unknownPeer
  await sent(client, 'lost', proxy.port)
  await until('it has come', () => server.socket.stats.dropped.unknownPeer > strangers, PATIENCE)
  t.equal(server.heard.all.length, 1, 'by the old keys, from a stranger: not delivered')

  let words = 0
  await until(
    'it is heard from the new port',
    async () => {
      await sent(client, `word ${words++}`, proxy.port, LOOPBACK)
      await new Promise(resolve => setTimeout(resolve, 100))
      return heard.all.length > 1
    },
    PATIENCE,
  )
  const last = server.heard.all.at(-1)
  t.not(last?.rinfo.port, old?.port)
  t.same(last?.rinfo.peer?.names, ['client.example'], 'and has proved who it is')
  const info = await client.querySecurity({ port: proxy.port, address: LOOPBACK })
  t.equal(info.resumed, true, 'by its session, without certificates')
  await until('the old one is idle', () => gone.includes(old?.port as number), PATIENCE)
  t.equal(client.peers().length, 1)
})

t.test('a client whose port has changed while nobody spoke loses no word', async t => {
  const resumeAfter = 500
  const server = await boundSocket(t, own)
  echo(server.socket)
  const proxy = await udpProxy(t, seededRandom(t), server.port)
  const client = datagramSocket(t, { security: { ...other, resumeAfter } })
  const heard = inbox(client)
  await sent(client, 'before', proxy.port)
  await heard.have(1)

  await proxy.move()
  // The silence is what is tested; it counts from the last word that has come.
  await new Promise(resolve => setTimeout(resolve, resumeAfter + 100))
  await sent(client, 'after', proxy.port)
  await heard.have(2)
  t.same(
    [...server.heard.all, ...heard.all].map(({ text }) => text),
    ['before', 'after', 'before', 'after'],
    'each of them once, in both directions',
  )
  const [first, second] = server.heard.all
  t.not(second?.rinfo.port, first?.rinfo.port, 'from the new port')
  t.same(second?.rinfo.peer?.names, ['client.example'], 'and has proved who it is')
  const info = await client.querySecurity({ port: proxy.port, address: LOOPBACK })
  t.equal(info.resumed, true)
  t.match(client.stats, { handshakes: 2, handshakesFailed: 0 })
})

t.test('one peer, however its address is written', async t => {
  const hasIPv6 = Object.values(networkInterfaces())
    .flat()
    .some(each => each?.address === '::1')
  if (!hasIPv6) {
    if (process.env.CI === 'true') t.fail('there is no IPv6 here, and CI must not skip it')
    else t.pass('IPv6', { skip: 'there is no IPv6 here' })
    return
  }
  // A dual-stack socket hears an IPv4 peer from a mapped address.
  const server = datagramSocket(t, { type: 'udp6', security: own })
  const heard = inbox(server)
  server.bind(0, '::')
  await event(server, 'listening')
  const { port } = server.address()
  const client = await boundSocket(t, other)
  await sent(client.socket, 'over IPv4', port)
  const { rinfo } = await heard.next()
  t.match(rinfo.address, /^::ffff:127\.0\.0\.1$/)
  for (const address of ['::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:ffff:127.0.0.1']) {
    await sent(server, `to ${address}`, client.port, address)
    t.equal((await client.heard.next()).text, `to ${address}`)
  }
  t.equal(server.peers().length, 1)
  t.match(server.stats, { handshakes: 1 })
  const six = await boundSocket(t, other, '::1')
  await sent(six.socket, 'over IPv6', port, '::1')
  t.equal((await heard.next()).rinfo.address, '::1')
  await sent(server, 'to the long form', six.port, '0:0:0:0:0:0:0:1')
  t.equal((await six.heard.next()).text, 'to the long form')
  t.equal(server.peers().length, 2)
  t.match(server.stats, { handshakes: 2 })
})

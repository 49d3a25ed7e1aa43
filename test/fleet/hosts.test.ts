/**
 * A fleet of hosts behind a balancer of UDP. They share ticket keys, and nothing else: each has a
 * process, a certificate and a clock of its own. A client that is led from one to another resumes
 * there, and is known there; and every host accepts the cookie that another has given.
 */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { failure } from '../support/events.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { identified } from '../support/secured-datagrams.js'
import { Balancer } from './balancer.js'
import { Client, Host, prepareHosts } from './hosts.js'

const CLIENT = 'client.example'
const SERVICE = 'service.example'
const ticketKeys = [randomBytes(48).toString('hex')]
const me = await identified([CLIENT])

t.before(() => prepareHosts(t))

/** A certificate and key of its own for each host; the names are the same. */
async function hostIdentity(days: number, names: readonly string[] = [SERVICE]) {
  const { cert, key, ca } = await testIdentity(names, { days })
  return { cert, key, ca }
}

async function clientOf(t: Test, balancer: Balancer, security: object = {}): Promise<Client> {
  const client = new Client(t, { ...me, ...security }, balancer.port)
  await client.socket.setPeerTargetName({ ...client.peer, targetName: `host/${SERVICE}` })
  return client
}

t.test('a client whose datagrams go to another host resumes there, and is known', async t => {
  const balancer = await Balancer.start(t)
  const one = await Host.start(t, { security: await hostIdentity(2), ticketKeys })
  const two = await Host.start(t, { security: await hostIdentity(3), ticketKeys })
  const client = await clientOf(t, balancer)

  balancer.choose = () => one.port
  t.same(await client.ask(), { pid: one.pid, names: [CLIENT], resumed: false })
  balancer.choose = () => two.port
  t.same(await client.ask(), { pid: two.pid, names: [CLIENT], resumed: true })
  const { resumed, peer } = await client.socket.querySecurity(client.peer)
  t.equal(resumed, true)
  t.equal(peer?.targetName, `host/${SERVICE}`, 'the client knows who that is, too')

  const { dropped, handshakes } = await two.stats()
  t.ok(dropped.unknownPeer > 0, 'until then it was unknown there, and got no answer')
  t.equal(handshakes, 1)
  t.equal((await one.stats()).peers, 1, 'nobody has told the first one')
  balancer.choose = () => one.port
  t.same(await client.ask(), { pid: one.pid, names: [CLIENT], resumed: true }, 'and back again')
  t.same((await one.stats()).peers, 1)
})

t.test('the cookie of one host is good at another, whose clock is not the same', async t => {
  const balancer = await Balancer.start(t)
  const one = await Host.start(t, { security: await hostIdentity(2), ticketKeys, ahead: 4000 })
  const two = await Host.start(t, { security: await hostIdentity(3), ticketKeys, ahead: -4000 })
  for (const [first, rest] of [
    [one, two],
    [two, one],
  ] as const) {
    const client = await clientOf(t, balancer)
    let firstHellos = 0
    balancer.choose = datagram => {
      if (!isFirstHello(datagram)) return rest.port
      firstHellos += 1
      return first.port
    }
    t.match(await client.ask(), { pid: rest.pid, names: [CLIENT] })
    const cookies = balancer.takeAnswers().filter(isCookie).length
    t.ok(cookies > 0 && cookies <= firstHellos, 'the second host has asked for none')
  }
  for (const host of [one, two]) t.match(await host.stats(), { peers: 1 })
})

t.test('without shared keys hosts are strangers to each other', async t => {
  const balancer = await Balancer.start(t)
  const one = await Host.start(t, { security: await hostIdentity(2) })
  const two = await Host.start(t, { security: await hostIdentity(3) })
  const client = await clientOf(t, balancer, { handshakeTimeout: 5000 })
  balancer.choose = datagram => (isFirstHello(datagram) ? one.port : two.port)
  t.match(await failure(client.socket.secure(client.peer)), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  t.ok(balancer.takeAnswers().filter(isCookie).length > 1, 'each wants a cookie of its own')
  balancer.choose = () => one.port
  t.equal((await client.ask()).resumed, false)
  balancer.choose = () => two.port
  t.equal((await client.ask()).resumed, false)
})

t.test('a host that fails and comes again, with a new certificate', async t => {
  const balancer = await Balancer.start(t)
  const before = await Host.start(t, { security: await hostIdentity(2), ticketKeys })
  const client = await clientOf(t, balancer)
  balancer.choose = () => before.port
  await client.ask()
  await before.fail()
  const next = [randomBytes(48).toString('hex'), ...ticketKeys]
  const { port } = before
  const again = await Host.start(t, { security: await hostIdentity(3), ticketKeys: next, port })
  t.same(
    await client.ask(),
    { pid: again.pid, names: [CLIENT], resumed: true },
    'and a new key before the one that its ticket is of',
  )
})

t.test('the keys of the tickets do not make a host that it is not', async t => {
  const balancer = await Balancer.start(t)
  const one = await Host.start(t, { security: await hostIdentity(2), ticketKeys })
  const others = await Host.start(t, {
    security: await hostIdentity(3, ['other.example']),
    ticketKeys,
  })
  const stranger = await strangerIdentity([SERVICE])
  const strange = await Host.start(t, {
    security: { cert: stranger.cert, key: stranger.key, ca: me.ca },
    ticketKeys,
  })
  const client = await clientOf(t, balancer)
  balancer.choose = () => one.port
  await client.ask()
  client.socket.closePeer(client.peer)
  balancer.choose = () => others.port
  t.match(await failure(client.socket.secure(client.peer)), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  })
  balancer.choose = () => strange.port
  t.match(await failure(client.socket.secure(client.peer)), {
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  })
  balancer.choose = () => one.port
  t.match(await client.ask(), { pid: one.pid })
})

/** A ClientHello without a cookie: type 1, message 0 (RFC 6347, section 4.2.2). */
function isFirstHello(datagram: Buffer): boolean {
  return isHandshake(datagram, 1) && datagram.readUInt16BE(17) === 0
}

function isCookie(datagram: Buffer): boolean {
  return isHandshake(datagram, 3)
}

function isHandshake(datagram: Buffer, type: number): boolean {
  return datagram[0] === 22 && datagram.readUInt16BE(3) === 0 && datagram[13] === type
}

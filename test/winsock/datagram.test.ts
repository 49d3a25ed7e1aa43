/**
 * SecureDgramSocket over Winsock's secure sockets, as an application sees it, with the double in the
 * place of the system's library: messages both ways, each peer for itself, and every way in which the
 * system can refuse, fail, or stay silent.
 */
import dgram from 'node:dgram'
import t, { type Test } from 'tap'
import { getsockopt, SO_EXCLUSIVEADDRUSE, SOL_SOCKET } from '../../lib/winsock.js'
import { createSocket } from '../../src/promises.js'
import type { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { closed, event, failure } from '../support/events.js'
import { datagramSocket, identified, inbox, sent } from '../support/secured-datagrams.js'
import { bound } from '../support/udp-tap.js'
import { until } from '../support/until.js'
import { type Call, noDouble } from '../support/winsock-double.js'
import { calls, freshDouble, names, onlyCall } from './log.js'
import { LOOPBACK, plainPeer, security } from './scenes.js'

if (noDouble) {
  t.plan(0, noDouble)
  process.exit()
}

async function boundTo(socket: SecureDgramSocket, address = LOOPBACK): Promise<number> {
  socket.bind(0, address)
  await event(socket, 'listening')
  return socket.address().port
}

t.test('messages both ways; each end knows what secures the other, and who it is', async t => {
  freshDouble(t)
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  const client = datagramSocket(t, { security })
  const answers = inbox(client)
  t.equal(await sent(client, 'hello', port), 5)
  const { text, rinfo } = await heard.next()
  t.equal(text, 'hello')
  t.match(rinfo.peer, { names: [], user: { sid: /^S-1-/ } })
  server.send('welcome', rinfo.port, rinfo.address)
  t.equal((await answers.next()).text, 'welcome')
  const info = await client.querySecurity({ address: LOOPBACK, port })
  t.match(info, {
    secured: true,
    encrypted: true,
    protocol: 'ipsec',
    peer: { targetName: LOOPBACK, user: { sid: /^S-1-/ } },
    ipsec: { mainModeSaId: '1', quickModeSaId: '2' },
  })
  t.match(client.stats, { datagramsSent: 1, datagramsReceived: 1, handshakes: 1, peers: 1 })
})

t.test('Node binds, connects and sends with nothing but the SOCKET that is secured', async t => {
  const double = freshDouble(t)
  const peer = await plainPeer(t)
  double.watch()
  const client = datagramSocket(t, { security })
  await client.setPeerTargetName({ address: LOOPBACK, port: peer.port, targetName: 'host/a' })
  await sent(client, 'x', peer.port)
  const connected = datagramSocket(t, { security })
  connected.connect(peer.port, LOOPBACK)
  await event(connected, 'connect')
  await new Promise(resolve => connected.send('y', resolve))
  await peer.hears(2)
  const log = double.takeLog().filter(({ phase }) => phase !== 'complete')
  const sockets = calls(log, 'WSASetSocketSecurity').map(each => each.socket)
  const orders = sockets.map(socket =>
    log.filter(each => each.socket === socket).map(each => each.function),
  )
  t.same(orders, [
    [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'bind',
      'WSASendTo',
      'WSAQuerySocketSecurity',
    ],
    [
      'WSASetSocketSecurity',
      'bind',
      'WSASetSocketPeerTargetName',
      'connect',
      'WSASendTo',
      'WSAQuerySocketSecurity',
    ],
  ])
  t.ok(log.every(each => each.secured && sockets.includes(each.socket)))
})

t.test('on IPv6, and IPv4 on a socket of both', async t => {
  const double = freshDouble(t)
  const server = datagramSocket(t, { type: 'udp6', security })
  const heard = inbox(server)
  const port = await boundTo(server, '::')
  const six = datagramSocket(t, { type: 'udp6', security })
  await sent(six, 'six', port, '::1')
  const four = datagramSocket(t, { security })
  await sent(four, 'four', port)
  const all = await heard.have(2)
  t.same(all.map(({ text }) => text).sort(), ['four', 'six'])
  const mapped = all.find(({ text }) => text === 'four')?.rinfo
  const answers = inbox(four)
  server.send('back', mapped?.port as number, mapped?.address)
  t.equal((await answers.next()).text, 'back')
  t.same(
    calls(double.takeLog(), 'WSASetSocketSecurity').map(({ family }) => family),
    [23, 23, 2],
  )
})

t.test(
  'five names on one socket: the one that is refused disturbs no other (R19, R20)',
  async t => {
    const double = freshDouble(t)
    const peers = await Promise.all(Array.from({ length: 5 }, () => plainPeer(t)))
    const client = datagramSocket(t, { security })
    await boundTo(client)
    const refused: unknown[] = []
    client.on('peerError', (error, peer) => refused.push(peer, error))
    const named = peers.map(({ port }, i) => {
      if (i === 2) double.behave('WSASetSocketPeerTargetName', { mode: 'fail', error: 10022 })
      const done = client.setPeerTargetName({
        address: LOOPBACK,
        port,
        targetName: `host/${i}.example`,
      })
      double.behave('WSASetSocketPeerTargetName', { mode: 'default' })
      return done.catch(error => error)
    })
    t.match(await Promise.all(named), [
      undefined,
      undefined,
      { code: 'EINVAL', syscall: 'WSASetSocketPeerTargetName' },
    ])
    const outcomes = await Promise.all(
      peers.map(({ port }, i) => sent(client, `to ${i}`, port).catch(error => error)),
    )
    t.match(outcomes, [4, 4, { code: 'EINVAL' }, 4, 4])
    for (const [i, peer] of peers.entries()) if (i !== 2) t.equal(await peer.hears(4), `to ${i}`)
    t.equal(peers[2]?.contacts, 0)
    await client.setPeerTargetName({
      address: LOOPBACK,
      port: peers[2]?.port as number,
      targetName: 'host/again.example',
    })
    t.equal(await sent(client, 'now', peers[2]?.port as number), 3, 'a name that is taken mends it')
    await client.deletePeerTargetName({ address: LOOPBACK, port: peers[0]?.port as number })
    onlyCall(double.takeLog(), 'WSADeleteSocketPeerTargetName')
    t.equal(await sent(client, 'on', peers[0]?.port as number), 2, 'R21: its security lives on')
  },
)

t.test('what the system does not secure is neither sent on nor delivered (R14)', async t => {
  const double = freshDouble(t)
  const peer = await plainPeer(t)
  double.answerFor(peer.port, { flags: 1 })
  const client = datagramSocket(t, { security })
  const outcomes = await Promise.all(
    ['one', 'two'].map(text => failure(sent(client, text, peer.port))),
  )
  t.match(outcomes, [{ code: 'EPROTO' }, { code: 'EPROTO' }])
  t.equal(await peer.hears(3), 'one', 'the system has let the first one out')
  const heard = inbox(client)
  peer.answer('in clear')
  await until('it was dropped', () => client.stats.dropped.unknownPeer === 1)
  const server = datagramSocket(t, { security })
  const port = await boundTo(server)
  const all = inbox(server)
  double.answers({ flags: 0 })
  const plain = await plainPeer(t)
  const raw = dgram.createSocket('udp4')
  t.teardown(() => raw.close())
  raw.send('from a stranger', port, LOOPBACK)
  await until('it was dropped', () => server.stats.dropped.unauthenticated === 1)
  t.same([...heard.all, ...all.all], [])
  t.equal(plain.contacts, 0)
  double.answerFor(plain.port, { error: 10054 })
  t.match(await failure(sent(client, 'x', plain.port)), { code: 'ECONNRESET' })
})

t.test('a negotiation that takes its time is waited for, in order and within bounds', async t => {
  const double = freshDouble(t)
  const peer = await plainPeer(t)
  double.answers({ flags: 0 })
  const client = datagramSocket(t, { security: { ...security, maxQueuedDatagrams: 3 } })
  await boundTo(client)
  const outcomes = Promise.all(['one', 'two', 'three'].map(text => sent(client, text, peer.port)))
  t.match(await failure(sent(client, 'four', peer.port)), { code: 'ENOBUFS' })
  await peer.hears(3)
  const log: Call[] = []
  await until('it was asked repeatedly', () => {
    log.push(...double.takeLog())
    return calls(log, 'WSAQuerySocketSecurity').length > 2
  })
  t.equal(peer.received, 'one')
  double.answers({ flags: 3 })
  t.same(await outcomes, [3, 3, 5])
  t.equal(await peer.hears(11), 'onetwothree')
})

t.test('pending calls: the loop goes on, and all that waited follows', async t => {
  const double = freshDouble(t)
  for (const name of [
    'WSASetSocketSecurity',
    'WSASetSocketPeerTargetName',
    'WSAQuerySocketSecurity',
  ] as const)
    double.behave(name, { mode: 'pend', delay: 30 })
  const server = datagramSocket(t, { security })
  const port = await boundTo(server)
  const heard = inbox(server)
  const clients = Array.from({ length: 10 }, () => datagramSocket(t, { security }))
  const outcomes = await Promise.all(clients.map(each => sent(each, 'hello', port)))
  t.same(new Set(outcomes), new Set([5]))
  t.equal((await heard.have(10)).length, 10)
  t.equal(double.outstanding(), 0)
})

t.test('silence: each call is given up in time, and leaves nothing behind', async t => {
  const double = freshDouble(t)
  const impatient = { ...security, handshakeTimeout: 300 }
  const peer = await plainPeer(t)
  double.behave('WSASetSocketSecurity', { mode: 'never' })
  const unbound = datagramSocket(t, { security: impatient })
  unbound.bind(0, LOOPBACK)
  t.match(await event(unbound, 'error'), [{ code: 'ETIMEDOUT', syscall: 'WSASetSocketSecurity' }])
  double.behave('WSASetSocketSecurity', { mode: 'default' })
  await boundTo(unbound)
  for (const name of ['WSASetSocketPeerTargetName', 'WSAQuerySocketSecurity'] as const) {
    double.behave(name, { mode: 'never' })
    const socket = datagramSocket(t, { security: impatient })
    t.match(await failure(sent(socket, 'x', peer.port)), { code: 'ETIMEDOUT', syscall: name })
    double.behave(name, { mode: 'default' })
    t.equal(await sent(socket, 'y', peer.port), 1, 'and the next message begins anew')
  }
  t.equal(await peer.hears(3), 'yxy', 'before a name is taken nothing leaves')
  await until('all was given up', () => double.outstanding() === 0)
  t.equal(calls(double.takeLog(), 'WSASetSocketSecurity').length, 4)
})

t.test(
  'closed while a call pends: nothing is bound or sent, every handle is closed once',
  async t => {
    const double = freshDouble(t)
    const peer = await plainPeer(t)
    const moments = [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ] as const
    for (const name of moments) {
      double.behave(name, { mode: 'never' })
      const abort = new AbortController()
      const socket = datagramSocket(t, { security, signal: abort.signal })
      const outcome = failure(sent(socket, 'x', peer.port))
      await until('it pends', () => double.outstanding() === 1)
      const gone = closed(socket)
      abort.abort()
      t.match(await outcome, { code: 'ECANCELED' }, name)
      await gone
      await until('it has ended', () => double.outstanding() === 0)
      double.behave(name, { mode: 'default' })
    }
    const log = double.takeLog()
    const made = calls(log, 'WSASetSocketSecurity').length
    const closes = log.filter(each => each.function === 'closesocket')
    t.equal(closes.length, made)
    t.ok(closes.every(each => each.result === 0))
    t.equal(await peer.hears(1), 'x', 'only where the system had its name')
  },
)

t.test('close() waits for what was sent before it', async t => {
  const double = freshDouble(t)
  double.behave('WSAQuerySocketSecurity', { mode: 'pend', delay: 100 })
  const peer = await plainPeer(t)
  const client = datagramSocket(t, { security })
  await boundTo(client)
  const outcomes = Promise.all(['one', 'two'].map(text => sent(client, text, peer.port)))
  const gone = closed(client)
  client.close()
  t.same(await outcomes, [3, 3])
  await gone
  t.equal(await peer.hears(6), 'onetwo')
  t.equal(double.takeLog().filter(each => each.function === 'closesocket').length, 1)
})

t.test('connected: the name before connect(2), then messages; and disconnected', async t => {
  const double = freshDouble(t)
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  double.takeLog()
  const client = datagramSocket(t, { security })
  const answers = inbox(client)
  client.connect(port, LOOPBACK)
  await event(client, 'connect')
  const log = double.takeLog()
  t.same(names(log), ['WSASetSocketSecurity', 'WSASetSocketPeerTargetName'])
  t.match(onlyCall(log, 'WSASetSocketPeerTargetName'), { connected: false, lowBit: true })
  await new Promise(resolve => client.send('hello', resolve))
  const { rinfo } = await heard.next()
  server.send('welcome', rinfo.port, rinfo.address)
  t.equal((await answers.next()).text, 'welcome')
  t.match(await client.querySecurity(), { secured: true })
  t.match(await failure(client.setPeerTargetName({ address: LOOPBACK, targetName: 'late' })), {
    code: 'EISCONN',
  })
  client.disconnect()
  const other = await plainPeer(t)
  t.equal(await sent(client, 'elsewhere', other.port), 9)
  double.behave('WSASetSocketPeerTargetName', { mode: 'fail' })
  const refused = datagramSocket(t, { security })
  const outcome = new Promise(resolve => refused.connect(port, LOOPBACK, resolve as () => void))
  t.match(await outcome, { code: 'EINVAL', syscall: 'WSASetSocketPeerTargetName' })
})

t.test('a port that is taken: Node’s error, and the socket can be bound elsewhere', async t => {
  const double = freshDouble(t)
  const other = await bound()
  t.teardown(() => void other.close())
  const { port } = other.address()
  const socket = datagramSocket(t, { security })
  socket.bind(port, LOOPBACK)
  t.match(await event(socket, 'error'), [
    { code: /EADDRINUSE|EACCES/, syscall: 'bind', address: LOOPBACK, port },
  ])
  await boundTo(socket)
  t.equal(calls(double.takeLog(), 'WSASetSocketSecurity').length, 1)
})

t.test('R9: the port is the socket’s alone, with IPsec and with DTLS', async t => {
  const double = freshDouble(t)
  const secured = datagramSocket(t, { security })
  const port = await boundTo(secured)
  const { socket } = onlyCall(double.takeLog(), 'WSASetSocketSecurity')
  t.equal(getsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE), 1)
  await notShared(t, port)
  const dtls = datagramSocket(t, { security: await identified() })
  await notShared(t, await boundTo(dtls))
})

/** Windows would give a port in use to whoever asks for it with SO_REUSEADDR. */
async function notShared(t: Test, port: number): Promise<void> {
  const thief = dgram.createSocket({ type: 'udp4', reuseAddr: true })
  thief.bind(port, LOOPBACK)
  t.match(await event(thief, 'error'), [{ code: /EADDRINUSE|EACCES/ }])
  thief.close()
}

t.test('bindSync() secures at once where that is possible, and else refuses', async t => {
  freshDouble(t)
  type Sync = SecureDgramSocket & { bindSync?(options: object): { port: number } }
  const dtls: Sync = datagramSocket(t, { security: await identified() })
  if (!dtls.bindSync) {
    t.pass('this version of Node has none')
    return
  }
  const { port } = dtls.bindSync({ address: LOOPBACK })
  await notShared(t, port)
  const secured: Sync = datagramSocket(t, { security })
  t.throws(() => secured.bindSync?.({}), { code: 'EOPNOTSUPP' })
})

t.test('impersonation: this thread acts as the peer, for the time of one function', async t => {
  const double = freshDouble(t)
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  const peer = await plainPeer(t)
  const client = datagramSocket(t, { security })
  await sent(client, 'x', peer.port)
  const to = { address: LOOPBACK, port: peer.port }
  t.equal(client.impersonatePeer(to, double.impersonating), true)
  t.equal(double.impersonating(), false)
  t.throws(() => client.impersonatePeer(to, async () => 1), { code: 'EINVAL' })
  t.equal(double.impersonating(), false)
  double.behave('WSAImpersonateSocketPeer', { mode: 'default' })
  t.equal(client.impersonatePeer(to, double.impersonating), true, 'by the token')
  t.throws(() => client.impersonatePeer({ ...to, port: 9 }, () => 1), { code: 'ENOTCONN' })
})

t.test(
  'settings and names that Windows cannot honour are refused before anything is made',
  async t => {
    const double = freshDouble(t)
    const certified = datagramSocket(t, { security: { ...security, ...(await identified()) } })
    certified.bind(0, LOOPBACK)
    t.match(await event(certified, 'error'), [{ code: 'EOPNOTSUPP', message: /security\.cert/ }])
    const client = datagramSocket(t, { security })
    await boundTo(client)
    double.takeLog()
    const pin = `sha256/${'A'.repeat(43)}=`
    const to = { address: LOOPBACK, port: 9 }
    t.match(await failure(client.setPeerTargetName({ ...to, targetName: pin })), { code: 'EINVAL' })
    t.match(await failure(sent(client, 'x', 9)), { code: 'EINVAL' })
    t.same(names(double.takeLog()), [])
    t.match(await failure(client.secure({ ...to, port: 10 })), { code: 'EOPNOTSUPP' })
  },
)

t.test('optionalPeerNameVerification: no name is given to the system', async t => {
  const double = freshDouble(t)
  const peer = await plainPeer(t)
  const client = datagramSocket(t, {
    security: { ...security, ipsec: { optionalPeerNameVerification: true } },
  })
  await sent(client, 'x', peer.port)
  client.closePeer({ address: LOOPBACK, port: peer.port })
  await sent(client, 'y', peer.port)
  t.same(names(double.takeLog()), [
    'WSASetSocketSecurity',
    'WSAQuerySocketSecurity',
    'WSAQuerySocketSecurity',
  ])
})

t.test('the promises face and its loop', async t => {
  freshDouble(t)
  const server = createSocket({ type: 'udp4', security })
  t.teardown(() => server.close())
  const { port } = await server.bind(0, LOOPBACK)
  const client = createSocket({ type: 'udp4', security })
  t.teardown(() => client.close())
  await client.setPeerTargetName({ address: LOOPBACK, port, targetName: 'host/a.example' })
  await client.send('hello', { address: LOOPBACK, port })
  for await (const { message, rinfo } of server) {
    t.equal(String(message), 'hello')
    await server.send('bye', rinfo)
    break
  }
  for await (const { message, rinfo } of client) {
    t.equal(String(message), 'bye')
    t.equal(rinfo.targetName, 'host/a.example')
    break
  }
})

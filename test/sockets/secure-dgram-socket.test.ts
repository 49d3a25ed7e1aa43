/** SecureDgramSocket on loopback: what node:dgram promises, with peers that are authenticated. */
import { AsyncLocalStorage } from 'node:async_hooks'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { inherits } from 'node:util'
import t from 'tap'
import { createSocket } from '../../src/dgram.js'
import { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event, failure } from '../support/events.js'
import { selfSignedIdentity, testIdentity } from '../support/identities.js'
import {
  boundSocket,
  datagramSocket,
  identified,
  inbox,
  LOOPBACK,
  sent,
} from '../support/secured-datagrams.js'
import { bound, udpTap } from '../support/udp-tap.js'
import { until } from '../support/until.js'
import { exceptUnderWine } from '../support/wine.js'

t.test('the first send handshakes, then delivers; both know who the other is', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified(['client.example']) })
  t.equal(await sent(client, 'hello', server.port), 5, 'bytes of plaintext')
  const { text, rinfo } = await server.heard.next()
  t.equal(text, 'hello')
  t.match(rinfo, {
    address: LOOPBACK,
    family: 'IPv4',
    port: client.address().port,
    size: 5,
    peer: { names: ['client.example'] },
  })
  const answers = inbox(client)
  server.socket.send('welcome', rinfo.port, rinfo.address)
  t.match(await answers.next(), { text: 'welcome', rinfo: { port: server.port, size: 7 } })
  t.match(await client.querySecurity({ address: LOOPBACK, port: server.port }), {
    secured: true,
    encrypted: true,
    protocol: 'dtls',
    version: 'DTLSv1.2',
    peer: { targetName: LOOPBACK },
  })
  t.same(client.peers(), [{ address: LOOPBACK, port: server.port }])
  t.match(client.stats, { datagramsSent: 1, datagramsReceived: 1, handshakes: 1, peers: 1 })
  t.match(client.peerStats({ address: LOOPBACK, port: server.port }), { bytesSent: 5 })
})

t.test('no byte of plaintext is on the wire, in either direction', async t => {
  const server = await boundSocket(t)
  const tap = await udpTap(server.port)
  t.teardown(() => tap.close())
  const client = datagramSocket(t, { security: await identified() })
  const answers = inbox(client)
  client.send('a secret question', tap.port, LOOPBACK)
  const { rinfo } = await server.heard.next()
  server.socket.send('a secret answer', rinfo.port, rinfo.address)
  await answers.next()
  for (const datagrams of [tap.toServer, tap.toClient]) {
    const wire = Buffer.concat(datagrams)
    t.ok(wire.length > 1000, 'a handshake was seen')
    t.notMatch(wire.toString('latin1'), /secret|question|answer/)
    for (const datagram of datagrams) {
      t.ok([20, 21, 22, 23].includes(datagram.readUInt8(0)), 'a record of DTLS')
      t.equal(datagram.readUInt8(1), 254)
    }
  }
})

t.test('nothing raw reaches a listener', async t => {
  const server = await boundSocket(t)
  const clear = await bound()
  t.teardown(() => clear.close())
  for (const datagram of ['in clear', Buffer.alloc(2000), Buffer.from([23, 254, 253])])
    clear.send(datagram, server.port, LOOPBACK)
  await until('all were counted', () => server.socket.stats.dropped.malformed === 3)
  t.equal(server.heard.all.length, 0)
})

t.test('five peers on one socket, with five names; the wrong one is refused alone', async t => {
  const names = ['a', 'b', 'c', 'd', 'e'].map(each => `${each}.example`)
  const servers = await Promise.all(
    names.map(async name => boundSocket(t, await identified([name]))),
  )
  const client = datagramSocket(t, { security: await identified(['client.example']) })
  for (const [i, { port }] of servers.entries()) {
    const targetName = i === 2 ? 'host/somebody.else.example' : `host/${names[i]}`
    client.setPeerTargetName({ address: LOOPBACK, port, targetName })
  }
  const refused: unknown[] = []
  client.on('peerError', (error, peer) => refused.push(peer, error))
  client.on('error', () => t.fail('a failure of one peer is no error of the socket'))
  const outcomes = await Promise.all(
    servers.map(({ port }, i) => sent(client, `to ${i}`, port).catch(error => error)),
  )
  t.match(outcomes, [4, 4, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }, 4, 4])
  t.match(outcomes[2].message, /somebody\.else\.example.*c\.example/)
  t.match(refused, [
    { address: LOOPBACK, port: servers[2]?.port },
    { code: 'ERR_PEER_TARGET_NAME_MISMATCH' },
  ])
  const answers = inbox(client)
  for (const [i, { heard, socket }] of servers.entries()) {
    if (i === 2) continue
    const { text, rinfo } = await heard.next()
    t.equal(text, `to ${i}`)
    socket.send(`from ${i}`, rinfo.port, rinfo.address)
    t.match(await answers.next(), { text: `from ${i}`, rinfo: { targetName: `host/${names[i]}` } })
  }
  t.equal(servers[2]?.heard.all.length, 0, 'nothing was delivered to the wrong one')
  t.equal(client.peers().length, 4)
})

t.test('both roles at once on one socket', async t => {
  const [first, second] = [await boundSocket(t), await boundSocket(t)]
  const stranger = datagramSocket(t, { security: await identified(['stranger.example']) })
  await sent(first.socket, 'as a client', second.port)
  await sent(stranger, 'to a server', first.port)
  t.equal((await second.heard.next()).text, 'as a client')
  const { text, rinfo } = await first.heard.next()
  t.equal(text, 'to a server')
  t.same(rinfo.peer?.names, ['stranger.example'])
  t.equal(first.socket.peers().length, 2)
})

t.test('what is sent before the handshake follows in order', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const texts = Array.from({ length: 40 }, (_, i) => `number ${i}`)
  await Promise.all(texts.map(text => sent(client, text, server.port)))
  t.same(
    (await server.heard.have(40)).map(({ text }) => text),
    texts,
  )
})

t.test('the queue of a peer is bounded, and counted', async t => {
  const silent = await bound()
  t.teardown(() => silent.close())
  const client = datagramSocket(t, {
    security: { ...(await identified()), maxQueuedDatagrams: 2 },
  })
  client.bind(0, LOOPBACK)
  await event(client, 'listening')
  const { port } = silent.address()
  const waiting = ['one', 'two'].map(text => failure(sent(client, text, port)))
  t.match(await failure(sent(client, 'three', port)), { code: 'ENOBUFS' })
  t.equal(client.getSendQueueCount(), 2)
  t.equal(client.getSendQueueSize(), 6)
  client.closePeer({ address: LOOPBACK, port })
  for (const each of waiting) t.match(await each, { code: 'ECANCELED' })
  t.equal(client.getSendQueueCount(), 0)
})

t.test('a buffer may be used again as soon as send() has returned', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const buffer = Buffer.alloc(5)
  for (const text of ['first', 'later', 'third']) {
    buffer.write(text)
    client.send(buffer, server.port, LOOPBACK)
  }
  t.same(
    (await server.heard.have(3)).map(({ text }) => text),
    ['first', 'later', 'third'],
  )
})

t.test('every form of send()', async t => {
  const server = await boundSocket(t)
  const { port } = server
  const client = datagramSocket(t, { security: await identified() })
  const outcome = () => {
    let done!: (outcome: [Error | null, number]) => void
    const promise = new Promise<[Error | null, number]>(resolve => {
      done = resolve
    })
    return { promise, callback: (...args: [Error | null, number]) => done(args) }
  }
  const buffer = Buffer.from('0123456789')
  const words = new Uint16Array([0x3231, 0x3433])
  const connected = datagramSocket(t, { security: await identified() })
  connected.connect(port, LOOPBACK)
  await event(connected, 'connect')
  for (const [text, send] of [
    ['string', callback => client.send('string', port, LOOPBACK, callback)],
    ['1234', callback => client.send(words, port, LOOPBACK, callback)],
    ['0123456789', callback => client.send(buffer, port, LOOPBACK, callback)],
    ['2345', callback => client.send(buffer, 2, 4, port, LOOPBACK, callback)],
    ['tri', callback => client.send('string', 1, 3, port, LOOPBACK, callback)],
    ['a0123', callback => client.send(['a', buffer.subarray(0, 4)], port, LOOPBACK, callback)],
    ['loopback', callback => client.send('loopback', port, callback)],
    ['34', callback => client.send(buffer, 3, 2, port, callback)],
    ['port', callback => client.send('port', String(port) as never, LOOPBACK, callback)],
    ['connected', callback => connected.send('connected', callback)],
    ['12', callback => connected.send(buffer, 1, 2, callback)],
    ['two', callback => connected.send(['t', 'wo'], callback)],
  ] as [string, (callback: (error: Error | null, bytes: number) => void) => void][]) {
    const { promise, callback } = outcome()
    send(callback)
    t.same(await promise, [null, text.length], text)
    t.equal((await server.heard.next()).text, text)
  }
  // Without a callback.
  client.send('quiet', port, LOOPBACK)
  client.send('quiet', port)
  client.send(buffer, 0, 5, port, LOOPBACK)
  client.send(buffer, 0, 5, port)
  connected.send('quiet')
  connected.send(buffer, 0, 5)
  for (let i = 0; i < 6; i++) t.equal((await server.heard.next()).rinfo.size, 5)
})

t.test('bad arguments are refused as node:dgram refuses them, word for word', async t => {
  const ours = datagramSocket(t, { security: await identified() })
  const plain = dgram.createSocket('udp4')
  t.teardown(() => plain.close())
  const buffer = Buffer.from('0123456789')
  const said = (call: () => unknown) => {
    try {
      call()
    } catch (error) {
      const { name, code, message } = error as Error & { code?: string }
      return { name, code, message }
    }
    return 'nothing was thrown'
  }
  const attempts: unknown[][] = [
    [],
    [5],
    [{}, 1],
    [null, 1],
    [['a', 5], 1],
    ['text'],
    ['text', 0],
    ['text', -1],
    ['text', 65536],
    ['text', 'port'],
    ['text', ''],
    ['text', 1.5],
    ['text', null, LOOPBACK],
    ['text', 1, 5],
    ['text', 1, {}, () => {}],
    [buffer, 11, 1, 1, LOOPBACK],
    [buffer, 5, 6, 1, LOOPBACK],
    [{}, 0, 1, 1, LOOPBACK],
    [buffer, 0, 5, 0, LOOPBACK],
    [buffer, 0, 5, 70000, LOOPBACK],
    [buffer, 0, 5, 1, 5],
  ]
  for (const args of attempts) {
    const send = (socket: object) => () =>
      dgram.Socket.prototype.send.apply(socket as never, args as never)
    const expected = said(send(plain))
    t.not(expected, 'nothing was thrown')
    t.same(
      said(() => (ours.send as (...args: unknown[]) => void)(...args)),
      expected,
      String(args),
    )
  }
  for (const args of [[0], [-1], ['x'], [1, 5]]) {
    const expected = said(() => (plain.connect as (...args: unknown[]) => void)(...args))
    t.same(
      said(() => (ours.connect as (...args: unknown[]) => void)(...args)),
      expected,
    )
  }
})

t.test('what cannot be secured is EOPNOTSUPP: broadcast, multicast, nothing at all', async t => {
  const { socket, port } = await boundSocket(t)
  const refused = { code: 'EOPNOTSUPP' }
  t.throws(() => socket.setBroadcast(true), refused)
  t.doesNotThrow(() => socket.setBroadcast(false))
  t.throws(() => socket.addMembership('224.0.0.114'), refused)
  t.throws(() => socket.addSourceSpecificMembership(LOOPBACK, '232.1.1.1'), refused)
  for (const address of ['255.255.255.255', '224.0.0.1', '239.255.255.250'])
    t.match(await failure(sent(socket, 'x', 5000, address)), refused, address)
  t.match(await failure(sent(socket, '', port + 1)), refused)
  const six = datagramSocket(t, { type: 'udp6', security: await identified() })
  for (const address of ['ff02::1', 'FF02::fb', '::ffff:224.0.0.1', '::ffff:e000:1'])
    t.match(await failure(sent(six, 'x', 5000, address)), refused, address)
  t.throws(() => socket.addMembership('256.1.1.1'), { code: 'EINVAL' }, "Node's own error")
  t.throws(() => socket.addMembership(undefined as never), { code: 'ERR_MISSING_ARGS' })
})

t.test('messages of 1 to 16384 bytes go as they are, larger ones are EMSGSIZE', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  for (const size of [1, 1200, 1201, 9000, 16384]) {
    t.equal(await sent(client, 'x'.repeat(size), server.port), size)
    t.equal((await server.heard.next()).rinfo.size, size)
  }
  const peer = `${LOOPBACK}:${server.port}`
  t.match(await failure(sent(client, Buffer.alloc(16385), server.port)), {
    code: 'EMSGSIZE',
    syscall: 'send',
    peer,
    message: /16385.*16384/,
  })
  t.match(await failure(sent(client, Buffer.alloc(70000), server.port)), {
    code: 'EMSGSIZE',
    message: `send EMSGSIZE ${peer}`,
  })
})

t.test('a local refusal without a callback is told by peerError, and is no error', async t => {
  const { socket } = await boundSocket(t)
  const told = event(socket, 'peerError')
  socket.send(Buffer.alloc(20000), 5000, LOOPBACK)
  t.match(await told, [{ code: 'EMSGSIZE' }, { address: LOOPBACK, port: 5000 }])
})

t.test('a datagram to the socket itself is delivered inside the process', async t => {
  const { socket, port, heard } = await boundSocket(t)
  t.equal(await sent(socket, 'to myself', port), 9)
  t.match(await heard.next(), { text: 'to myself', rinfo: { address: LOOPBACK, port, size: 9 } })
  t.equal(socket.stats.datagramsSent, 0, 'no packet')
  await sent(socket, Buffer.alloc(0), port)
  t.equal((await heard.next()).rinfo.size, 0, 'an empty one too: nothing has to be secured')
  t.match(await failure(sent(socket, Buffer.alloc(65508), port)), { code: 'EMSGSIZE' })

  const wildcard = await boundSocket(t, undefined, '0.0.0.0')
  for (const address of [LOOPBACK, '127.0.0.2', '0.0.0.0'])
    await sent(wildcard.socket, address, wildcard.port, address)
  t.same(
    (await wildcard.heard.have(3)).map(({ text }) => text),
    [LOOPBACK, '127.0.0.2', '0.0.0.0'],
  )
  const mapped = await boundSocket(t, undefined, '::')
  await sent(mapped.socket, 'mapped', mapped.port, '::ffff:127.0.0.1')
  t.equal((await mapped.heard.next()).text, 'mapped')
})

t.test('IPv6, and IPv4 through it', async t => {
  const six = await boundSocket(t, undefined, '::1')
  const client = datagramSocket(t, { type: 'udp6', security: await identified() })
  await sent(client, 'over IPv6', six.port, '::1')
  t.match(await six.heard.next(), { text: 'over IPv6', rinfo: { address: '::1', family: 'IPv6' } })
  const four = await boundSocket(t)
  await sent(client, 'mapped', four.port, '::ffff:127.0.0.1')
  const { rinfo } = await four.heard.next()
  t.equal(rinfo.address, LOOPBACK)
  const answers = inbox(client)
  four.socket.send('back', rinfo.port, rinfo.address)
  t.match(await answers.next(), { text: 'back', rinfo: { address: '::ffff:127.0.0.1' } })
})

t.test('a connected socket, and disconnected again', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  client.connect(server.port, LOOPBACK)
  t.throws(() => client.connect(1), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' })
  await event(client, 'connect')
  t.match(client.remoteAddress(), { address: LOOPBACK, port: server.port })
  t.same(client.peers(), [], 'the handshake comes with the first message')
  t.match(await failure(client.querySecurity()), { code: 'ENOTCONN' })
  t.match(await client.secure(), { secured: true })
  t.match(await client.querySecurity(), { protocol: 'dtls' })
  t.equal(client.exportKeyingMaterial(32, 'EXPERIMENTAL test').length, 32)
  t.same(
    client.impersonatePeer(() => 'as the peer'),
    'as the peer',
  )
  client.send('connected')
  t.equal((await server.heard.next()).text, 'connected')
  t.throws(() => client.send('x', 0, 1, 1, LOOPBACK), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' })
  client.disconnect()
  t.throws(() => client.disconnect(), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' })
  t.throws(() => client.remoteAddress(), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' })
  await sent(client, 'to a port again', server.port)
  t.equal((await server.heard.next()).text, 'to a port again')
  t.equal(server.socket.peers().length, 1, 'it is still the same security')
})

t.test('a connected or unbound socket lets no stranger begin', async t => {
  const connected = datagramSocket(t, { security: await identified() })
  const server = await boundSocket(t)
  connected.connect(server.port, LOOPBACK)
  await event(connected, 'connect')
  const unbound = datagramSocket(t, { security: await identified() })
  await sent(unbound, 'x', server.port)
  const stranger = datagramSocket(t, {
    security: { ...(await identified()), handshakeTimeout: 300 },
  })
  for (const { port } of [unbound.address(), connected.address()])
    t.match(await failure(sent(stranger, 'let me in', port)), {
      code: 'ERR_TLS_HANDSHAKE_TIMEOUT',
    })
  t.equal(unbound.peers().length, 1)
  t.equal(connected.peers().length, 0)
})

t.test('secure() handshakes ahead, and rejects with what is wrong', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const secured = event(client, 'secure')
  const info = await client.secure({ address: LOOPBACK, port: server.port })
  t.match(info, { secured: true, peer: { names: ['localhost', LOOPBACK, '::1'] } })
  t.match(await secured, [{ address: LOOPBACK, port: server.port }, { secured: true }])
  t.equal(server.heard.all.length, 0)
  const { port } = await boundSocket(t)
  await client.setPeerTargetName({ address: LOOPBACK, port, targetName: 'host/other.example' })
  t.match(await failure(client.secure({ address: LOOPBACK, port })), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  })
  t.match(await failure(client.secure()), { code: 'ENOTCONN' })
  t.match(await failure(client.secure({ address: LOOPBACK } as never)), { code: 'EINVAL' })
})

t.test('a peer that closes is told of, and comes again with the next message', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  await sent(client, 'one', server.port)
  const { rinfo } = await server.heard.next()
  const ended = event(client, 'peerClose')
  server.socket.closePeer({ address: rinfo.address, port: rinfo.port })
  t.match(await ended, [{ address: LOOPBACK, port: server.port }])
  t.same(client.peers(), [])
  await sent(client, 'two', server.port)
  t.equal((await server.heard.next()).text, 'two')
})

t.test('host names: looked up as told, and the name that the peer must prove', async t => {
  const server = await boundSocket(t, await identified(['db.example', 'other.example']))
  const asked: string[] = []
  const lookup = (host: string, _family: unknown, callback: (...args: unknown[]) => void) => {
    asked.push(host)
    if (host.endsWith('.example')) process.nextTick(callback, null, LOOPBACK, 4)
    else callback(Object.assign(new Error('no such host'), { code: 'ENOTFOUND' }))
  }
  const client = datagramSocket(t, { security: await identified(), lookup: lookup as never })
  client.bind(0, 'here.example')
  await event(client, 'listening')
  await sent(client, 'by name', server.port, 'db.example')
  const { text, rinfo } = await server.heard.next()
  t.equal(text, 'by name')
  t.same(asked, ['here.example', 'db.example'])
  const info = await client.querySecurity({ address: LOOPBACK, port: server.port })
  t.equal(info.peer?.targetName, 'db.example')
  const answers = inbox(client)
  server.socket.send('answer', rinfo.port, rinfo.address)
  t.equal((await answers.next()).rinfo.targetName, undefined, 'no name was set')

  t.match(await failure(sent(client, 'x', 1, 'nowhere.test')), { code: 'ENOTFOUND' })
  const errors = once(client, 'error')
  client.send('x', 1, 'nowhere.test')
  t.match(await errors, [{ code: 'ENOTFOUND' }], 'without a callback: as node:dgram')
})

t.test('a target name by host name: what is sent meanwhile waits for the look-up', async t => {
  const server = await boundSocket(t, await identified(['db.example']))
  let answer!: () => void
  const lookup = (_host: string, _family: unknown, callback: (...args: unknown[]) => void) => {
    answer = () => callback(null, LOOPBACK, 4)
  }
  const client = datagramSocket(t, { security: await identified(), lookup: lookup as never })
  await new Promise<void>(resolve => {
    client.bind({ port: 0, address: LOOPBACK }, resolve)
    answer()
  })
  const { port } = server
  const named = client.setPeerTargetName({ address: 'a.host', port, targetName: 'host/db.example' })
  const resolveName = answer
  const delivered = sent(client, 'waited', port, 'a.host')
  resolveName()
  await named
  answer()
  await delivered
  t.equal((await server.heard.next()).text, 'waited')
})

t.test('close() lets go what was sent before it, and is heard by the peers', async t => {
  const server = await boundSocket(t)
  const client = new SecureDgramSocket({ type: 'udp4', security: await identified() })
  const left = sent(client, 'last words', server.port)
  const closed = event(client, 'close')
  client.close()
  t.throws(() => client.send('x', server.port), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  t.throws(() => client.close(), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  t.throws(() => client.bind(), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  t.throws(() => client.address(), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  t.match(await failure(client.secure({ address: LOOPBACK, port: 1 })), { code: 'ENOTSOCK' })
  t.equal(await left, 10)
  t.equal((await server.heard.next()).text, 'last words')
  await closed
  await until('the server has heard of it', () => server.socket.peers().length === 0)
})

t.test('close() while bound and secured is immediate', async t => {
  const server = await boundSocket(t)
  const client = new SecureDgramSocket({ type: 'udp4', security: await identified() })
  await sent(client, 'x', server.port)
  const closed = event(client, 'close')
  t.equal(
    client.close(() => {}),
    client,
  )
  t.throws(() => client.address(), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' })
  await closed
  await client[Symbol.asyncDispose]()
})

t.test('an AbortSignal closes at once, whatever waits', async t => {
  const silent = await bound()
  t.teardown(() => silent.close())
  const controller = new AbortController()
  const socket = createSocket({
    type: 'udp4',
    security: await identified(),
    signal: controller.signal,
  })
  const waiting = failure(sent(socket, 'x', silent.address().port))
  await event(silent, 'message')
  const closed = event(socket, 'close')
  controller.abort()
  t.match(await waiting, { code: 'ECANCELED' })
  await closed
  const never = createSocket({ type: 'udp4', signal: AbortSignal.abort() })
  await event(never, 'close')
})

t.test('asyncDispose closes and waits', async t => {
  const socket = createSocket({ type: 'udp4', security: await identified() })
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  const [first, second] = [socket[Symbol.asyncDispose](), socket[Symbol.asyncDispose]()]
  await Promise.all([first, second])
  t.equal(closed, true)
  await socket[Symbol.asyncDispose]()
})

t.test('the callback runs in the async context of its send()', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const storage = new AsyncLocalStorage<string>()
  const send = (name: string) =>
    storage.run(
      name,
      () =>
        new Promise(resolve => {
          client.send(name, server.port, LOOPBACK, () => resolve(storage.getStore()))
        }),
    )
  t.same(await Promise.all([send('waits'), send('waits too')]), ['waits', 'waits too'])
  t.equal(await send('goes at once'), 'goes at once')
})

t.test('a listener that throws is the process’s affair, not the protocol’s', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const thrown: Error[] = []
  const handler = (error: Error) => thrown.push(error)
  // The test runner listens too, and would fail the test.
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', handler)
  t.teardown(() => {
    process.removeListener('uncaughtException', handler)
    for (const each of others) process.on('uncaughtException', each)
  })
  server.socket.once('message', () => {
    throw new Error('of the application')
  })
  await Promise.all([sent(client, 'one', server.port), sent(client, 'two', server.port)])
  t.same(
    (await server.heard.have(2)).map(({ text }) => text),
    ['one', 'two'],
  )
  await setImmediate()
  t.match(thrown, [{ message: 'of the application' }])
})

t.test('an ICMP error ends nothing: it is counted', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  client.on('error', () => t.fail('no error'))
  client.connect(server.port, LOOPBACK)
  await client.secure()
  const icmp = Object.assign(new Error('recvmsg ECONNREFUSED'), {
    syscall: 'recvmsg',
    code: 'ECONNREFUSED',
  })
  client.emit('error', icmp)
  t.equal(client.stats.dropped.icmp, 1)
  client.send('still')
  t.equal((await server.heard.next()).text, 'still')
})

t.test('what secures the socket fails closed: bind, connect, send and secure', async t => {
  const silent = await bound()
  let datagrams = 0
  silent.on('message', () => {
    datagrams += 1
  })
  t.teardown(() => silent.close())
  const { port } = silent.address()
  const { cert } = await testIdentity()
  for (const spoil of [
    (socket: SecureDgramSocket) => void socket.setSecurity({ nonsense: 1 } as never),
    // A provider of IPsec that takes certificates wants the key too; that of Windows takes none.
    (socket: SecureDgramSocket) => void socket.setSecurity({ protocol: 'ipsec', cert }),
    (socket: SecureDgramSocket) => void socket.setSecurity({ cert, key: 'no key' }),
  ]) {
    const fresh = () => {
      const socket = datagramSocket(t)
      spoil(socket)
      return socket
    }
    const codes = /^(EINVAL|EOPNOTSUPP|ERR_PROVIDER_UNAVAILABLE|ERR_OSSL|ERR_SSL)/
    t.match(await failure(sent(fresh(), 'x', port)), { code: codes })
    t.match(await failure(fresh().secure({ address: LOOPBACK, port })), { code: codes })
    const binding = fresh()
    const bindError = once(binding, 'error')
    binding.bind(0, LOOPBACK, () => t.fail('not bound'))
    t.match(await bindError, [{ code: codes }])
    t.throws(() => binding.address(), { code: 'EBADF' })
    const connecting = fresh()
    const connectError = once(connecting, 'error')
    connecting.connect(port, LOOPBACK)
    t.match(await connectError, [{ code: codes }])
    const told = await new Promise(resolve => {
      fresh().connect(port, LOOPBACK, ((error: Error) => resolve(error)) as never)
    })
    t.match(told, { code: codes })
    const sending = fresh()
    const sendError = once(sending, 'error')
    sending.send('x', port, LOOPBACK)
    t.match(await sendError, [{ code: codes }], 'without a callback it is not silent')
  }
  await setImmediate()
  t.equal(datagrams, 0)
})

t.test('a bind that fails can be made good, and fails what waited for it', async t => {
  const taken = await boundSocket(t)
  const socket = datagramSocket(t, { security: await identified() })
  socket.bind(taken.port, LOOPBACK)
  const waiting = failure(sent(socket, 'x', taken.port))
  t.match(await once(socket, 'error'), [{ code: 'EADDRINUSE' }])
  t.match(await waiting, { code: 'EADDRINUSE' })
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  t.throws(() => socket.bind(), { code: 'ERR_SOCKET_ALREADY_BOUND' })
})

t.test('bind in all its forms', async t => {
  const security = await identified()
  const listening = async (bind: (socket: SecureDgramSocket) => void) => {
    const socket = datagramSocket(t, { security })
    const done = event(socket, 'listening')
    bind(socket)
    await done
    return socket.address()
  }
  t.equal((await listening(socket => socket.bind())).address, '0.0.0.0')
  t.equal((await listening(socket => socket.bind(0, LOOPBACK))).address, LOOPBACK)
  t.equal(
    (await listening(socket => socket.bind({ port: 0, address: LOOPBACK }))).address,
    LOOPBACK,
  )
  let called = 0
  await listening(socket => socket.bind(() => (called += 1)))
  await listening(socket => socket.bind(0, () => (called += 1)))
  await listening(socket => socket.bind(0, LOOPBACK, () => (called += 1)))
  await listening(socket => socket.bind({ port: 0, exclusive: true }, () => (called += 1)))
  t.equal(called, 4)
})

const { bindSync } = dgram.Socket.prototype as { bindSync?: unknown }
t.test('bindSync and connectSync', { skip: bindSync ? false : 'this Node has none' }, async t => {
  const server = datagramSocket(t, { security: await identified() })
  const { port } = server.bindSync({ address: LOOPBACK })
  const heard = inbox(server)
  const client = datagramSocket(t, { security: await identified() })
  client.connectSync(port, LOOPBACK)
  client.send('at once')
  t.equal((await heard.next()).text, 'at once')
  t.throws(() => server.bindSync(), { code: 'ERR_SOCKET_ALREADY_BOUND' })
  const shared = datagramSocket(t, { security: await identified(), reuseAddr: true })
  t.throws(() => shared.bindSync(), { code: 'EINVAL' })
})

t.test('old code calls and inherits the constructor', async t => {
  const security = await identified()
  function Old(this: object) {
    ;(SecureDgramSocket as unknown as (...args: unknown[]) => void).call(this, {
      type: 'udp4',
      security,
    })
  }
  inherits(Old, SecureDgramSocket)
  const server = await boundSocket(t)
  const old = new (Old as unknown as new () => SecureDgramSocket)()
  t.teardown(() => old[Symbol.asyncDispose]())
  t.ok(old instanceof SecureDgramSocket && old instanceof dgram.Socket)
  await sent(old, 'old', server.port)
  t.equal((await server.heard.next()).text, 'old')
  const called = (SecureDgramSocket as unknown as (type: string) => SecureDgramSocket)('udp4')
  t.ok(called instanceof SecureDgramSocket)
  t.throws(() => new SecureDgramSocket('tcp' as never), { code: 'ERR_SOCKET_BAD_TYPE' })
  t.throws(() => new SecureDgramSocket({ type: 'udp4', lookup: 5 as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
  })
})

t.test('peers without an authority know each other by their pins', async t => {
  const [one, two] = [await selfSignedIdentity(['one']), await selfSignedIdentity(['two'])]
  const server = datagramSocket(t, { security: { cert: one.cert, key: one.key } })
  server.bind(0, LOOPBACK)
  await event(server, 'listening')
  await server.setPeerTargetName({ address: LOOPBACK, targetName: two.pin })
  const heard = inbox(server)
  const client = datagramSocket(t, { security: { cert: two.cert, key: two.key } })
  const { port } = server.address()
  await client.setPeerTargetName({ address: LOOPBACK, port, targetName: one.pin })
  await sent(client, 'pinned', port)
  const { text, rinfo } = await heard.next()
  t.equal(text, 'pinned')
  t.equal(rinfo.targetName, two.pin)
  t.equal(rinfo.peer?.pin, two.pin)
})

const oneLoopback = exceptUnderWine('what is sent from 127.0.0.2 comes from 127.0.0.1')

t.test('a name set for a host holds wherever it is found', { skip: oneLoopback }, async t => {
  const good = await boundSocket(t, await identified(['spiffe://example.org/db']))
  const impostor = await boundSocket(t, await identified(['peer.example']), '127.0.0.2')
  let address = LOOPBACK
  const lookup = (_host: string, _family: unknown, callback: (...args: unknown[]) => void) =>
    process.nextTick(callback, null, address, 4)
  const client = datagramSocket(t, { security: await identified(), lookup: lookup as never })
  const targetName = 'spiffe://example.org/db'
  await client.setPeerTargetName({ address: 'peer.example', targetName })
  await sent(client, 'to the right one', good.port, 'peer.example')
  await sent(client, 'and again', good.port, 'PEER.example.')
  address = '127.0.0.2'
  for (const host of ['peer.example', 'PEER.example.'])
    t.match(await failure(sent(client, 'a secret', impostor.port, host)), {
      code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    })
  t.match(await failure(client.secure({ address: 'peer.example', port: impostor.port })), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  })
  t.equal(impostor.heard.all.length, 0)
  t.equal(good.heard.all.length, 2)
})

t.test('a look-up that throws, or answers nonsense, fails the send and nothing else', async t => {
  const server = await boundSocket(t)
  for (const [answer, code] of [
    [() => assertFails(), 'OWN'],
    [(callback: (...args: unknown[]) => void) => callback(null, undefined), 'EINVAL'],
    [(callback: (...args: unknown[]) => void) => callback(null, [{ address: LOOPBACK }]), 'EINVAL'],
    [(callback: (...args: unknown[]) => void) => callback(null, 'localhost'), 'EINVAL'],
  ] as const) {
    const lookup = (host: string, _family: unknown, callback: (...args: unknown[]) => void) =>
      host === 'bad.example' ? answer(callback) : process.nextTick(callback, null, LOOPBACK, 4)
    const client = datagramSocket(t, { security: await identified(), lookup: lookup as never })
    t.match(await failure(sent(client, 'x', server.port, 'bad.example')), { code })
    await sent(client, 'fine', server.port, LOOPBACK)
    t.equal((await server.heard.next()).text, 'fine')
    await client[Symbol.asyncDispose]()
  }
  function assertFails() {
    throw Object.assign(new Error('of the application'), { code: 'OWN' })
  }
})

t.test('what is for one peer never goes to the one that is connected to', async t => {
  const [first, second] = [await boundSocket(t), await boundSocket(t)]
  const tap = await udpTap(second.port)
  t.teardown(() => tap.close())
  const client = datagramSocket(t, { security: await identified() })
  await sent(client, 'to the first', first.port)
  await first.heard.next()
  client.connect(tap.port, LOOPBACK)
  await event(client, 'connect')
  await until('the first has heard the farewell', () => first.socket.peers().length === 0)
  t.equal(tap.toServer.length, 0)
  t.match(await failure(client.secure({ address: LOOPBACK, port: first.port })), {
    code: 'EISCONN',
  })
  t.equal(tap.toServer.length, 0)
  client.send('to the second')
  t.equal((await second.heard.next()).text, 'to the second')
})

t.test('keying material: the same at both ends, and only from what makes sense', async t => {
  const server = await boundSocket(t)
  const client = datagramSocket(t, { security: await identified() })
  const peer = { address: LOOPBACK, port: server.port }
  await client.secure(peer)
  await until('the server too', () => server.socket.peers().length === 1)
  const other = server.socket.peers()[0] as { address: string; port: number }
  const label = 'EXPERIMENTAL test'
  for (const context of [undefined, Buffer.from('abc'), 'abc' as never, new Uint16Array([1, 2])])
    t.same(
      client.exportKeyingMaterial(peer, 40, label, context as never),
      server.socket.exportKeyingMaterial(other, 40, label, context as never),
    )
  t.notSame(
    client.exportKeyingMaterial(peer, 32, label, 'abc' as never),
    client.exportKeyingMaterial(peer, 32, label, 'xyz' as never),
  )
  for (const [length, given, context] of [
    [0, label],
    [-1, label],
    [1.5, label],
    [65536, label],
    [32, ''],
    [32, 5],
    [32, label, { length: -5 }],
    [32, label, 5],
    [32, label, null],
  ])
    t.throws(
      () => client.exportKeyingMaterial(peer, length as number, given as string, context as never),
      { code: 'EINVAL' },
    )
  const nobody = { address: LOOPBACK, port: 9 }
  t.throws(() => client.exportKeyingMaterial(nobody, 32, label), { code: 'ENOTCONN' })
})

t.test('the wait for the look-up of a target name is that host’s alone, and bounded', async t => {
  const server = await boundSocket(t)
  const controller = new AbortController()
  const lookup = (host: string, _family: unknown, callback: (...args: unknown[]) => void) => {
    // That of the slow host never answers.
    if (host !== 'slow.example') process.nextTick(callback, null, host, 4)
  }
  const client = datagramSocket(t, {
    security: { ...(await identified()), maxQueuedDatagrams: 3, maxQueuedBytes: 100 },
    lookup: lookup as never,
    signal: controller.signal,
  })
  client.bind(0, LOOPBACK)
  await event(client, 'listening')
  const named = failure(client.setPeerTargetName({ address: 'slow.example', targetName: 'a.b' }))
  const waiting = ['1', '2', '3'].map(text => failure(sent(client, text, 5000, 'slow.example')))
  t.match(await failure(sent(client, '4', 5000, 'SLOW.example.')), { code: 'ENOBUFS' })
  t.match(await failure(sent(client, 'x'.repeat(101), 5001, 'slow.example')), { code: 'ENOBUFS' })
  t.equal(client.getSendQueueCount(), 3)
  t.equal(client.getSendQueueSize(), 3)
  await sent(client, 'to another', server.port)
  t.equal((await server.heard.next()).text, 'to another')
  const closed = event(client, 'close')
  controller.abort()
  for (const each of waiting) t.match(await each, { code: 'ECANCELED' })
  await closed
  // Its own time to be looked up is that of a handshake; the test does not wait for it.
  named.catch(() => {})
})

t.test('a target name whose look-up takes too long fails what relies on it', async t => {
  const lookup = (host: string, _family: unknown, callback: (...args: unknown[]) => void) => {
    if (host !== 'slow.example') process.nextTick(callback, null, host, 4)
  }
  const client = datagramSocket(t, {
    security: { ...(await identified()), handshakeTimeout: 100 },
    lookup: lookup as never,
  })
  const slow = { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', message: /slow\.example/ }
  const named = failure(client.setPeerTargetName({ address: 'slow.example', targetName: 'a.b' }))
  const waiting = failure(client.secure({ address: 'slow.example', port: 5000 }))
  t.match(await named, slow)
  t.match(await waiting, slow)
  t.match(await failure(sent(client, 'x', 5000, 'slow.example')), slow)
})

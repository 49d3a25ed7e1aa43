/**
 * SecureDgramSocket where the system secures the packets: the socket that was prepared is the one
 * under Node's handle, from before the binding to the end, and nothing is bound, sent or delivered
 * without it. IPsec itself is not here: the system is made up, its sockets are Linux's own.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { sockaddr, sockaddrBytes } from '../../../src/channels/batch/sockaddr.js'
import { systemError } from '../../../src/channels/batch/system-error.js'
import { createSocket } from '../../../src/promises.js'
import type { NativeBinding } from '../../../src/providers/datagram-provider.js'
import { setIpsecDatagramProvider } from '../../../src/providers/select.js'
import type { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { closed, event, failure } from '../../support/events.js'
import { clearInfo, NativeStandIn, never, securedInfo } from '../../support/native-datagrams.js'
import { datagramSocket, inbox, LOOPBACK, sent } from '../../support/secured-datagrams.js'
import { bound } from '../../support/udp-tap.js'
import { until } from '../../support/until.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the stand-in provider makes sockets by Linux calls')
  process.exit()
}
const linux = await import('../../../lib/linux-sockets.js')

const security = { protocol: 'ipsec' } as const
/** A socket option that stands in for IPsec: it is lost where another socket is bound. */
const typeOfService = 0x28

let descriptors: number[] = []
let system: NativeStandIn

t.beforeEach(() => {
  descriptors = []
  system = new NativeStandIn(
    () => {
      const type = linux.SOCK_DGRAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
      const family = system.requests.at(-1)?.family === 6 ? linux.AF_INET6 : linux.AF_INET
      const fd = linux.socket(family, type, 0)
      if (family === linux.AF_INET)
        linux.setsockopt(fd, linux.IPPROTO_IP, linux.IP_TOS, typeOfService)
      descriptors.push(fd)
      return fd
    },
    fd => void linux.close(fd),
  )
  setIpsecDatagramProvider(system)
})
t.afterEach(() => setIpsecDatagramProvider(null))

/** Is the socket that was prepared the one that is open? */
function isPrepared(fd: number | undefined): boolean {
  return linux.getsockopt(fd ?? -1, linux.IPPROTO_IP, linux.IP_TOS) === typeOfService
}

function isOpen(fd: number | undefined): boolean {
  return linux.getsockopt(fd ?? -1, linux.IPPROTO_IP, linux.IP_TOS) >= 0
}

async function boundTo(socket: SecureDgramSocket): Promise<number> {
  socket.bind(0, LOOPBACK)
  await event(socket, 'listening')
  return socket.address().port
}

/** Node's own handle, as the tests of what may happen to it need it. */
function stateOfNode(socket: SecureDgramSocket): { handle: { open(fd: number): number } } {
  const key = Object.getOwnPropertySymbols(socket).find(each => each.description === 'state symbol')
  return (socket as unknown as Record<symbol, { handle: { open(fd: number): number } }>)[
    key as symbol
  ] as { handle: { open(fd: number): number } }
}

t.test('the prepared socket is bound, sends and receives; messages go both ways', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  t.ok(isPrepared(descriptors[0]))
  const client = datagramSocket(t, { security })
  const answers = inbox(client)
  const secure = event(client, 'secure')
  t.equal(await sent(client, 'hello', port), 5)
  t.match(await secure, [
    { address: LOOPBACK, port },
    { secured: true, protocol: 'ipsec' },
  ])
  const { text, rinfo } = await heard.next()
  t.equal(text, 'hello')
  t.match(rinfo, { address: LOOPBACK, family: 'IPv4', size: 5 })
  server.send('welcome', rinfo.port, rinfo.address)
  t.equal((await answers.next()).text, 'welcome')
  t.ok(isPrepared(descriptors[1]))
  t.same(client.peers(), [{ address: LOOPBACK, port }])
  t.match(await client.querySecurity({ address: LOOPBACK, port }), {
    secured: true,
    encrypted: true,
  })
  t.match(client.stats, { datagramsSent: 1, datagramsReceived: 1, handshakes: 1, peers: 1 })
})

t.test('the order of it: secured, adopted, named, sent, asked', async t => {
  const silent = await bound()
  t.teardown(() => silent.close())
  const { port } = silent.address()
  const client = datagramSocket(t, { security })
  await client.setPeerTargetName({ address: LOOPBACK, port, targetName: 'host/a.example' })
  t.same(system.log, [], 'there is no socket yet')
  await sent(client, 'x', port)
  t.same(system.log, [
    'secure',
    'adopted',
    `name ${LOOPBACK}:${port} host/a.example`,
    `query ${LOOPBACK}:${port}`,
  ])
  t.equal(
    (await client.querySecurity({ address: LOOPBACK, port })).peer?.targetName,
    'host/a.example',
  )
})

t.test('nothing leaves before the name is taken; another peer does not wait', async t => {
  const [first, second] = [await bound(), await bound()]
  t.teardown(() => {
    first.close()
    second.close()
  })
  const client = datagramSocket(t, { security })
  let take!: () => void
  system.named = peer =>
    peer.endsWith(`:${first.address().port}`) ? new Promise(resolve => (take = resolve)) : undefined
  const arrived = event(first, 'message')
  let left = false
  first.on('message', () => (left = true))
  const waiting = sent(client, 'waits', first.address().port)
  await sent(client, 'goes', second.address().port)
  t.equal(left, false)
  take()
  await arrived
  t.equal(await waiting, 5)
})

t.test('nothing raw is delivered of a peer that is not secured', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  system.answer = () => clearInfo
  const clear = await bound()
  t.teardown(() => clear.close())
  clear.send('in clear', port, LOOPBACK)
  await until('it was dropped', () => server.stats.dropped.unauthenticated === 1)
  t.same(heard.all, [])
})

t.test('a bind that fails, fails as Node’s; the socket can be bound again', async t => {
  const other = await bound()
  t.teardown(() => other.close())
  const { port } = other.address()
  const socket = datagramSocket(t, { security })
  socket.bind(port, LOOPBACK)
  t.match(await event(socket, 'error'), [
    { code: 'EADDRINUSE', syscall: 'bind', address: LOOPBACK, port },
  ])
  await boundTo(socket)
  t.equal(system.requests.length, 1, 'it is still the same prepared socket')
  t.ok(isPrepared(descriptors[0]))
  const peer = datagramSocket(t, { security })
  const heard = inbox(peer)
  await sent(socket, 'x', await boundTo(peer))
  t.equal((await heard.next()).text, 'x')
})

t.test(
  'what cannot be opened: the bind fails, and what waited for it; the next one can',
  async t => {
    const cases: Record<string, () => void | Promise<void>> = {
      'it throws': () => {
        throw Object.assign(new Error('no policy'), { code: 'EPROTO' })
      },
      'it rejects': () => Promise.reject(Object.assign(new Error('no policy'), { code: 'EPROTO' })),
    }
    for (const [name, opening] of Object.entries(cases)) {
      system.opening = opening
      const socket = datagramSocket(t, { security })
      const told = once(socket, 'error')
      const message = failure(sent(socket, 'x', 9))
      t.match(await told, [{ message: 'no policy' }], name)
      t.match(await message, { message: 'no policy' }, name)
      system.opening = () => {}
      await boundTo(socket)
    }
  },
)

t.test(
  'a system that never answers: the bind fails in time, and the late socket is discarded',
  async t => {
    let open!: () => void
    system.opening = () => new Promise(resolve => (open = resolve))
    const socket = datagramSocket(t, { security: { ...security, handshakeTimeout: 50 } })
    socket.bind(0, LOOPBACK)
    t.match(await event(socket, 'error'), [{ code: 'ETIMEDOUT', syscall: 'WSASetSocketSecurity' }])
    t.equal(system.requests[0]?.signal.aborted, true)
    open()
    await until('it was discarded', () => system.sockets[0]?.discarded === 1)
    t.notOk(isOpen(descriptors[0]))
  },
)

t.test('a descriptor that Node does not take', async t => {
  setIpsecDatagramProvider(new NativeStandIn(() => 1_000_000))
  const socket = datagramSocket(t, { security })
  socket.bind(0, LOOPBACK)
  t.match(await event(socket, 'error'), [{ code: 'EPROTO', message: /did not take/ }])
  t.throws(() => socket.address())
})

t.test('closed, or aborted, while it is being opened: nothing is bound, nothing leaks', async t => {
  for (const end of ['close', 'abort', 'connect and close', 'send and close'] as const) {
    let open!: () => void
    system.opening = () => new Promise(resolve => (open = resolve))
    const abort = new AbortController()
    const socket = datagramSocket(t, { security, signal: abort.signal })
    socket.on('listening', () => t.fail('it was bound'))
    if (end === 'connect and close') socket.connect(9, LOOPBACK)
    else socket.bind(0, LOOPBACK)
    const outcome = end === 'send and close' ? failure(sent(socket, 'x', 9)) : undefined
    await until('it is being opened', () => open !== undefined)
    const gone = closed(socket)
    if (end === 'abort' || end === 'send and close') abort.abort()
    else socket.close()
    await gone
    if (outcome) t.match(await outcome, { code: 'ECANCELED' })
    const { length } = system.sockets
    open()
    await until('it was discarded', () => system.sockets[length]?.discarded === 1)
    t.equal(system.sockets[length]?.alive, undefined, `${end}: no handle has taken it`)
  }
})

t.test('close() lets out what was sent before it, and waits for the system’s word', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  let answer!: (info: typeof securedInfo) => void
  system.answer = peer =>
    peer.endsWith(`:${port}`) ? new Promise(resolve => (answer = resolve)) : securedInfo
  const client = datagramSocket(t, { security })
  const outcomes = Promise.all(['one', 'two', 'three'].map(text => sent(client, text, port)))
  await until('the system is asked', () => answer !== undefined)
  const gone = closed(client)
  client.close()
  t.ok(isOpen(descriptors[1]))
  answer(securedInfo)
  t.same(await outcomes, [3, 3, 5])
  await gone
  t.same(
    (await heard.have(3)).map(({ text }) => text),
    ['one', 'two', 'three'],
  )
  t.equal(system.sockets[1]?.alive?.(), false)
})

t.test('a connected socket: the name comes before connect(2), and the messages after', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  const client = datagramSocket(t, { security })
  client.connect(port, 'localhost')
  t.throws(() => client.connect(port, LOOPBACK), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' })
  await event(client, 'connect')
  t.same(system.log.slice(-3), ['secure', 'adopted', `name ${LOOPBACK}:${port} localhost`])
  t.same(client.remoteAddress().port, port)
  await new Promise(resolve => client.send('x', resolve))
  t.equal((await heard.next()).text, 'x')
  t.equal(system.log.filter(each => each.startsWith('name')).length, 1)
  t.match(await client.querySecurity(), { secured: true })
  t.match(await client.secure(), { secured: true })
  client.disconnect()
  t.throws(() => client.remoteAddress())
})

t.test('connect() fails where the name is not taken, or never', async t => {
  const cases = { fails: () => Promise.reject(new Error('no such name')), hangs: () => never }
  for (const [name, named] of Object.entries(cases)) {
    system.named = named
    const client = datagramSocket(t, { security: { ...security, handshakeTimeout: 50 } })
    const outcome = new Promise(resolve => client.connect(9, LOOPBACK, resolve as () => void))
    t.match(await outcome, { message: /no such name|did not take/ }, name)
    t.throws(() => client.remoteAddress(), name)
    system.named = () => {}
    client.connect(10, LOOPBACK)
    await event(client, 'connect')
  }
})

t.test('a name that is set fails, and with it what is sent to that peer (R12)', async t => {
  const peer = await bound()
  t.teardown(() => peer.close())
  peer.on('message', () => t.fail('nothing may leave'))
  const { port } = peer.address()
  const client = datagramSocket(t, { security })
  await boundTo(client)
  system.named = () => Promise.reject(Object.assign(new Error('refused'), { code: 'EINVAL' }))
  const name = { address: LOOPBACK, port, targetName: 'host/a.example' }
  t.match(await failure(client.setPeerTargetName(name)), { message: 'refused' })
  t.match(await failure(sent(client, 'x', port)), { message: 'refused' })
  system.named = () => {}
  await client.setPeerTargetName({ ...name, address: 'localhost' })
  await client.deletePeerTargetName({ address: 'localhost', port })
  t.equal(system.log.at(-1), `delete ${LOOPBACK}:${port}`)
})

/** Another socket's handle, in the place of the one that was secured. */
async function exchangeHandle(socket: SecureDgramSocket): Promise<void> {
  const plain = dgram.createSocket('udp4')
  plain.bind(0, LOOPBACK)
  await event(plain, 'listening')
  stateOfNode(socket).handle = stateOfNode(plain as SecureDgramSocket).handle
}

t.test('nothing is sent through another handle: both are closed, with an error', async t => {
  const peer = await bound()
  t.teardown(() => peer.close())
  peer.on('message', () => t.fail('nothing may leave'))
  const socket = datagramSocket(t, { security })
  await boundTo(socket)
  await exchangeHandle(socket)
  const end = closed(socket)
  const told = event(socket, 'error')
  const strange = { code: 'EPROTO', message: /not the one/ }
  t.match(await failure(sent(socket, 'x', peer.address().port)), strange)
  t.match(await told, [strange])
  await end
  t.notOk(isPrepared(descriptors[0]))
})

t.test('nothing is delivered that came through another handle', async t => {
  const socket = datagramSocket(t, { security })
  socket.on('message', () => t.fail('it was not secured'))
  await boundTo(socket)
  await exchangeHandle(socket)
  const told = event(socket, 'error')
  socket.emit('message', Buffer.from('x'), { address: LOOPBACK, family: 'IPv4', port: 9, size: 1 })
  t.match(await told, [{ code: 'EPROTO' }])
})

t.test('a handle that is exchanged while it is bound closes the socket', async t => {
  const socket = datagramSocket(t, { security })
  const state = stateOfNode(socket)
  const { open } = state.handle
  state.handle.open = function (this: object, fd: number) {
    const status = open.call(this, fd)
    // A proxy is another object, through which all works.
    const { handle } = state
    state.handle = Object.assign(Object.create(handle), {
      bind: (...args: unknown[]) => (handle as unknown as Any).bind?.(...args),
      recvStart: () => (handle as unknown as Any).recvStart?.(),
      recvStop: () => (handle as unknown as Any).recvStop?.(),
      close: () => (handle as unknown as Any).close?.(),
    })
    return status
  }
  socket.on('listening', () => t.fail('it is not the one that was secured'))
  const end = closed(socket)
  socket.bind(0, LOOPBACK)
  t.match(await event(socket, 'error'), [{ code: 'EPROTO', message: /not the one/ }])
  await end
})

interface Any {
  [method: string]: ((...args: unknown[]) => unknown) | undefined
}

t.test('impersonation is the system’s, and always reverted', async t => {
  const peer = await bound()
  t.teardown(() => peer.close())
  const { port } = peer.address()
  const client = datagramSocket(t, { security })
  t.throws(() => client.impersonatePeer({ address: LOOPBACK, port }, () => 1), { code: 'ENOTCONN' })
  await sent(client, 'x', port)
  t.equal(
    client.impersonatePeer({ address: LOOPBACK, port }, () => 'done'),
    'done',
  )
  t.throws(
    () =>
      client.impersonatePeer({ address: LOOPBACK, port }, () => {
        throw new Error('mine')
      }),
    { message: 'mine' },
  )
  t.same(system.log.slice(-4), [
    `impersonate ${LOOPBACK}:${port}`,
    'revert',
    `impersonate ${LOOPBACK}:${port}`,
    'revert',
  ])
})

t.test('nobody is impersonated where the system knows no identity', async t => {
  const server = datagramSocket(t, { security })
  const heard = inbox(server)
  const port = await boundTo(server)
  await sent(datagramSocket(t, { security }), 'x', port)
  const { rinfo } = await heard.next()
  t.equal(rinfo.peer, undefined)
  t.throws(() => server.impersonatePeer(rinfo, () => t.fail('it ran')), {
    code: 'ERR_PEER_NOT_AUTHENTICATED',
  })
})

t.test('what cannot be: securing ahead, keying material, a shared port, multicast', async t => {
  const socket = datagramSocket(t, { security })
  const port = await boundTo(socket)
  t.match(await failure(socket.secure({ address: LOOPBACK, port: 9 })), { code: 'EOPNOTSUPP' })
  t.throws(() => socket.exportKeyingMaterial({ address: LOOPBACK, port: 9 }, 10, 'label'), {
    code: 'EOPNOTSUPP',
  })
  t.throws(() => socket.addMembership('224.0.0.1'), { code: 'EOPNOTSUPP' })
  t.match(await failure(sent(socket, 'x', 9, '224.0.0.1')), { code: 'EOPNOTSUPP' })
  t.match(await failure(sent(socket, Buffer.alloc(16385), 9)), { code: 'EMSGSIZE' })
  const heard = inbox(socket)
  await sent(socket, 'to itself', port)
  t.equal((await heard.next()).text, 'to itself')
  const shared = datagramSocket(t, { security: { ...security, sharePort: true } })
  shared.bind(0, LOOPBACK)
  t.match(await event(shared, 'error'), [{ code: 'EOPNOTSUPP' }])
})

t.test('bindSync() and connectSync() cannot wait for the system', async t => {
  type Sync = SecureDgramSocket & { bindSync?(): void; connectSync?(port: number): void }
  const socket: Sync = datagramSocket(t, { security })
  if (!socket.bindSync || !socket.connectSync) {
    t.pass('this version of Node has none')
    return
  }
  t.throws(() => socket.bindSync?.(), { code: 'EOPNOTSUPP' })
  t.throws(() => socket.connectSync?.(9), { code: 'EOPNOTSUPP' })
  await boundTo(socket)
  t.throws(() => socket.connectSync?.(9), { code: 'EOPNOTSUPP' })
})

t.test('a look-up of the application’s comes first; its failure is the bind’s', async t => {
  const lookup = (host: string, _family: number, callback: (...args: unknown[]) => void) =>
    host === 'here.example'
      ? callback(null, LOOPBACK, 4)
      : setImmediate(callback, Object.assign(new Error('nowhere'), { code: 'ENOTFOUND' }))
  const socket = datagramSocket(t, { security, lookup: lookup as never })
  socket.bind(0, 'nowhere.example')
  t.match(await event(socket, 'error'), [{ code: 'ENOTFOUND' }])
  t.same(system.requests, [])
  socket.bind(0, 'here.example')
  await event(socket, 'listening')
  t.equal(socket.address().address, LOOPBACK)
})

t.test('IPv6, and both families on one socket', async t => {
  const server = datagramSocket(t, { type: 'udp6', security })
  const heard = inbox(server)
  server.bind(0)
  await event(server, 'listening')
  const { port } = server.address()
  t.equal(system.requests[0]?.family, 6)
  const six = datagramSocket(t, { type: 'udp6', security })
  await sent(six, 'six', port, '::1')
  const four = datagramSocket(t, { security })
  await sent(four, 'four', port)
  const all = await heard.have(2)
  t.same(all.map(({ text }) => text).sort(), ['four', 'six'])
  const mapped = all.find(({ text }) => text === 'four')?.rinfo
  t.equal(mapped?.address, `::ffff:${LOOPBACK}`)
  const answers = inbox(four)
  server.send('back', mapped?.port as number, mapped?.address)
  t.equal((await answers.next()).text, 'back')
})

t.test('the promises face and its loop', async t => {
  await using server = createSocket({ type: 'udp4', security })
  const { port } = await server.bind(0, LOOPBACK)
  await using client = createSocket({ type: 'udp4', security })
  await client.setPeerTargetName({ address: LOOPBACK, port, targetName: 'host/a.example' })
  t.equal(await client.send('hello', { address: LOOPBACK, port }), 5)
  for await (const { message, rinfo } of server) {
    t.equal(String(message), 'hello')
    t.equal(await server.send('bye', rinfo), 3)
    break
  }
  for await (const { message, rinfo } of client) {
    t.equal(String(message), 'bye')
    t.equal(rinfo.targetName, 'host/a.example')
    break
  }
  await using connected = createSocket({ type: 'udp4', security })
  await connected.connect({ address: LOOPBACK, port })
  t.equal(await connected.send('again'), 5)
})

t.test('nothing is held open by a socket that is unreferenced, bound and idle', async t => {
  const timers = () => process.getActiveResourcesInfo().filter(each => each === 'Timeout').length
  const before = timers()
  const socket = datagramSocket(t, { security })
  await boundTo(socket)
  t.equal(timers(), before)
})

/** Binds as Linux does, and logs it. */
function bindItself(descriptor: number, { address, port, ipv6Only }: NativeBinding): void {
  const at = port === 0 ? '' : ` ${port}`
  system.log.push(`bind ${address}${at}${ipv6Only ? ' only' : ''}`)
  const family = address.includes(':') ? 6 : 4
  const status = linux.bind(
    descriptor,
    sockaddr(family, address, port) as Uint32Array,
    sockaddrBytes(family),
  )
  if (status < 0) throw systemError(status, 'bind', { address, port })
}

t.test(
  'a provider that binds: after Node’s handle has the socket, which binds nothing',
  async t => {
    const bindings: NativeBinding[] = []
    system.binding = async ({ descriptor }, to) => {
      bindings.push(to)
      bindItself(descriptor, to)
    }
    const socket = datagramSocket(t, { security })
    const port = await boundTo(socket)
    t.ok(port > 0)
    t.same(system.log, ['secure', 'adopted', `bind ${LOOPBACK}`])
    t.match(bindings, [{ acceptsStrangers: true, ipv6Only: false }])
    const peer = await bound()
    t.teardown(() => peer.close())
    const client = datagramSocket(t, { security })
    t.equal(await sent(client, 'x', peer.address().port), 1)
    t.match(bindings[1], { address: '0.0.0.0', port: 0, acceptsStrangers: false })
    const six = datagramSocket(t, { type: 'udp6', ipv6Only: true, security })
    six.bind(0, '::1')
    await event(six, 'listening')
    t.equal(system.log.at(-1), 'bind ::1 only')
  },
)

t.test(
  'what it cannot be bound to is told in Node’s words; another port is tried by the same socket',
  async t => {
    system.binding = async ({ descriptor }, to) => bindItself(descriptor, to)
    const taken = await bound()
    t.teardown(() => taken.close())
    const { port } = taken.address()
    const plain = dgram.createSocket('udp4')
    plain.bind(port, LOOPBACK)
    const [theirs] = (await once(plain, 'error')) as [Error]
    plain.close()
    const socket = datagramSocket(t, { security })
    socket.bind(port, LOOPBACK)
    const [ours] = (await event(socket, 'error')) as [Error]
    t.equal(ours.message, theirs.message)
    t.same({ ...ours }, { ...theirs })
    await boundTo(socket)
    t.equal(system.sockets.length, 1)
    t.ok(isPrepared(descriptors[0]))
  },
)

t.test('what it cannot secure is told as it says it, and nothing is bound or read', async t => {
  system.binding = async () => {
    throw Object.assign(new Error('no daemon'), { code: 'ERR_PROVIDER_UNAVAILABLE' })
  }
  const socket = datagramSocket(t, { security })
  socket.bind(0, LOOPBACK)
  t.match(await event(socket, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
  t.equal(socket.address().port, 0)
})

t.test('a socket that is closed while it is bound: the provider hears of both', async t => {
  const aborted: boolean[] = []
  let binds = () => {}
  const begun = new Promise<void>(resolve => {
    binds = resolve
  })
  let go = () => {}
  system.binding = async (_socket, { signal }) => {
    binds()
    await new Promise<void>(resolve => {
      go = resolve
    })
    aborted.push(signal.aborted)
  }
  const socket = datagramSocket(t, { security })
  socket.bind(0, LOOPBACK)
  await begun
  const end = closed(socket)
  socket.close()
  await end
  t.equal(system.log.at(-1), 'closing', 'before the descriptor is closed')
  go()
  await until('it has heard', () => aborted.length > 0)
  t.same(aborted, [true])
  t.notOk(isOpen(descriptors[0]))
})

t.test('the provider is told just before the socket closes, after the last message', async t => {
  system.binding = async ({ descriptor }, to) => bindItself(descriptor, to)
  const peer = await bound()
  t.teardown(() => peer.close())
  const socket = datagramSocket(t, { security })
  const heard = once(peer, 'message')
  socket.send('last words', peer.address().port, LOOPBACK)
  socket.close()
  await closed(socket)
  t.equal(system.log.at(-1), 'closing')
  t.equal(String((await heard)[0]), 'last words')
})

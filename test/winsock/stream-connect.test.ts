/**
 * Streams on Windows as an application meets them: what connects, what listens, what is refused, and
 * what the errors say. Order, bytes and handles are asserted of the double's log elsewhere.
 */
import net from 'node:net'
import t, { type Test } from 'tap'
import { walkTcpHandles } from '../../lib/libuv.js'
import { getsockopt, SO_EXCLUSIVEADDRUSE, SOL_SOCKET } from '../../lib/winsock.js'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection } from '../../src/net.js'
import { currentPeer } from '../../src/sockets/impersonation.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { closed, event, failure, text } from '../support/events.js'
import { serverIdentity, trust } from '../support/secured.js'
import { until } from '../support/until.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'

const security = { protocol: 'ipsec' } as const
const options = { skip: noDouble }

t.afterEach(() => {
  if (!noDouble) winsockDouble().reset()
})

/** A secured server that sends back what it hears. */
async function echo(t: Test, where: object = { host: '127.0.0.1' }, settings: object = {}) {
  const open = new Set<SecureSocket>()
  const server = new SecureServer({ security: { ...security, ...settings }, allowHalfOpen: true })
  server.on('connection', (socket: SecureSocket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  server.listen({ port: 0, ...where })
  await event(server, 'listening')
  t.teardown(async () => {
    for (const each of open) each.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return { server, open, port: (server.address() as net.AddressInfo).port }
}

t.test('both ends are secured, know it and each other, and echo', options, async t => {
  const { server, port } = await echo(t)
  const accepted = event(server, 'connection')
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    peerTargetName: 'host/server.example',
    security,
    allowHalfOpen: true,
  })
  const secured = { secured: true, encrypted: true, protocol: 'ipsec' }
  t.match(await socket.secured, { ...secured, peer: { targetName: 'host/server.example' } })
  const [peer] = (await accepted) as [SecureSocket]
  for (const end of [socket, peer]) {
    t.match(await end.querySecurity(), { ...secured, peer: { user: { sid: /^S-1-/ } } })
    t.equal(end.authorized, true)
    t.match(
      end.impersonatePeer(() => currentPeer()),
      { user: { sid: /^S-1-/ } },
    )
    t.throws(() => end.impersonatePeer(async () => {}), { code: 'EINVAL' })
  }
  t.equal(currentPeer(), undefined)
  const big = 'x'.repeat(1_000_000)
  socket.end(big)
  t.equal((await text(socket)).length, big.length)
  await closed(socket)
  await closed(peer)
  t.equal(winsockDouble().openTokens(), 0)
})

t.test('by name: whatever address Node tries, it is secured', options, async t => {
  const { port } = await echo(t, {})
  for (const addresses of [
    ['127.0.0.1', '::1'],
    ['::1', '127.0.0.1'],
    ['192.0.2.1', '127.0.0.1'],
  ]) {
    const found = addresses.map(address => ({ address, family: net.isIP(address) }))
    const socket = createConnection({
      port,
      host: 'both.example',
      lookup: ((_host: string, _options: object, answer: (...args: unknown[]) => void) =>
        setImmediate(answer, null, found)) as never,
      autoSelectFamily: true,
      security: { ...security, handshakeTimeout: 3000 },
    })
    t.match(await socket.secured, { peer: { targetName: 'both.example' } }, addresses.join())
    socket.end('hello')
    t.equal(await text(socket), 'hello')
    await closed(socket)
  }
})

t.test('localhost, at a server without a host', options, async t => {
  const { port } = await echo(t, {})
  const socket = createConnection({ port, security })
  t.match(await socket.secured, { secured: true })
  socket.end('hello')
  t.equal(await text(socket), 'hello')
  await closed(socket)
})

t.test('from a local address and port', options, async t => {
  const { port, open } = await echo(t)
  const reserved = net.createServer().listen(0, '127.0.0.1')
  await event(reserved, 'listening')
  const { port: localPort } = reserved.address() as net.AddressInfo
  const connect = () =>
    createConnection({ port, host: '127.0.0.1', localAddress: '127.0.0.1', localPort, security })
  t.match(await event(connect(), 'error'), [
    { code: /EADDRINUSE|EACCES/, syscall: 'bind', address: '127.0.0.1', port: localPort },
  ])
  await new Promise(resolve => reserved.close(resolve))
  const socket = connect()
  await socket.secured
  t.equal(socket.localPort, localPort)
  await until('it is accepted', () => open.size === 1)
  t.equal([...open][0]?.remotePort, localPort)
  socket.destroy()
})

t.test('nobody listens: told as by node:net', options, async t => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.match(await event(socket, 'error'), [
    { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port },
  ])
})

t.test('what Windows cannot honour is refused before a SOCKET is made', options, async t => {
  winsockDouble().takeLog()
  const refused: [SecuritySettings, string | undefined, object][] = [
    [{ ...security, ca: 'x' }, undefined, { code: 'EOPNOTSUPP', message: /security\.ca/ }],
    [{ ...security, alpn: ['h2'] }, undefined, { code: 'EOPNOTSUPP', message: /security\.alpn/ }],
    [security, 'spiffe://example/x', { code: 'EINVAL', message: /spiffe/ }],
    [
      { ...security, ipsec: { optionalPeerNameVerification: true } },
      'host/a.example',
      { code: 'EINVAL', message: /optionalPeerNameVerification/ },
    ],
  ]
  for (const [settings, name, error] of refused) {
    const socket = new SecureSocket({ security: settings })
    if (name) await socket.setPeerTargetName(name)
    socket.connect(1, '127.0.0.1')
    t.match(await event(socket, 'error'), [error])
  }
  const server = new SecureServer({ security: { ...security, ca: 'x' } })
  server.listen(0)
  t.match(await event(server, 'error'), [{ code: 'EOPNOTSUPP' }])
  t.same(winsockDouble().takeLog(), [])
})

t.test('fail closed: a call that fails is the error, and says which', options, async t => {
  const double = winsockDouble()
  const { server, port } = await echo(t)
  const cases = [
    'WSASetSocketSecurity',
    'WSASetSocketPeerTargetName',
    'WSAQuerySocketSecurity',
  ] as const
  for (const name of cases) {
    for (const mode of ['fail', 'pendFail'] as const) {
      double.behave(name, { mode, error: 10013 })
      const socket = createConnection({ port, host: '127.0.0.1', security })
      socket.write('secret')
      socket.on('error', () => {})
      socket.on('connect', () => t.fail(`${name}: connected`))
      const error = await failure(socket.secured)
      t.match(error, { code: 'EACCES', syscall: name, peer: `127.0.0.1:${port}` }, mode)
      await closed(socket)
      double.behave(name, { mode: 'default' })
    }
  }
  double.behave('WSASetSocketSecurity', { mode: 'never' })
  const late = new SecureServer({ security: { ...security, handshakeTimeout: 200 } })
  late.listen(0)
  t.match(await event(late, 'error'), [{ code: 'ETIMEDOUT' }])
  t.equal(late.listening, false)
  double.behave('WSASetSocketSecurity', { mode: 'default' })
  await until('nothing pends', () => double.outstanding() === 0)
  t.equal(server.listening, true)
})

t.test('fail closed: a peer that Windows did not secure', options, async t => {
  const double = winsockDouble()
  const { server, port } = await echo(t)
  server.on('connection', () => t.fail('shown'))
  const cases = [
    [0, /not secured/],
    [1, /not encrypted/],
  ] as const
  for (const [flags, message] of cases) {
    double.answers({ flags })
    const refused = event(server, 'tlsClientError')
    const socket = createConnection({ port, host: '127.0.0.1', security })
    socket.write('secret')
    t.match(await event(socket, 'error'), [{ code: 'EPROTO', message }])
    t.match(await refused, [{ code: 'EPROTO', message }, { bytesRead: 0 }])
    await closed(socket)
  }
  double.answers({ flags: 1 })
  const settings = { ...security, guaranteeEncryption: false }
  const { port: lax } = await echo(t, { host: '127.0.0.1' }, { guaranteeEncryption: false })
  const socket = createConnection({ port: lax, host: '127.0.0.1', security: settings })
  t.match(await socket.secured, { secured: true, encrypted: false })
  socket.end('hello')
  t.equal(await text(socket), 'hello')
})

t.test('a plain client is refused: its connection was secured by nobody', options, async t => {
  const double = winsockDouble()
  const { server, port } = await echo(t)
  server.on('connection', () => t.fail('shown'))
  double.answers({ flags: 0 })
  const plain = net.connect(port, '127.0.0.1')
  plain.on('error', () => {})
  plain.write('hello')
  const [error, raw] = (await event(server, 'tlsClientError')) as [Error, net.Socket]
  t.match(error, { code: 'EPROTO' })
  await closed(plain)
  t.equal(raw.bytesRead, 0)
})

t.test('a connection that its peer leaves at once, while Windows is asked', options, async t => {
  const double = winsockDouble()
  const { server, port } = await echo(t)
  double.behave('WSAQuerySocketSecurity', { mode: 'pend', delay: 100 })
  for (const leave of ['destroy', 'resetAndDestroy'] as const) {
    const outcome = Promise.race([event(server, 'tlsClientError'), event(server, 'connection')])
    const plain = net.connect(port, '127.0.0.1')
    await event(plain, 'connect')
    plain[leave]()
    const [told] = await outcome
    // Nobody reads before it is known: the end is seen then.
    if (told instanceof SecureSocket) await closed(told)
  }
  await until('nothing pends', () => double.outstanding() === 0)
})

/** SO_EXCLUSIVEADDRUSE of the SOCKET that listens on a port. */
function exclusive(port: number): number | undefined {
  let found: number | undefined
  walkTcpHandles(handle => {
    const isListening = handle.remoteAddress() === null
    if (!isListening || handle.localAddress()?.readUInt16BE(2) !== port) return
    found = getsockopt(handle.socket(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE)
  })
  return found
}

t.test('R9: the port is exclusive, whatever secures the server', options, async t => {
  const { cert, key } = await serverIdentity()
  const settings: SecuritySettings[] = [security, { cert, key }]
  for (const security of settings) {
    const server = new SecureServer({ security })
    server.listen(0)
    if (security.protocol !== 'ipsec') t.equal(server.listening, true, 'at once, as net.Server')
    await event(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    t.equal(exclusive(port), 1)
    const second = new SecureServer({ security })
    second.listen(port, '127.0.0.1')
    t.match(await event(second, 'error'), [
      { code: /EADDRINUSE|EACCES/, syscall: 'listen', address: '127.0.0.1', port },
    ])
    await new Promise(resolve => server.close(resolve))
  }
  const shared = new SecureServer({ security: { cert, key, sharePort: true } })
  shared.listen(0, '127.0.0.1')
  await event(shared, 'listening')
  t.equal(exclusive((shared.address() as net.AddressInfo).port), 0, 'but with sharePort')
  await new Promise(resolve => shared.close(resolve))
})

t.test('R9: tls servers listen as ever', options, async t => {
  const { cert, key } = await serverIdentity()
  const hosts: { host?: string }[] = [
    {},
    ...['::1', 'localhost', '127.0.0.1'].map(host => ({ host })),
  ]
  for (const where of hosts) {
    const server = new SecureServer({ security: { cert, key } }, socket => socket.end('hello'))
    server.listen({ port: 0, ...where })
    await event(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const { host = '127.0.0.1' } = where
    const socket = createConnection({ port, host, security: await trust() })
    t.equal(await text(socket), 'hello', host)
    await new Promise(resolve => server.close(resolve))
  }
})

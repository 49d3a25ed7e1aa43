/**
 * Servers of native mode: the listening socket is the provider's, prepared before net.Server binds
 * it; and what it accepts is shown once the system has said what secures it. See native-stand-in.ts.
 */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import type { NativeProvider } from '../../../src/providers/provider.js'
import { setIpsecProvider } from '../../../src/providers/select.js'
import { currentPeer } from '../../../src/sockets/impersonation.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { closed, event, failure, text, uncaughtException } from '../../support/events.js'
import { until } from '../../support/until.js'
import {
  type Behaviour,
  info,
  pending,
  provide,
  standIn,
  typeOfService,
  typeOfServiceOf,
} from './stand-in.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the stand-in provider makes sockets by Linux calls')
  process.exit()
}

const security = { protocol: 'ipsec' } as const

function newServer(t: Test, options: object = {}): SecureServer {
  const server = new SecureServer({ security, ...options })
  t.teardown(() => server.close())
  return server
}

async function listening(server: net.Server, ...where: unknown[]): Promise<number> {
  ;(server.listen as (...where: unknown[]) => void)(...where)
  await event(server, 'listening')
  return (server.address() as net.AddressInfo).port
}

function client(t: Test, port: number, options: object = {}): net.Socket {
  const socket = net.connect({ port, host: '127.0.0.1', ...options })
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

t.test("the provider's socket is the one that listens, with its option", async t => {
  const provider = provide(t)
  const server = newServer(t, { allowHalfOpen: true })
  const gate = event(server, 'connection')
  const port = await listening(server, 0, '127.0.0.1')
  t.equal(typeOfServiceOf(server), typeOfService)
  t.match(provider.listeners, [{ family: 4, settings: { protocol: 'ipsec' } }])
  const plain = client(t, port, { allowHalfOpen: true })
  plain.end('hello')
  const [socket] = (await gate) as [SecureSocket]
  t.equal(await text(socket), 'hello')
  t.equal(await socket.secured, info)
  t.equal(socket.remotePort, plain.localPort)
  socket.end('and good bye')
  t.equal(await text(plain), 'and good bye')
  await closed(socket)
})

t.test('as net.Server: where it listens', async t => {
  const provider = provide(t)
  const cases: [string, unknown[], object][] = [
    ['no host: both families', [0], { address: '::', family: 'IPv6' }],
    ['nothing at all', [], { address: '::', family: 'IPv6' }],
    ['a port as text', ['0', '127.0.0.1'], { address: '127.0.0.1' }],
    ['an address of IPv6', [{ port: 0, host: '::1' }], { address: '::1', family: 'IPv6' }],
    ['a name', [0, 'localhost'], { address: (await lookup('localhost')).address }],
    ['with a backlog', [{ port: 0, host: '127.0.0.1', backlog: 5 }], { address: '127.0.0.1' }],
    ['for IPv6 alone', [{ port: 0, host: '::', ipv6Only: true }], { address: '::' }],
  ]
  for (const [name, where, address] of cases) {
    const server = newServer(t)
    let called = 0
    const port = await listening(server, ...where, () => {
      called += 1
    })
    t.match(server.address(), { ...address, port }, name)
    t.equal(called, 1, `${name}: the callback`)
    t.equal(server.listening, true)
    const reachable = await new Promise(resolve => {
      const plain = client(t, port)
      plain.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    t.equal(reachable, name !== 'an address of IPv6' && name !== 'for IPv6 alone', name)
    server.close()
  }
  t.ok(provider.listeners.every(({ family }) => family === 4 || family === 6))
})

t.test('as net.Server: what goes wrong, in its own words', async t => {
  provide(t)
  const taken = net.createServer()
  const port = await listening(taken, 0, '127.0.0.1')
  t.teardown(() => taken.close())
  const cases: unknown[][] = [
    [port, '127.0.0.1'],
    [0, '192.0.2.1'],
    [0, 'no-such-host.invalid'],
  ]
  for (const where of cases) {
    const expected = await errorOf(new net.Server(), where)
    const server = newServer(t)
    const error = await errorOf(server, where)
    t.same({ ...error, message: error.message }, { ...expected, message: expected.message })
    t.equal(server.listening, false)
    t.ok(await listening(server, 0, '127.0.0.1'), 'and it can listen elsewhere')
  }
  t.throws(() => newServer(t).listen(70_000), { code: 'ERR_SOCKET_BAD_PORT' })
  const server = newServer(t)
  await listening(server, 0)
  t.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' })

  async function errorOf(server: net.Server, where: unknown[]): Promise<Error> {
    const failed = event(server, 'error')
    ;(server.listen as (...where: unknown[]) => void)(...where)
    return (await failed)[0] as Error
  }
})

t.test('fail closed: no secured socket, nothing listens', async t => {
  const cases: [string, Partial<NativeProvider>, object][] = [
    [
      'the provider rejects',
      { openListener: async () => Promise.reject(new Error('no policy')) },
      { message: 'no policy' },
    ],
    [
      'the provider throws',
      {
        openListener: () => {
          throw new Error('no policy')
        },
      },
      { message: 'no policy' },
    ],
    [
      'the provider never answers',
      { openListener: () => new Promise(() => {}) },
      { code: 'ETIMEDOUT' },
    ],
    [
      'the descriptor is none',
      { openListener: async () => ({ descriptor: 1_000_000, discard() {}, adopted() {} }) },
      { code: 'EPROTO', message: /did not take/ },
    ],
    [
      'the settings cannot be honoured',
      {
        checkSettings: () => {
          throw new Error('not these')
        },
      },
      { message: 'not these' },
    ],
  ]
  for (const [name, provider, error] of cases) {
    setIpsecProvider({ ...standIn(), ...provider })
    const server = newServer(t, { security: { ...security, handshakeTimeout: 100 } })
    const failed = event(server, 'error')
    server.listen(0, '127.0.0.1')
    t.match(await failed, [error], name)
    t.equal(server.listening, false, name)
  }
  setIpsecProvider(null)
})

t.test('a machine without IPv6 listens on IPv4', async t => {
  const provider = provide(t, {
    prepare: ({ family }) => {
      if (family === 6) throw Object.assign(new Error('no IPv6'), { code: 'EAFNOSUPPORT' })
    },
  })
  const server = newServer(t)
  await listening(server, 0)
  t.match(server.address(), { address: '0.0.0.0', family: 'IPv4' })
  t.same(
    provider.listeners.map(({ family }) => family),
    [6, 4],
  )
})

t.test('closed while the socket is prepared: what comes late is closed', async t => {
  const gate = pending()
  const provider = provide(t, { prepare: () => gate.promise })
  const server = newServer(t)
  server.on('listening', () => t.fail('listening'))
  server.listen(0, '127.0.0.1')
  await until('it is prepared', () => provider.listeners.length === 1)
  server.close()
  t.equal(provider.listeners[0]?.signal.aborted, true)
  await event(server, 'close')

  const disposed = newServer(t)
  disposed.on('listening', () => t.fail('listening'))
  disposed.listen(0, '127.0.0.1')
  await until('it is prepared', () => provider.listeners.length === 2)
  await disposed[Symbol.asyncDispose]()
  t.equal(provider.listeners[1]?.signal.aborted, true)

  gate.resolve()
  await until('both were made, and closed', () => provider.made === 2 && provider.open.size === 0)
  t.equal(server.listening, false)

  const abort = new AbortController()
  const aborted = newServer(t)
  aborted.listen({ port: 0, host: '127.0.0.1', signal: abort.signal })
  abort.abort()
  await event(aborted, 'close')
  t.equal(aborted.listening, false)
})

t.test('listening again while the socket is prepared: the last one counts', async t => {
  const gate = pending()
  let slow = true
  const provider = provide(t, { prepare: () => (slow ? gate.promise : undefined) })
  const server = newServer(t)
  server.listen(0, '127.0.0.1')
  await until('it is prepared', () => provider.listeners.length === 1)
  slow = false
  await listening(server, 0, '127.0.0.1')
  const { port } = server.address() as net.AddressInfo
  gate.resolve()
  await until('the first is closed', () => provider.made === 2 && provider.open.size === 0)
  t.match(server.address(), { port })
  t.equal(typeOfServiceOf(server), typeOfService)
  server.close()
  await event(server, 'close')
  t.ok(await listening(server, 0, '127.0.0.1'), 'and again after its end')
})

t.test('a handle or descriptor that exists already is no secured one', async t => {
  provide(t)
  const other = net.createServer()
  await listening(other, 0, '127.0.0.1')
  const { _handle } = other as unknown as { _handle: { fd: number } }
  for (const where of [{ fd: _handle.fd }, _handle, { _handle }]) {
    const server = newServer(t)
    const failed = event(server, 'error')
    server.listen(where)
    t.match(await failed, [{ code: 'EINVAL', message: /cannot be secured/ }])
    t.equal(server.listening, false)
  }
  other.close()
})

t.test('the port is one socket alone', async t => {
  provide(t)
  const server = newServer(t, { security: { ...security, sharePort: true } })
  let failed = event(server, 'error')
  server.listen(0)
  t.match(await failed, [{ code: 'EOPNOTSUPP', message: /sharePort/ }])
  const reusing = newServer(t)
  failed = event(reusing, 'error')
  reusing.listen({ port: 0, reusePort: true } as object)
  t.match(await failed, [{ code: 'EINVAL', message: /reusePort/ }])
})

t.test('what the client sends early waits for the system', async t => {
  const gate = pending<typeof info>()
  const provider = provide(t, { query: () => gate.promise })
  const server = newServer(t, { allowHalfOpen: true })
  const port = await listening(server, 0, '127.0.0.1')
  const seen: SecureSocket[] = []
  server.on('connection', (socket: SecureSocket) => seen.push(socket))
  const plain = client(t, port, { allowHalfOpen: true })
  plain.end('early')
  await until('the system is asked', () => provider.queries.length === 1)
  await new Promise(resolve => setTimeout(resolve, 50))
  t.same(seen, [])
  t.equal((provider.accepts[0] as net.Socket).bytesRead, 0, 'nothing is read')
  gate.resolve(info)
  await until('it is shown', () => seen.length === 1)
  const [socket] = seen as [SecureSocket]
  t.equal(await text(socket), 'early')
  socket.end('late')
  t.equal(await text(plain), 'late', 'half open connections stay so')
  await closed(socket)
})

t.test('fail closed: what the system says of an accepted connection', async t => {
  const cases: [string, Partial<Behaviour>, object][] = [
    [
      'not secured',
      { query: async () => ({ ...info, secured: false, encrypted: false }) },
      { code: 'EPROTO', message: /not secured/ },
    ],
    [
      'not encrypted',
      { query: async () => ({ ...info, encrypted: false }) },
      { code: 'EPROTO', message: /not encrypted/ },
    ],
    ['the query fails', { query: async () => Promise.reject(new Error('no')) }, { message: 'no' }],
    ['the query never ends', { query: () => new Promise(() => {}) }, { code: 'ETIMEDOUT' }],
  ]
  for (const [name, behaviour, expected] of cases) {
    setIpsecProvider(standIn(behaviour))
    const server = newServer(t, { security: { ...security, handshakeTimeout: 100 } })
    const port = await listening(server, 0, '127.0.0.1')
    server.on('connection', () => t.fail(`${name}: shown`))
    const refused = event(server, 'tlsClientError')
    const plain = client(t, port)
    plain.write('secret')
    const [error, raw] = (await refused) as [Error, net.Socket]
    t.match(error, expected, name)
    await closed(plain)
    await closed(raw)
    t.equal(raw.bytesRead, 0, `${name}: nothing was read`)
    server.close()
    await event(server, 'close')
  }
  setIpsecProvider(null)
})

t.test("whoever is refused goes also where 'tlsClientError' throws", async t => {
  provide(t, { query: async () => Promise.reject(new Error('no')) })
  const server = newServer(t)
  const port = await listening(server, 0, '127.0.0.1')
  const error = new Error('from a listener')
  server.once('tlsClientError', () => {
    throw error
  })
  const uncaught = uncaughtException()
  const plain = client(t, port)
  const end = closed(plain)
  t.equal(await uncaught, error)
  await end
})

t.test('a connection that breaks while the system is asked', async t => {
  const gate = pending<typeof info>()
  const provider = provide(t, { query: () => gate.promise })
  const server = newServer(t)
  const port = await listening(server, 0, '127.0.0.1')
  server.on('connection', () => t.fail('shown'))
  client(t, port)
  await until('the system is asked', () => provider.queries.length === 1)
  const refused = event(server, 'tlsClientError')
  ;(provider.accepts[0] as net.Socket).destroy(new Error('broken'))
  t.match(await refused, [{ message: 'broken' }])
  gate.resolve(info)
})

t.test("a peer's security and identity, as of a client", async t => {
  const peer = { names: ['EXAMPLE\\alice'] }
  let encrypted = true
  provide(t, {
    query: async () => ({ ...info, encrypted, peer }),
    impersonate: fn => fn(),
  })
  const server = newServer(t)
  const port = await listening(server, 0, '127.0.0.1')
  const shown = event(server, 'connection')
  client(t, port)
  const [socket] = (await shown) as [SecureSocket]
  t.match(await socket.querySecurity(), { encrypted: true, peer })
  encrypted = false
  t.match(await socket.querySecurity(), { encrypted: false }, 'asked anew')
  t.equal(
    socket.impersonatePeer(() => currentPeer()),
    peer,
  )
  t.equal(socket.authorized, true)
  socket.destroy()
  t.match(await failure(socket.querySecurity()), { code: 'ENOTSOCK' })
})

t.test(
  "what is given to 'connection' is asked about too, and refused where it is no socket",
  async t => {
    const provider = provide(t)
    const server = newServer(t)
    const refused = event(server, 'tlsClientError')
    server.emit('connection', new Duplex({ read() {}, write() {} }))
    t.match(await refused, [{ code: 'EAFNOSUPPORT' }])
    const outer = net.createServer(raw => server.emit('connection', raw))
    const port = await listening(outer, 0, '127.0.0.1')
    t.teardown(() => outer.close())
    const shown = event(server, 'connection')
    client(t, port)
    const [socket] = (await shown) as [SecureSocket]
    t.equal(await socket.secured, info)
    t.equal(provider.accepts.length, 1)
    socket.destroy()
  },
)

t.test("fail closed: 'listening' on a handle that is not the one that was secured", async t => {
  provide(t)
  const server = newServer(t)
  const other = net.createServer()
  await listening(other, 0, '127.0.0.1')
  const failed = event(server, 'error')
  server.listen(0, '127.0.0.1')
  // Another version of Node that makes its own handle in the place of ours.
  Reflect.set(server, '_handle', Reflect.get(other, '_handle'))
  server.emit('listening')
  t.match(await failed, [{ code: 'EINVAL' }])
  t.equal(server.listening, false)
})

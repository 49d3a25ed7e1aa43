/**
 * The seam of native mode: a socket of the provider's, prepared while Node waits, is under Node's
 * handle before connect(2), for every attempt of autoSelectFamily; and nobody hears of a connection
 * before the system has said what secures it. IPsec itself is not here: see native-stand-in.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import http from 'node:http'
import net from 'node:net'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { NativeProvider } from '../../../src/providers/provider.js'
import { setIpsecProvider } from '../../../src/providers/select.js'
import { currentPeer } from '../../../src/sockets/impersonation.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { closed, event, failure, text, uncaughtException } from '../../support/events.js'
import { until } from '../../support/until.js'
import {
  type Behaviour,
  info,
  lookupOf,
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
/** Nobody answers there: attempts wait for their time to be over (RFC 5737). */
const nowhere = '192.0.2.1'

/** A peer that says hello, and knows who has connected and what has come. */
async function server(t: Test) {
  const received: string[] = []
  const sockets = new Set<net.Socket>()
  const listener = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => received.push(String(data)))
    socket.write('hello')
  })
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  return { port: (listener.address() as net.AddressInfo).port, received, sockets }
}

function attempts(socket: SecureSocket): string[] {
  const seen: string[] = []
  socket.on('connectionAttempt', (address: string) => seen.push(address))
  return seen
}

t.test('the descriptor of the provider is the one that connects, with its option', async t => {
  const { port } = await server(t)
  const provider = provide(t)
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security,
    peerTargetName: 'host/a.example',
  })
  t.equal(socket.connecting, true)
  t.equal(socket.readyState, 'opening')
  socket.on('connect', () => t.equal(typeOfServiceOf(socket), typeOfService))
  socket.on('lookup', () => t.fail('an address is not looked up'))
  t.equal(await socket.secured, info)
  t.equal((await event(socket, 'data')).toString(), 'hello')
  t.equal(socket.remotePort, port)
  t.match(provider.requests, [
    {
      address: '127.0.0.1',
      port,
      family: 4,
      targetName: { text: 'host/a.example' },
      targetNameSet: true,
    },
  ])
  socket.destroy()
})

t.test('a query asks the system anew', async t => {
  const { port } = await server(t)
  let encrypted = true
  const provider = provide(t, { query: async () => ({ ...info, encrypted }) })
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.match(await socket.secured, { encrypted: true })
  encrypted = false
  t.match(await socket.querySecurity(), { encrypted: false })
  t.equal(provider.queries.length, 2)
  socket.destroy()
  t.match(await failure(socket.querySecurity()), { code: 'ENOTSOCK' })
  t.equal(provider.queries.length, 2, 'a closed socket is not asked about')
})

t.test('a name: one prepared socket for each address, and only then Node is answered', async t => {
  const { port } = await server(t)
  const gate = pending()
  const provider = provide(t, { prepare: () => gate.promise })
  const socket = createConnection({
    port,
    host: 'both.example',
    autoSelectFamily: true,
    lookup: lookupOf('::1', '127.0.0.1'),
    security,
  })
  const tried = attempts(socket)
  const found: string[] = []
  socket.on('lookup', (_error, address) => found.push(address))
  await until('both are prepared', () => provider.requests.length === 2)
  t.same(
    provider.requests.map(({ family }) => family),
    [6, 4],
    'side by side',
  )
  t.same([tried, found], [[], []])
  gate.resolve()
  await socket.secured
  t.same(tried, ['::1', '127.0.0.1'], 'autoSelectFamily has tried both')
  t.same(found, ['::1', '127.0.0.1'])
  t.equal(typeOfServiceOf(socket), typeOfService, 'and has not lost the security')
  t.match(provider.requests[1], { targetName: { text: 'both.example' }, targetNameSet: false })
  socket.destroy()
})

t.test('what was prepared and not used is closed when another has connected', async t => {
  const { port } = await server(t)
  const provider = provide(t)
  const socket = createConnection({
    port,
    host: 'both.example',
    autoSelectFamily: true,
    lookup: lookupOf('127.0.0.1', '::1'),
    security,
  })
  await event(socket, 'connect')
  t.equal(provider.requests.length, 2)
  t.equal(provider.open.size, 0)
  socket.destroy()
})

t.test('of very many addresses a handful is tried', async t => {
  const { port } = await server(t)
  const provider = provide(t)
  const many = Array.from({ length: 100 }, (_, index) => `127.0.0.${index + 1}`)
  const socket = createConnection({
    port,
    host: 'many.example',
    autoSelectFamily: true,
    lookup: lookupOf(...many),
    security,
  })
  await socket.secured
  t.equal(provider.requests.length, 4)
  socket.destroy()
})

t.test('one address cannot be prepared: the other connects', async t => {
  const { port } = await server(t)
  provide(t, {
    prepare: ({ family }) => {
      if (family === 6) throw new Error('no policy for IPv6')
    },
  })
  const socket = createConnection({
    port,
    host: 'both.example',
    autoSelectFamily: true,
    lookup: lookupOf('::1', '127.0.0.1'),
    security,
  })
  const failed: unknown[] = []
  socket.on('connectionAttemptFailed', (...args: unknown[]) => failed.push(args))
  await socket.secured
  t.match(failed, [['::1', port, 6, { code: 'ECANCELED' }]], 'without a socket a handle refuses')
  socket.destroy()
})

t.test("Node's attempt timeout takes an attempt away while the system is still asked", async t => {
  const { port, sockets } = await server(t)
  const provider = provide(t, {
    query: address => (address === '127.0.0.2' ? new Promise(() => {}) : Promise.resolve(info)),
  })
  const socket = createConnection({
    port,
    host: 'both.example',
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 10,
    lookup: lookupOf('127.0.0.2', '127.0.0.1'),
    // An attempt is given as long as a negotiation may take, up to 10 s.
    security: { ...security, handshakeTimeout: 300 },
  })
  t.teardown(() => listener.close())
  const listener = net.createServer(() => {}).listen(port, '127.0.0.2')
  await event(listener, 'listening')
  const timedOut = event(socket, 'connectionAttemptTimeout')
  const started = performance.now()
  t.same((await timedOut).slice(0, 2), ['127.0.0.2', port])
  t.ok(performance.now() - started > 200, 'not after the 10 ms that were asked for')
  await socket.secured
  t.equal(socket.remoteAddress, '127.0.0.1')
  t.same(provider.queries, ['127.0.0.2', '127.0.0.1'])
  t.equal(sockets.size, 1)
  socket.destroy()
})

t.test("'connect' waits for the system's answer, and so do writes, end() and reading", async t => {
  const { port, received, sockets } = await server(t)
  const gate = pending<typeof info>()
  const provider = provide(t, { query: () => gate.promise })
  const socket = createConnection({ port, host: '127.0.0.1', security, allowHalfOpen: true })
  const seen: string[] = []
  for (const name of ['connect', 'ready', 'data', 'end']) socket.on(name, () => seen.push(name))
  socket.end('secret')
  await until(
    'it is accepted, and asked about',
    () => sockets.size === 1 && provider.queries.length === 1,
  )
  // The peer has said hello long ago.
  await new Promise(resolve => setTimeout(resolve, 50))
  t.same([seen, received], [[], []])
  t.equal(socket.connecting, true)
  gate.resolve(info)
  await until('it has come', () => received.length === 1)
  t.same(received, ['secret'])
  await closed(socket)
  t.same(seen, ['connect', 'ready', 'data', 'end'])
})

t.test('fail closed: what the system says is not what was asked for', async t => {
  const { port, received, sockets } = await server(t)
  const cases: [string, Partial<typeof info>, object, RegExp | null][] = [
    ['not secured', { secured: false, encrypted: false }, {}, /not secured/],
    ['not encrypted', { encrypted: false }, {}, /not encrypted/],
    ['not encrypted, and need not be', { encrypted: false }, { guaranteeEncryption: false }, null],
    [
      'not secured, and need not be encrypted',
      { secured: false, encrypted: false },
      { guaranteeEncryption: false },
      /not secured/,
    ],
  ]
  for (const [name, answer, settings, message] of cases) {
    setIpsecProvider(standIn({ query: async () => ({ ...info, ...answer }) }))
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      security: { ...security, ...settings },
    })
    if (message === null) {
      t.match(await socket.secured, answer, name)
      socket.destroy()
      continue
    }
    socket.write('secret')
    socket.on('connect', () => t.fail(`${name}: connected`))
    socket.on('data', () => t.fail(`${name}: data`))
    const failed = event(socket, 'error')
    const error = await failure(socket.secured)
    t.match(error, { code: 'EPROTO', message, peer: `127.0.0.1:${port}` }, name)
    t.equal((await failed)[0], error)
    await closed(socket)
  }
  setIpsecProvider(null)
  await until('all have ended', () =>
    [...sockets].every(each => each.destroyed || each.readableEnded),
  )
  t.same(received, [], 'nothing has left')
})

t.test('fail closed: the system cannot be asked, or never answers', async t => {
  const { port, received } = await server(t)
  const cases: [string, Partial<Behaviour>, object][] = [
    ['the query fails', { query: async () => Promise.reject(new Error('no')) }, { message: 'no' }],
    [
      'the query never ends',
      { query: () => new Promise(() => {}) },
      { code: 'ETIMEDOUT', message: /did not say/ },
    ],
    [
      'the preparing never ends',
      { prepare: () => new Promise(() => {}) },
      { code: 'ETIMEDOUT', message: /no socket could be secured/ },
    ],
  ]
  for (const [name, behaviour, error] of cases) {
    setIpsecProvider(standIn(behaviour))
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      security: { ...security, handshakeTimeout: 200 },
    })
    socket.write('secret')
    socket.on('connect', () => t.fail(`${name}: connected`))
    t.match(await event(socket, 'error'), [error], name)
    await closed(socket)
  }
  setIpsecProvider(null)
  t.same(received, [], 'nothing has left')
})

t.test('fail closed: a provider that fails, or a descriptor that Node does not take', async t => {
  const { port, received } = await server(t)
  const cases: Record<string, NativeProvider['openSocket']> = {
    'the provider throws': () => {
      throw new Error('no policy')
    },
    'the provider rejects': async () => {
      throw new Error('no policy')
    },
    'the descriptor is none': async () => ({
      descriptor: 1_000_000,
      discard() {},
      adopted() {},
      query: async () => info,
    }),
  }
  for (const [name, openSocket] of Object.entries(cases)) {
    setIpsecProvider({ ...standIn(), openSocket })
    const socket = createConnection({ port, host: '127.0.0.1', security })
    socket.write('secret')
    socket.on('connect', () => t.fail(`${name}: connected`))
    const failed = event(socket, 'error')
    const error = await failure(socket.secured)
    t.match(error.message, /no policy|did not take/, name)
    t.equal((await failed)[0], error)
    await closed(socket)
  }
  setIpsecProvider(null)
  t.same(received, [], 'nothing has left')
})

t.test('settings that the provider cannot honour fail before anything is prepared', async t => {
  const provider = standIn()
  setIpsecProvider({
    ...provider,
    checkSettings() {
      throw Object.assign(new Error('no certificates here'), { code: 'EOPNOTSUPP' })
    },
  })
  t.teardown(() => setIpsecProvider(null))
  const socket = new SecureSocket({ security })
  t.throws(() => socket.connect(1, '127.0.0.1'), { code: 'EOPNOTSUPP' })
  t.same(provider.requests, [])
})

t.test(
  'destroyed at any moment: nothing leaks, nothing is sent, every promise settles',
  async t => {
    const { port, received } = await server(t)
    const connect = () => createConnection({ port, host: 'a.example', lookup, security })
    const lookup = lookupOf('127.0.0.1')

    await t.test('while the name is looked up', async t => {
      const provider = provide(t)
      const socket = connect()
      socket.destroy()
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
      await closed(socket)
      t.same(provider.requests, [])
    })

    await t.test('while the socket is prepared: what comes late is closed', async t => {
      const gate = pending()
      const provider = provide(t, { prepare: () => gate.promise })
      const socket = connect()
      socket.write('secret')
      await until('it is prepared', () => provider.requests.length === 1)
      t.equal(provider.requests[0]?.signal.aborted, false)
      socket.destroy()
      t.equal(provider.requests[0]?.signal.aborted, true, 'the provider hears of it')
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
      await closed(socket)
      gate.resolve()
    })

    await t.test("in the event 'connectionAttempt'", async t => {
      provide(t)
      const socket = connect()
      socket.write('secret')
      socket.on('connectionAttempt', () => socket.destroy())
      await closed(socket)
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
    })

    await t.test("in the event 'connectionAttempt', by who listened before connect()", async t => {
      provide(t)
      const socket = new SecureSocket({ security })
      socket.on('connectionAttempt', () => socket.destroy())
      socket.connect({ port, host: '127.0.0.1' })
      await closed(socket)
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
    })

    await t.test("in the event 'connectionAttempt' of the first of several addresses", async t => {
      provide(t)
      const socket = createConnection({
        port,
        host: 'both.example',
        autoSelectFamily: true,
        lookup: lookupOf('127.0.0.1', '127.0.0.2'),
        security,
      })
      socket.once('connectionAttempt', () => socket.destroy())
      await closed(socket)
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
    })

    await t.test('while the system is asked', async t => {
      const gate = pending<typeof info>()
      const provider = provide(t, { query: () => gate.promise })
      const socket = connect()
      socket.write('secret')
      await until('the system is asked', () => provider.queries.length === 1)
      socket.destroy()
      gate.resolve(info)
      t.match(await failure(socket.secured), { code: 'ENOTCONN' })
      await closed(socket)
      t.equal(socket.destroyed, true)
    })

    await t.test("in the event 'connect'", async t => {
      provide(t)
      const socket = connect()
      socket.on('connect', () => socket.destroy())
      socket.on('ready', () => t.equal(socket.destroyed, true))
      await closed(socket)
    })

    await t.test('by a signal', async t => {
      const gate = pending()
      const provider = provide(t, { prepare: () => gate.promise })
      const abort = new AbortController()
      const socket = createConnection({
        port,
        host: '127.0.0.1',
        security,
        ...({ signal: abort.signal } as object),
      })
      await until('it is prepared', () => provider.requests.length === 1)
      abort.abort()
      t.match(await event(socket, 'error'), [{ name: 'AbortError' }])
      await closed(socket)
      gate.resolve()
    })

    t.same(received, [], 'nothing has left')
  },
)

t.test('the same object connects again, also before its end was told', async t => {
  const { port } = await server(t)
  const gate = pending()
  let slow = true
  const provider = provide(t, {
    prepare: () => (slow ? gate.promise : undefined),
  })
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.on('error', () => {})
  await until('it is prepared', () => provider.requests.length === 1)
  socket.destroy()
  slow = false
  socket.connect(port, '127.0.0.1')
  t.equal(await socket.secured, info)
  gate.resolve()
  t.equal(typeOfServiceOf(socket), typeOfService)
  socket.destroy()
  await closed(socket)
  socket.connect(port, '127.0.0.1')
  t.equal(await socket.secured, info)
  t.equal(typeOfServiceOf(socket), typeOfService)
  t.equal(provider.requests.length, 3)
  socket.destroy()
})

t.test('fail closed: the handle is exchanged while the system is asked', async t => {
  const { port, received } = await server(t)
  const gate = pending<typeof info>()
  const provider = provide(t, { query: () => gate.promise })
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.write('secret')
  const failed = event(socket, 'error')
  await until('the system is asked', () => provider.queries.length === 1)
  const holder = socket as unknown as { _handle: object }
  const secured = holder._handle as { close(): void }
  const Handle = holder._handle.constructor as new (type: number) => object
  holder._handle = new Handle(0)
  gate.resolve(info)
  t.match(await failed, [{ code: 'EPROTO', message: /not the one that was secured/ }])
  secured.close()
  await closed(socket)
  t.same(received, [], 'nothing has left')
})

t.test('the number of a socket is used no longer than its handle holds it', async t => {
  // The system gives the number of a closed socket to another at once.
  const { port } = await server(t)
  const gate = pending<typeof info>()
  const provider = provide(t, { query: () => gate.promise })
  const { openSocket } = provider
  const held: (() => boolean)[] = []
  provider.openSocket = async request => {
    const made = await openSocket(request)
    const adopted = (alive: () => boolean) => {
      held.push(alive)
      made.adopted(alive)
    }
    return { ...made, adopted }
  }
  const isHeld = () => held.map(alive => alive())

  const exchanged = createConnection({ port, host: '127.0.0.1', security })
  await until('the system is asked', () => provider.queries.length === 1)
  t.same(isHeld(), [true])
  const failed = event(exchanged, 'error')
  const own = Reflect.get(exchanged, '_handle') as { close(): void }
  Reflect.set(exchanged, '_handle', new (own.constructor as new (type: number) => object)(0))
  t.same(isHeld(), [false], 'another handle is in its place')
  gate.resolve(info)
  await failed
  own.close()

  const destroyed = createConnection({ port, host: '127.0.0.1', security })
  await destroyed.secured
  t.same(isHeld(), [false, true])
  destroyed.destroy()
  await closed(destroyed)
  t.same(isHeld(), [false, false], 'it is closed')
})

t.test('fail closed: a handle of a Node that connects otherwise', async t => {
  const { port, received } = await server(t)
  provide(t)
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.write('secret')
  socket.on('connectionAttempt', () => {
    const { _handle } = socket as unknown as { _handle: { open?: unknown } }
    _handle.open = undefined
  })
  t.match(await event(socket, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
  await closed(socket)
  t.same(received, [], 'nothing has left')
})

t.test('a handle that is put there after the connection carries nothing', async t => {
  const { port, received } = await server(t)
  provide(t)
  const socket = createConnection({ port, host: '127.0.0.1', security })
  await socket.secured
  const plain = net.connect(port, '127.0.0.1')
  t.teardown(() => plain.destroy())
  await event(plain, 'connect')
  const failed = event(socket, 'error')
  Reflect.set(socket, '_handle', Reflect.get(plain, '_handle'))
  socket.write('secret')
  t.match(await failed, [{ code: 'EPROTO' }])
  t.equal(plain.destroyed, false, 'it is the handle of another')

  const foreign = new SecureSocket({ security })
  Reflect.set(foreign, '_handle', Reflect.get(plain, '_handle'))
  foreign.write('secret')
  t.match(await event(foreign, 'error'), [{ code: 'EAFNOSUPPORT' }])
  t.same(received, [], 'nothing has left')
})

t.test('options are read once: what was checked is what Node gets', async t => {
  const { port, sockets } = await server(t)
  provide(t)
  for (const protocol of ['tls', 'ipsec'] as const) {
    let reads = 0
    class Options {
      host = '127.0.0.1'
      get port() {
        reads += 1
        return reads === 1 ? undefined : port
      }
    }
    const socket = new SecureSocket({ security: { protocol } })
    t.throws(() => socket.connect(new Options() as never), { code: 'ERR_MISSING_ARGS' }, protocol)
    t.equal(reads, 1)
    socket.destroy()
  }
  t.equal(sockets.size, 0)
})

t.test('a look-up that finds an address twice, or answers twice', async t => {
  const { port } = await server(t)
  const provider = provide(t)
  const socket = createConnection({
    port,
    host: 'twice.example',
    autoSelectFamily: true,
    lookup: lookupOf('127.0.0.1', '127.0.0.1', '127.0.0.1'),
    security,
  })
  t.equal(await socket.secured, info)
  t.equal(provider.requests.length, 1)
  socket.destroy()

  const lookup = (_host: string, _options: object, answer: (...args: unknown[]) => void) => {
    setImmediate(answer, null, '127.0.0.1', 4)
    setImmediate(answer, null, '127.0.0.2', 4)
  }
  const again = createConnection({
    port,
    host: 'twice.example',
    autoSelectFamily: false,
    lookup: lookup as never,
    security,
  })
  t.equal(await again.secured, info)
  t.equal(again.remoteAddress, '127.0.0.1')
  t.equal(provider.requests.length, 2)
  again.destroy()
})

t.test(
  'connected elsewhere in an event of the old attempt: no socket for another port',
  async t => {
    const [first, second] = [await server(t), await server(t)]
    provide(t)
    const lookup = lookupOf('127.0.0.1')
    const socket = createConnection({ port: first.port, host: 'a.example', lookup, security })
    socket.once('connectionAttempt', () => {
      socket.destroy()
      socket.connect({ port: second.port, host: 'b.example', lookup })
    })
    await closed(socket)
    t.equal(first.sockets.size, 0, 'what is secured for one is not used for the other')
  },
)

t.test('a handle that is there already is nobody that was secured', async t => {
  const { port, sockets } = await server(t)
  const provider = provide(t)
  const other = new net.Socket()
  other.connect({ host: 'x.invalid', port: 1, lookup() {} })
  t.teardown(() => other.destroy())
  const holder = new SecureSocket({ security })
  Reflect.set(holder, '_handle', Reflect.get(other, '_handle'))
  t.match(await failure(holder.setSecurity(security)), { code: 'EAFNOSUPPORT' })
  holder.connect(port, '127.0.0.1')
  t.match(await event(holder, 'error'), [{ code: 'EAFNOSUPPORT' }])
  t.same(provider.requests, [])
  t.equal(sockets.size, 0)
})

t.test("'connect' that is not Node's own destroys the socket", async t => {
  const { received, port } = await server(t)
  const gate = pending()
  provide(t, { prepare: () => gate.promise })
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.write('secret')
  const failed = event(socket, 'error')
  socket.emit('connect')
  t.match(await failed, [{ code: 'EPROTO' }])
  gate.resolve()
  await closed(socket)
  t.same(received, [], 'nothing has left')
})

t.test(
  'localAddress and localPort reach the provider, since a bound handle takes no socket',
  async t => {
    const { port } = await server(t)
    const provider = provide(t)
    const local = { localAddress: '127.0.0.1', localPort: 0 }
    const socket = createConnection({ port, host: '127.0.0.1', ...local, security })
    await socket.secured
    t.match(provider.requests, [local])
    socket.destroy()

    const named = createConnection({
      port,
      host: 'both.example',
      lookup: lookupOf('127.0.0.1', '::1'),
      autoSelectFamily: true,
      ...local,
      security,
    })
    await named.secured
    t.match(provider.requests.slice(1), [local], 'as in node:net: one family only')
    t.equal(provider.requests.length, 2)
    named.destroy()
  },
)

t.test("node:net's own checks throw at once, and nothing is prepared", async t => {
  const { port } = await server(t)
  const provider = provide(t)
  const cases: [object, string][] = [
    [{ port: 70_000, host: '127.0.0.1' }, 'ERR_SOCKET_BAD_PORT'],
    [{ port: 1, host: '127.0.0.1', localAddress: 'nonsense' }, 'ERR_INVALID_IP_ADDRESS'],
    [{ port: 1, host: '127.0.0.1', localPort: 'nonsense' }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 1, host: 'a.example', lookup: 'nonsense' }, 'ERR_INVALID_ARG_TYPE'],
    [{ port: 1, host: 'a.example', autoSelectFamilyAttemptTimeout: 'x' }, 'ERR_INVALID_ARG_TYPE'],
  ]
  for (const [options, code] of cases) {
    const socket = new SecureSocket({ security })
    t.throws(() => socket.connect(options as never), { code })
    t.equal(socket.connecting, false)
    socket.destroy()
  }
  const socket = new SecureSocket({ security })
  const error = new Error('from lookup')
  const lookup = () => {
    throw error
  }
  t.throws(() => socket.connect({ port: 1, host: 'a.example', lookup }), error)
  t.same(provider.requests, [])
  socket.connect(port, '127.0.0.1')
  t.equal(await socket.secured, info, 'it can be connected all the same')
  socket.destroy()
})

t.test("what fails to be looked up is Node's error", async t => {
  const provider = provide(t)
  const error = Object.assign(new Error('no such host'), { code: 'ENOTFOUND' })
  const lookup = (_host: string, _options: object, callback: (error: Error) => void) =>
    setImmediate(callback, error)
  const socket = createConnection({
    port: 1,
    host: 'a.example',
    lookup: lookup as never,
    security,
  })
  const looked = new Promise(resolve => socket.once('lookup', resolve))
  t.equal((await event(socket, 'error'))[0], error)
  t.equal(await looked, error)

  const strange = createConnection({
    port: 1,
    host: 'a.example',
    lookup: lookupOf('nonsense'),
    autoSelectFamily: false,
    security,
  })
  t.match(await event(strange, 'error'), [{ code: 'ERR_INVALID_IP_ADDRESS' }])
  t.same(provider.requests, [])
})

t.test('a refused connection is told as by node:net', async t => {
  const { port } = await server(t)
  provide(t)
  const socket = createConnection({ port: port === 1 ? 2 : 1, host: '127.0.0.1', security })
  t.match(await event(socket, 'error'), [{ code: 'ECONNREFUSED', syscall: 'connect' }])
})

t.test('an error that Node does not know is most likely one of IPsec', async t => {
  const { port } = await server(t)
  provide(t)
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.on('connectionAttempt', () => {
    const { _handle } = socket as unknown as { _handle: Record<string, unknown> }
    const connect = _handle.connect as (...args: unknown[]) => number
    _handle.connect = (request: { oncomplete(...args: unknown[]): void }, ...rest: unknown[]) => {
      const status = connect.call(_handle, request, ...rest)
      const { oncomplete } = request
      request.oncomplete = (_status, ...more) => oncomplete.call(request, -4094, ...more)
      return status
    }
  })
  t.match(await event(socket, 'error'), [
    { code: 'EPROTO', message: /IPsec policy/, peer: `127.0.0.1:${port}` },
  ])
})

t.test('blockList is honoured, and what was prepared is closed', async t => {
  const { port, sockets } = await server(t)
  provide(t)
  const blockList = new net.BlockList()
  blockList.addAddress('127.0.0.1')
  const socket = createConnection({ port, host: '127.0.0.1', blockList, security } as never)
  const supported = 'blockList' in socket
  if (supported) t.match(await event(socket, 'error'), [{ code: 'ERR_IP_BLOCKED' }])
  else socket.destroy()
  await closed(socket)
  t.equal(sockets.size, 0)
})

t.test('an idle timeout runs, and onread reads into the buffer of the application', async t => {
  const { port } = await server(t)
  provide(t)
  const buffer = Buffer.alloc(64)
  const read = pending<string>()
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security,
    onread: {
      buffer,
      callback: (bytes: number) => {
        read.resolve(buffer.toString('latin1', 0, bytes))
        return true
      },
    },
  })
  t.equal(await read.promise, 'hello')
  socket.setTimeout(20)
  await event(socket, 'timeout')
  socket.destroy()

  const late = new SecureSocket({ onread: { buffer, callback: () => true } } as never)
  await late.setSecurity(security)
  late.connect(port, '127.0.0.1')
  t.match(await event(late, 'error'), [{ code: 'EINVAL', message: /onread/ }])
})

t.test('a reset is sent, also of a socket that is still connecting', async t => {
  const { port, sockets } = await server(t)
  provide(t)
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.resetAndDestroy()
  await closed(socket)
  await until('it is accepted', () => sockets.size === 1)
  const [raw] = sockets
  await until('the peer has ended', () => raw?.destroyed === true)
  t.match(raw?.errored, { code: 'ECONNRESET' })
})

t.test('unref(): such a socket keeps no process alive, whatever it waits for', async t => {
  const { port } = await server(t)
  const gate = pending()
  const provider = provide(t, { prepare: () => gate.promise })
  const resources = () =>
    process.getActiveResourcesInfo().filter(each => each === 'Timeout' || each === 'TCPSocketWrap')
      .length
  const before = resources()
  const socket = createConnection({ port, host: '127.0.0.1', security })
  await until('it is prepared', () => provider.requests.length === 1)
  t.ok(resources() > before, 'it waits')
  socket.unref()
  t.equal(resources(), before)
  socket.ref()
  t.ok(resources() > before)
  socket.unref()
  gate.resolve()
  await socket.secured
  t.equal(resources(), before + 1, 'of the two ends only the server holds the process')
  socket.destroy()
})

t.test("what listens to 'connect' runs in the context of connect(), and may throw", async t => {
  const { port } = await server(t)
  provide(t)
  const context = new AsyncLocalStorage<string>()
  const socket = context.run('mine', () => createConnection({ port, host: '127.0.0.1', security }))
  const store = new Promise(resolve => socket.once('connect', () => resolve(context.getStore())))
  t.equal(await store, 'mine')
  socket.destroy()

  const throwing = createConnection({ port, host: '127.0.0.1', security })
  const error = new Error('from a listener')
  throwing.once('connect', () => {
    throw error
  })
  t.equal(await uncaughtException(), error, 'an uncaught exception, as in node:net')
  throwing.destroy()
})

t.test('HTTP, by an agent of sockets', async t => {
  const listener = http.createServer((request, response) => response.end(`hello ${request.url}`))
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => listener.close())
  const { port } = listener.address() as net.AddressInfo
  const provider = provide(t)
  const agent = new http.Agent({ keepAlive: true })
  agent.createConnection = options => createConnection({ ...options, security } as never)
  t.teardown(() => agent.destroy())
  for (const path of ['/a', '/b']) {
    const request = http.get({ port, host: '127.0.0.1', path, agent })
    const [response] = (await event(request, 'response')) as [http.IncomingMessage]
    t.equal(await text(response), `hello ${path}`)
  }
  t.equal(provider.requests.length, 1, 'kept alive')
})

t.test('impersonation: the provider runs the function, and currentPeer() is the peer', async t => {
  const { port } = await server(t)
  const peer = { names: ['EXAMPLE\\alice'] }
  let inside = 0
  provide(t, {
    query: async () => ({ ...info, peer }),
    impersonate: fn => {
      inside += 1
      return fn()
    },
  })
  const socket = createConnection({ port, host: '127.0.0.1', security })
  await socket.secured
  t.equal(
    socket.impersonatePeer(() => currentPeer()),
    peer,
  )
  t.equal(inside, 1)
  t.equal(currentPeer(), undefined)
  socket.destroy()
})

t.test('nobody answers: the attempt is given up at its time', async t => {
  provide(t)
  const socket = createConnection({
    port: 9,
    host: 'nowhere.example',
    lookup: lookupOf(nowhere, '127.0.0.1'),
    autoSelectFamily: true,
    security: { ...security, handshakeTimeout: 100 },
  })
  const error = await event(socket, 'error')
  t.match(error, [{ code: /ECONNREFUSED|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/ }])
})

t.test('without credentials or a daemon there is no IPsec, and nothing is sent', async t => {
  const { port, received } = await server(t)
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.match(await event(socket, 'error'), [
    { code: /ERR_PROVIDER_UNAVAILABLE|ENOCREDENTIAL|EOPNOTSUPP/ },
  ])
  t.same(received, [])
})

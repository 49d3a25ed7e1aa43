/**
 * The seam of native mode: the provider's own descriptor is under Node's handle before connect(2),
 * for every attempt of autoSelectFamily. IPsec itself is not here; a harmless socket option (the
 * type of service) stands in for it, because it is lost just as silently when Node replaces the handle.
 */
import net from 'node:net'
import t from 'tap'
import { createConnection } from '../../src/net.js'
import type { NativeProvider } from '../../src/providers/provider.js'
import { setIpsecProvider } from '../../src/providers/select.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { closed, event, failure, text } from '../support/events.js'
import { info, standIn, typeOfService, typeOfServiceOf } from './native-stand-in.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the stand-in provider makes sockets by Linux calls')
  process.exit()
}

const security = { protocol: 'ipsec' } as const

async function server() {
  const received: string[] = []
  const listener = net.createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', data => received.push(String(data)))
    socket.end('hello')
  })
  listener.listen(0, '127.0.0.1')
  await event(listener, 'listening')
  t.teardown(() => listener.close())
  return { port: (listener.address() as net.AddressInfo).port, received }
}

t.afterEach(() => setIpsecProvider(null))

t.test('the descriptor of the provider is the one that connects, with its option', async t => {
  const { port } = await server()
  const provider = standIn()
  setIpsecProvider(provider)
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security,
    peerTargetName: 'host/a.example',
  })
  socket.on('connect', () => {
    t.equal(typeOfServiceOf(socket), typeOfService)
  })
  t.equal(await socket.secured, info)
  t.equal(await socket.querySecurity(), info)
  t.equal(await text(socket), 'hello')
  t.match(provider.requests, [
    { address: '127.0.0.1', port, family: 4, targetName: { text: 'host/a.example' } },
  ])
})

t.test('autoSelectFamily cannot lose it: every attempt has a descriptor of its own', async t => {
  const { port } = await server()
  const provider = standIn()
  setIpsecProvider(provider)
  const lookup = (_host: string, _options: object, callback: (...args: unknown[]) => void) => {
    setImmediate(callback, null, [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ])
  }
  const socket = createConnection({
    port,
    host: 'both.example',
    autoSelectFamily: true,
    lookup: lookup as never,
    security,
  })
  socket.on('connect', () => {
    t.equal(typeOfServiceOf(socket), typeOfService)
  })
  t.equal(await text(socket), 'hello')
  t.same(
    provider.requests.map(({ family }) => family),
    [6, 4],
  )
})

t.test(
  'localAddress and localPort reach the provider, since Node would bind its own handle',
  async t => {
    const { port } = await server()
    const provider = standIn()
    setIpsecProvider(provider)
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      localAddress: '127.0.0.1',
      localPort: 0,
      security,
    })
    await socket.secured
    t.match(provider.requests, [{ localAddress: '127.0.0.1', localPort: 0 }])
    socket.destroy()
  },
)

t.test('fail closed: a provider that fails, or a descriptor that Node does not take', async t => {
  const { port, received } = await server()
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
  t.same(received, [], 'nothing has left')
})

t.test("destroyed by the application in the event 'connectionAttempt'", async t => {
  const { port, received } = await server()
  setIpsecProvider(standIn())
  const socket = createConnection({ port, host: '127.0.0.1', security })
  socket.write('secret')
  socket.on('connectionAttempt', () => socket.destroy())
  await closed(socket)
  t.match(await failure(socket.secured), { code: 'ENOTCONN' })
  t.same(received, [], 'nothing has left')
})

t.test('fail closed: the handle is exchanged before it connects', async t => {
  const { port, received } = await server()
  setIpsecProvider(standIn())
  const socket = new SecureSocket({ security })
  socket.write('secret')
  socket.on('connectionAttempt', () => {
    // What Happy Eyeballs did to a prepared handle: another object, with no security.
    const holder = socket as unknown as { _handle: object }
    const Handle = holder._handle.constructor as new (type: number) => object
    const other = new Handle(0) as { [key: symbol]: unknown }
    for (const key of Object.getOwnPropertySymbols(holder._handle)) {
      other[key] = (holder._handle as { [key: symbol]: unknown })[key]
    }
    holder._handle = other
  })
  const failed = event(socket, 'error')
  socket.connect(port, '127.0.0.1')
  await failed
  t.match(await failure(socket.secured), { code: /EPROTO|ENOTCONN|ERR_/ })
  await closed(socket)
  t.same(received, [], 'nothing has left')
})

t.test('without a provider there is no IPsec, and nothing is sent', async t => {
  const { port, received } = await server()
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.match(await event(socket, 'error'), [{ code: 'ERR_PROVIDER_UNAVAILABLE' }])
  t.same(received, [])
})

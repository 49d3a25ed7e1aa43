/**
 * What a native provider is told of the end of its sockets, and what it may tell: that it has bound
 * one itself, and that nothing secures one any longer.
 */
import net from 'node:net'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import type { NativeConnection, NativeProvider } from '../../../src/providers/provider.js'
import { setIpsecProvider } from '../../../src/providers/select.js'
import { bindSocket, makeSocket } from '../../../src/providers/strongswan/host/linux-socket.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { closed, event, failure } from '../../support/events.js'
import { until } from '../../support/until.js'
import { info, lookupOf } from './stand-in.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the provider makes sockets by Linux calls')
  process.exit()
}

const security = { protocol: 'ipsec' } as const
const lost = Object.assign(new Error('nothing secures it'), { code: 'ELOST' })

/** A provider that binds what it makes, and keeps a record of what it is told. */
function binding(t: Test, query: NativeConnection['query'] = async () => info) {
  /** What was told, and whether the descriptor was still open then. */
  const told: [what: string, open: boolean][] = []
  const losses: ((error: Error) => void)[] = []
  const state = { holds: true }
  const lose = () => {
    for (const each of losses.splice(0)) each(lost)
  }
  const watched = (what: string, isOpen: () => boolean): NativeConnection => ({
    query,
    onLost: listener => losses.push(listener),
    closing: () => told.push([what, isOpen()]),
    holds() {
      if (state.holds) return true
      lose()
      return false
    },
  })
  const provider: NativeProvider = {
    mode: 'native',
    async openSocket({ family }) {
      const { descriptor, discard, adopted, alive } = makeSocket('stream', family)
      return { descriptor, discard, adopted, ...watched('client', alive) }
    },
    async openListener({ family, address, port, ipv6Only }) {
      const socket = makeSocket('stream', family)
      try {
        bindSocket(socket, { address, port }, { reuseAddress: true, ipv6Only })
      } catch (error) {
        socket.discard()
        throw error
      }
      const closing = () => told.push(['server', socket.alive()])
      return { ...socket, bound: true, closing }
    },
    accepted: socket =>
      watched('accepted', () => (socket as unknown as { _handle: unknown })._handle !== null),
  }
  setIpsecProvider(provider)
  t.teardown(() => setIpsecProvider(null))
  return { told, lose, state }
}

async function pair(t: Test) {
  const server = new SecureServer({ security })
  t.teardown(() => server.close())
  const connection = event(server, 'connection')
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const client = createConnection({ port, host: '127.0.0.1', security }) as SecureSocket
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  const [accepted] = (await connection) as [SecureSocket]
  await client.secured
  return { server, client, accepted, port }
}

t.test('a server on a socket that is bound already, and what is wrong with an address', async t => {
  binding(t)
  for (const [where, expected] of [
    [{ port: 0, host: '127.0.0.1' }, { address: '127.0.0.1' }],
    [{ port: 0 }, { address: '::' }],
    [{ port: 0, host: '::', ipv6Only: true }, { address: '::' }],
  ] as const) {
    const server = new SecureServer({ security }).listen(where)
    await event(server, 'listening')
    t.match(server.address(), expected)
    const { port } = server.address() as net.AddressInfo
    for (const taken of [new SecureServer({ security }), new net.Server()]) {
      const error = await failure(event(taken.listen({ ...where, port }), 'listening'))
      const host = 'host' in where ? where.host : '::'
      t.match(error, { code: 'EADDRINUSE', syscall: 'listen', port }, String(host))
    }
    const ipv4 = net.connect(port, '127.0.0.1')
    if ('ipv6Only' in where)
      t.match(await failure(event(ipv4, 'connect')), { code: 'ECONNREFUSED' })
    else await event(ipv4, 'connect')
    ipv4.destroy()
    server.close()
  }
  const elsewhere = new SecureServer({ security }).listen(0, '192.0.2.1')
  t.match(await failure(event(elsewhere, 'listening')), {
    ...{ code: 'EADDRNOTAVAIL', syscall: 'listen', address: '192.0.2.1' },
  })
})

t.test('told once, while the descriptor is open, however it ends', async t => {
  const { told } = binding(t)
  const ways: [string, (socket: SecureSocket) => void][] = [
    ['destroyed', socket => socket.destroy()],
    ['reset', socket => socket.resetAndDestroy()],
    ['with an error', socket => socket.destroy(new Error('enough'))],
    ['ended', socket => socket.resume().end()],
  ]
  for (const [how, end] of ways) {
    told.length = 0
    const { server, client, accepted } = await pair(t)
    accepted.on('error', () => {}).resume()
    accepted.on('end', () => accepted.end())
    end(client)
    await Promise.all([closed(client), closed(accepted)])
    server.close()
    await closed(server as never)
    t.same(
      told.sort(),
      [
        ['accepted', true],
        ['client', true],
        ['server', true],
      ],
      how,
    )
  }
})

t.test('an attempt that is given up is told as well', async t => {
  const { told } = binding(t)
  const server = net.createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await event(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const client = createConnection({
    ...{ host: 'example', port, security, autoSelectFamily: true },
    lookup: lookupOf('::1', '127.0.0.1'),
  }) as SecureSocket
  await client.secured
  client.destroy()
  await until('both', () => told.length === 2)
  t.same(
    told.map(([what]) => what),
    ['client', 'client'],
  )
})

t.test('nothing secures it any longer: it ends there and then, with the reason', async t => {
  const { lose } = binding(t)
  const { client, accepted } = await pair(t)
  const errors = [client, accepted].map(each => event(each, 'error'))
  lose()
  t.equal(client.destroyed, true)
  for (const [error] of await Promise.all(errors)) t.equal(error, lost)
  await Promise.all([closed(client), closed(accepted)])
})

t.test('found at a write: it is not written, in whatever form', async t => {
  const { state } = binding(t)
  const forms: ((socket: SecureSocket) => void)[] = [
    socket => socket.write('text'),
    socket => socket.write('text', 'latin1'),
    socket => socket.write(Buffer.from('text')),
    socket => {
      socket.cork()
      socket.write('te')
      socket.write('xt')
      socket.uncork()
    },
    socket => socket.end('text'),
  ]
  for (const write of forms) {
    for (const writer of ['client', 'accepted'] as const) {
      state.holds = true
      const { client, accepted, server } = await pair(t)
      const [socket, other] = writer === 'client' ? [client, accepted] : [accepted, client]
      socket.write('before')
      t.equal(String((await event(other, 'data'))[0]), 'before')
      other.on('data', data => t.fail(`${data} was written`)).on('error', () => {})
      state.holds = false
      const failed = event(socket, 'error')
      write(socket)
      t.equal((await failed)[0], lost)
      await Promise.all([closed(client), closed(accepted)])
      server.close()
    }
  }
})

t.test('the same before anybody has seen the connection', async t => {
  const asked: (() => void)[] = []
  const { lose } = binding(t, () => new Promise(resolve => asked.push(() => resolve(info))))
  const server = new SecureServer({ security }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await event(server, 'listening')
  server.on('connection', () => t.fail('nobody has said what secures it'))
  const { port } = server.address() as net.AddressInfo
  const client = createConnection({ port, host: '127.0.0.1', security }) as SecureSocket
  client.on('connect', () => t.fail('connected'))
  const refused = event(server, 'tlsClientError')
  const failed = failure(client.secured)
  client.on('error', () => {})
  await until('both were asked about', () => asked.length === 2)
  lose()
  t.equal((await refused)[0], lost)
  t.equal(await failed, lost)
  for (const each of asked) each()
})

/** What happens to each stream, told to whoever wants to know by diagnostics_channel. */
import { channel } from 'node:diagnostics_channel'
import net, { type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { SecureSocket } from '../../src/index.js'
import { createConnection } from '../../src/net.js'
import { closed, event } from '../support/events.js'
import { clientIdentity, listening, trust } from '../support/secured.js'
import { until } from '../support/until.js'

interface Told {
  readonly name: string
  readonly role: 'client' | 'server'
  readonly peer: { readonly address: string; readonly port: number }
  readonly socket?: SecureSocket
  readonly info?: { readonly secured: boolean }
  readonly error?: Error & { readonly code?: string }
}

t.test('secured and closed, at both ends', async t => {
  const heard = subscribe(t)
  const { ca, ...ours } = await clientIdentity()
  const { port } = await listening(
    t,
    { security: { ca: ca as string, requestCert: true } },
    socket => socket.end('x'),
  )
  const socket = createConnection({
    port,
    host: 'localhost',
    security: { ca: ca as string, ...ours },
  })
  await closed(socket.resume())
  await until('both ends are closed', () => heard('closed').length === 2)
  const [local] = heard('secured', 'server')
  t.match(heard('secured', 'client'), [
    {
      peer: { address: '127.0.0.1', port },
      info: { secured: true, peer: { targetName: 'localhost' } },
      socket,
    },
  ])
  t.match(local, { peer: { address: '127.0.0.1' }, info: { peer: { names: ['client.example'] } } })
  t.ok(local?.socket instanceof SecureSocket)
  t.match(heard('closed', 'client'), [{ peer: { address: '127.0.0.1', port }, socket }])
  t.match(heard('closed', 'server'), [{ peer: local?.peer, socket: local?.socket }])
  t.same(heard('failed'), [])
})

t.test('why a client was refused, and why a server was', async t => {
  const heard = subscribe(t)
  const { port } = await listening(t, {})
  const wrong = createConnection({
    port,
    host: '127.0.0.1',
    peerTargetName: 'host/other.example',
    security: await trust(),
  })
  await closed(wrong)
  await until(
    'the server knows',
    () => heard('secured', 'server').length + heard('failed', 'server').length > 0,
  )
  t.match(heard('failed', 'client'), [
    { peer: { address: '127.0.0.1', port }, error: { code: 'ERR_PEER_TARGET_NAME_MISMATCH' } },
  ])

  const stranger = net.connect(port, '127.0.0.1', () => stranger.end('this is no TLS'))
  await event(stranger, 'connect')
  const { port: from } = stranger.address() as AddressInfo
  stranger.on('error', () => {}).resume()
  await until('it is refused', () =>
    heard('failed', 'server').some(({ peer }) => peer.port === from),
  )
  const refused = heard('failed', 'server').find(({ peer }) => peer.port === from)
  t.match(refused, { peer: { address: '127.0.0.1' }, error: { code: /^ERR_SSL_/ } })
  t.same(heard('closed', 'client'), [], 'what was never secured is not closed')
})

t.test(
  'nobody listens there; a socket that was never connected; one that its owner gives up',
  async t => {
    const heard = subscribe(t)
    const free = net.createServer().listen(0, '127.0.0.1')
    await event(free, 'listening')
    const { port } = free.address() as AddressInfo
    await new Promise(resolve => free.close(resolve))
    await closed(createConnection({ port, host: '127.0.0.1', security: await trust() }))
    t.match(heard('failed'), [{ role: 'client', peer: { port }, error: { code: 'ECONNREFUSED' } }])

    await closed(new SecureSocket().destroy())
    const given = new SecureSocket({ security: await trust() })
    given.connect(port, '127.0.0.1')
    await closed(given.destroy())
    t.equal(heard('failed').length, 1, "that is nobody's failure")
    t.same(heard('closed'), [])
  },
)

t.test('what allowInsecure leaves clear is told by a name of its own', async t => {
  const heard = subscribe(t)
  const { port } = await listening(
    t,
    { security: { guaranteeEncryption: false, allowInsecure: true } },
    socket => socket.resume().end('x'),
  )
  const clear = net.connect(port, '127.0.0.1', () => clear.write('hello'))
  await closed(clear.resume())
  await until('it is over', () => heard('closed').length === 1)
  t.match(heard('insecure'), [{ role: 'server', info: { secured: false, protocol: 'none' } }])
  t.same(heard('secured'), [])
})

t.test('a reset is told with its error, and with the address that is known no more', async t => {
  const heard = subscribe(t)
  const { port } = await listening(t, {}, socket => socket.on('error', () => {}).resume())
  const relay = net.createServer(socket => {
    const onward = net.connect(port, '127.0.0.1')
    socket
      .on('error', () => {})
      .pipe(onward)
      .on('error', () => {})
      .pipe(socket)
    socket.on('close', () => onward.resetAndDestroy())
  })
  relay.listen(0, '127.0.0.1')
  await event(relay, 'listening')
  t.teardown(() => relay.close())
  const { port: through } = relay.address() as AddressInfo
  const socket = createConnection({ port: through, host: '127.0.0.1', security: await trust() })
  await event(socket, 'connect')
  await until('the server has it', () => heard('secured', 'server').length === 1)
  socket.resetAndDestroy()
  await until('the server knows', () => heard('closed', 'server').length === 1)
  const [secured] = heard('secured', 'server')
  t.match(heard('closed', 'server'), [{ error: { code: 'ECONNRESET' }, peer: secured?.peer }])
})

t.test('a subscriber may destroy what it hears of: nobody else sees that socket', async t => {
  const heard = subscribe(t)
  const shown: unknown[] = []
  const { port } = await listening(t, {}, socket => shown.push(socket.on('error', () => {})))
  for (const refuses of ['client', 'server']) {
    const listener = (message: unknown) => {
      const { role, socket } = message as Told
      if (role === refuses) socket?.destroy()
    }
    const secured = channel('secure-socket:tls:secured')
    secured.subscribe(listener)
    t.teardown(() => secured.unsubscribe(listener))
    shown.length = 0
    const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
    socket.on('error', () => {}).on('connect', () => refuses === 'client' && shown.push(socket))
    socket.write('x')
    const before = heard('closed', refuses).length
    await closed(socket.resume())
    await until('it is told', () => heard('closed', refuses).length > before)
    const ofClient = shown.includes(socket)
    t.notOk(refuses === 'client' ? ofClient : shown.length > 0, `at the ${refuses}`)
    secured.unsubscribe(listener)
  }
})

t.test(
  'a subscriber may connect what it hears of elsewhere: what it writes goes there',
  async t => {
    const heard: string[] = []
    const hear = (where: string) => (socket: SecureSocket) =>
      socket.on('error', () => {}).on('data', data => heard.push(`${where}: ${data}`))
    const first = await listening(t, {}, hear('the first'))
    const second = await listening(t, {}, hear('the second'))
    const secured = channel('secure-socket:tls:secured')
    const socket = new SecureSocket({ security: await trust() })
    let connects = 0
    socket.on('error', () => {}).on('connect', () => connects++)
    const listener = (message: unknown) => {
      if ((message as Told).socket !== socket) return
      secured.unsubscribe(listener)
      socket.destroy()
      socket.connect(second.port, '127.0.0.1')
      socket.write('x')
    }
    secured.subscribe(listener)
    t.teardown(() => secured.unsubscribe(listener))
    socket.connect(first.port, '127.0.0.1')
    await until('somebody hears it', () => heard.length === 1)
    t.same(heard, ['the second: x'])
    t.equal(connects, 1)
    await closed(socket.destroy())
  },
)

/** All that is told of streams until the end of the test, by name and role. */
function subscribe(t: Test): (name: string, role?: string) => Told[] {
  const all: Told[] = []
  for (const name of ['secured', 'insecure', 'failed', 'closed']) {
    const listener = (message: unknown) => {
      all.push({ name, ...(message as Omit<Told, 'name'>) })
    }
    const events = channel(`secure-socket:tls:${name}`)
    events.subscribe(listener)
    t.teardown(() => events.unsubscribe(listener))
  }
  return (name, role) =>
    all.filter(each => each.name === name && (role === undefined || each.role === role))
}

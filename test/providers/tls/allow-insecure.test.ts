/**
 * R15, allowInsecure: every case in which clear text is allowed, and every case in which it is not.
 * Clear only where the peer does not answer or answers with something that is not TLS; never after
 * an alert, a failure of authentication or name, with a target name, or once secured.
 */
import net from 'node:net'
import t, { type Test } from 'tap'
import { parseSettings, type SecuritySettings } from '../../../src/model/settings.js'
import { createConnection } from '../../../src/net.js'
import { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { closed, event, failure, text } from '../../support/events.js'
import { strangerIdentity } from '../../support/identities.js'
import { clientIdentity, listening, trust } from '../../support/secured.js'

const insecure: SecuritySettings = { allowInsecure: true, guaranteeEncryption: false }
const secret = 'in clear?'

async function plainServer(t: Test, answer: (socket: net.Socket, connection: number) => void) {
  let connections = 0
  const received: string[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', data => received.push(data.toString('latin1')))
    answer(socket, ++connections)
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  const { port } = server.address() as net.AddressInfo
  return { port, received, count: () => connections }
}

t.test('it has to be asked for twice', async t => {
  t.throws(() => parseSettings({ allowInsecure: true }), {
    code: 'EINVAL',
    message: /guaranteeEncryption: false/,
  })
  t.throws(() => parseSettings({ allowInsecure: true, guaranteeEncryption: true }), {
    code: 'EINVAL',
  })
  t.throws(() => parseSettings({ ...insecure, protocol: 'ipsec' }), { code: 'EOPNOTSUPP' })
  t.throws(() => parseSettings({ ...insecure, requestCert: true }), { code: 'EINVAL' })
  t.equal(parseSettings({}).allowInsecure, false)
})

t.test(
  'client: a peer that answers something that is not TLS is dialled again, in clear, and the query says so',
  async t => {
    const server = await plainServer(t, socket => {
      socket.write('220 ready\r\n')
      socket.once('data', () => {})
    })
    const socket = createConnection({ port: server.port, host: '127.0.0.1', security: insecure })
    socket.write(secret)
    const told = event(socket, 'insecure')
    const info = await socket.secured
    t.match(info, { secured: false, encrypted: false, protocol: 'none' })
    t.same((await told)[0], info)
    t.equal(socket.encrypted, false)
    t.equal(socket.authorized, false)
    t.equal(socket.getCipher(), undefined)
    t.match(String((await event(socket, 'data'))[0]), '220 ready')
    t.equal(server.count(), 3, 'one that failed, one that looked at the answer, one in clear')
    t.match(await socket.querySecurity(), { secured: false })
    t.throws(() => socket.impersonatePeer(() => {}), { code: 'ERR_PEER_NOT_AUTHENTICATED' })
    while (!server.received.join('').includes(secret))
      await event(socket, 'drain', 50).catch(() => {})
    socket.destroy()
  },
)

t.test('client: a silent peer, after the time without an answer', async t => {
  // The seed's 10 s, bounded by the handshake's own time, which is what the test shortens.
  const server = await plainServer(t, (socket, connection) => {
    if (connection === 2) socket.end('clear')
  })
  const socket = createConnection({
    port: server.port,
    host: '127.0.0.1',
    security: { ...insecure, handshakeTimeout: 100 },
  })
  t.equal(await text(socket), 'clear')
  t.equal(server.count(), 2)
})

t.test(
  'client: clear text goes to the host that answered, not to whom the name leads next',
  async t => {
    const asked = await plainServer(t, socket => socket.write('220 ready\r\n'))
    const received: string[] = []
    const other = net.createServer(socket => socket.on('data', data => received.push(String(data))))
    other.listen(asked.port, '127.0.0.2')
    await event(other, 'listening')
    t.teardown(() => other.close())
    const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.2']
    const lookup = (
      _host: string,
      options: { all?: boolean },
      done: (...args: unknown[]) => void,
    ) => {
      const address = addresses.shift() ?? '127.0.0.2'
      setImmediate(() =>
        options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4),
      )
    }
    const socket = createConnection({
      port: asked.port,
      host: 'round-robin.example',
      lookup: lookup as never,
      security: insecure,
    })
    socket.write(secret)
    t.match(await socket.secured, { secured: false })
    t.match(String((await event(socket, 'data'))[0]), '220 ready')
    t.equal(socket.remoteAddress, '127.0.0.1')
    t.same(received, [])
    socket.destroy()
  },
)

t.test('client: destroyed because it would be clear, it settles and sends nothing', async t => {
  const server = await plainServer(t, socket => socket.write('220 ready\r\n'))
  const socket = createConnection({ port: server.port, host: '127.0.0.1', security: insecure })
  const secured = failure(socket.secured)
  socket.write(secret)
  socket.on('insecure', () => socket.destroy())
  socket.on('connect', () => t.fail('not connected'))
  t.match(await secured, { code: 'ENOTCONN' })
  await closed(socket)
  t.equal(server.received.join('').includes(secret), false)
})

t.test('client: never in these cases', async t => {
  const tlsServer = await listening(t, {}, socket => socket.end())
  const stranger = await strangerIdentity()
  const untrusted = await listening(
    t,
    { security: { cert: stranger.cert, key: stranger.key } },
    () => {},
  )
  const banner = (socket: net.Socket) => socket.write('220 ready\r\n')
  const alert = Buffer.from('15030300020228', 'hex')
  const serverHello = Buffer.from('160303007a0200007603', 'hex')

  const cases: [string, number | ((socket: net.Socket) => void), object, RegExp][] = [
    ['a peer with a target name', banner, { peerTargetName: 'host/mail.example' }, /WRONG_VERSION/],
    ['an alert', socket => socket.write(alert), {}, /ALERT_HANDSHAKE_FAILURE/],
    ['a peer that closes', socket => socket.end(), {}, /ECONNRESET/],
    ['a peer that resets', socket => socket.resetAndDestroy(), {}, /ECONNRESET/],
    ['a beginning of TLS that stops', socket => socket.write(serverHello), {}, /HANDSHAKE_TIMEOUT/],
    ['an authority that is not trusted', untrusted.port, {}, /SELF_SIGNED|UNABLE_TO/],
    ['another name', tlsServer.port, { peerTargetName: 'host/other.example' }, /NAME_MISMATCH/],
  ]
  for (const [name, peer, more, code] of cases) {
    const server = typeof peer === 'number' ? null : await plainServer(t, peer)
    const socket = createConnection({
      port: server?.port ?? (peer as number),
      host: '127.0.0.1',
      security: {
        ...insecure,
        ...(await trust()),
        ...(/TIMEOUT/.test(code.source) ? { handshakeTimeout: 150 } : {}),
      },
      ...more,
    })
    socket.on('insecure', () => t.fail(`${name}: clear`))
    socket.write(secret)
    t.match(await event(socket, 'error'), [{ code }], name)
    t.equal(server?.received.join('').includes(secret) ?? false, false, `${name}: nothing in clear`)
    t.ok((server?.count() ?? 1) <= 2, `${name}: no connection in clear`)
  }
})

t.test('client: never where a TLS answer turns into something else', async t => {
  const { port } = await listening(t, {})
  const spoiling = await plainServer(t, socket => {
    const server = net.connect(port, '127.0.0.1')
    server.on('error', () => {})
    socket.on('data', data => server.write(data)).on('close', () => server.destroy())
    // The ServerHello of the real server, then text.
    server.once('data', data => {
      socket.write(data.subarray(0, 5 + data.readUInt16BE(3)))
      socket.write('220 ready\r\n')
    })
  })
  const socket = createConnection({
    port: spoiling.port,
    host: '127.0.0.1',
    security: { ...insecure, ...(await trust()) },
  })
  socket.on('insecure', () => t.fail('clear'))
  t.match(await event(socket, 'error'), [{ name: 'SocketSecurityError' }])
  // The second, where OpenSSL's error leaves it open, is the one that looks at the first byte.
  t.ok(spoiling.count() <= 2)
})

t.test('client: never after an alert, however it goes on', async t => {
  const alerts = {
    'no_application_protocol, then a plain peer': '15030300020278',
    'a warning, then a plain peer': '1503030002015a',
  }
  for (const [name, alert] of Object.entries(alerts)) {
    const server = await plainServer(t, (socket, connection) => {
      if (connection === 1)
        socket.end(Buffer.concat([Buffer.from(alert, 'hex'), Buffer.from('220 ready')]))
      else if (name.startsWith('no_')) socket.write('220 ready\r\n')
      else socket.write(Buffer.from(alert, 'hex'))
    })
    const socket = createConnection({
      port: server.port,
      host: '127.0.0.1',
      security: { ...insecure, ...(await clientIdentity()) },
    })
    socket.on('insecure', () => t.fail(`${name}: clear`))
    socket.write(secret)
    await event(socket, 'error')
    t.equal(server.received.join('').includes(secret), false, name)
  }
})

t.test('client: never once this socket was secured', async t => {
  const secured = await listening(t, {}, socket => socket.end())
  const server = await plainServer(t, socket => socket.write('220 ready\r\n'))
  const socket = new SecureSocket({ security: { ...insecure, ...(await trust()) } })
  socket.connect(secured.port, '127.0.0.1')
  t.match(await socket.secured, { secured: true })
  await text(socket)
  if (!socket.closed) await event(socket, 'close')
  socket.on('insecure', () => t.fail('clear'))
  socket.connect(server.port, '127.0.0.1')
  const failed = event(socket, 'error')
  t.match(await failure(socket.secured), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })
  t.match(await failed, [{ code: 'ERR_SSL_WRONG_VERSION_NUMBER' }])
})

t.test('server: decides by the first byte', async t => {
  const { port, server } = await listening(t, { security: insecure }, socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  const heard: boolean[] = []
  server.on('insecure', socket => heard.push(socket.encrypted))

  const clear = net.connect(port, '127.0.0.1')
  clear.end('clear')
  t.equal(await text(clear), 'clear')
  t.same(heard, [false])

  const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
  socket.end('secured')
  t.equal(await text(socket), 'secured')
  t.same(heard, [false], 'a TLS client is secured')
})

t.test(
  'server: a client that says nothing is let in clear after the wait; half a record is not',
  async t => {
    const { port, refused } = await listening(
      t,
      { security: { ...insecure, handshakeTimeout: 100 } },
      socket => socket.end('you first?'),
    )
    const silent = net.connect(port, '127.0.0.1')
    t.equal(await text(silent), 'you first?')

    const half = net.connect(port, '127.0.0.1')
    half.on('error', () => {})
    half.write(Buffer.from('160301', 'hex'))
    t.equal(await text(half), '', 'nothing for a beginning of TLS')
    t.equal(refused.length, 1)
  },
)

t.test('server: a record of TLS is never taken for clear text', async t => {
  const { port, refused } = await listening(t, { security: insecure }, () => t.fail('let in'))
  // An alert, application data, and a change of cipher spec.
  for (const record of ['1503010002022f', '170303000568656c6c6f', '140303000101']) {
    const raw = net.connect(port, '127.0.0.1')
    const end = closed(raw.resume())
    raw.end(Buffer.from(record, 'hex'))
    await end
  }
  t.equal(refused.length, 3)
})

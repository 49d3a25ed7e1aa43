/** SecureServer is a net.Server whose connections are secured before the application sees them. */
import net from 'node:net'
import { Duplex } from 'node:stream'
import util from 'node:util'
import t, { type Test } from 'tap'
import { createConnection, createServer } from '../../src/net.js'
import { SecureServer } from '../../src/sockets/secure-server.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { closed, event, failure, text, uncaughtException } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { listening, serverIdentity, trust } from '../support/secured.js'

t.test("'connection' gives a secured SecureSocket; TCP alone gives none", async t => {
  const { port, server } = await listening(t, {})
  let seen = 0
  server.on('connection', () => seen++)
  const raw = net.connect(port, '127.0.0.1')
  await event(raw, 'connect')
  const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
  const [accepted] = (await event(server, 'connection')) as [SecureSocket]
  t.ok(accepted instanceof SecureSocket)
  t.ok(accepted instanceof net.Socket)
  t.equal(accepted.encrypted, true)
  t.equal(accepted.connecting, false)
  t.match(await accepted.secured, { secured: true, version: 'TLSv1.3' })
  t.equal(seen, 1, 'the raw connection is not shown')
  const count = await util.promisify(server.getConnections).call(server)
  t.equal(count, 2, 'but counted, as what it costs')
  raw.destroy()
  socket.destroy()
})

t.test('what the settings lack is an error of listen(), and nothing listens', async t => {
  const { cert } = await serverIdentity()
  const identity = await serverIdentity()
  // That of Windows takes no certificates.
  const noIpsec = { ...identity, protocol: 'ipsec' }
  for (const [name, security, code, message] of [
    ['no identity', {}, 'ENOCREDENTIAL', /security\.cert and security\.key/],
    ['nothing at all', null, 'ENOCREDENTIAL', /security\.cert/],
    ['clients of anybody', { ...identity, requestCert: true }, 'ENOCREDENTIAL', /security\.ca/],
    ['no encryption', { ...identity, ciphers: 'NULL-SHA256' }, 'EPROTO', /nothing is sent/],
    ['a key that is none', { cert, key: 'x' }, 'EINVAL', /cert, key/],
    ['no IPsec', noIpsec, /EOPNOTSUPP|ERR_PROVIDER_UNAVAILABLE/, /ipsec|IPsec|strongSwan/],
  ] as const) {
    const server = createServer({ security: security as never })
    server.listen(0, '127.0.0.1')
    t.match((await event(server, 'error'))[0], { code, message }, name)
    t.equal(server.listening, false, name)
  }
})

t.test('a pre-shared key stands where a certificate is asked for too', async t => {
  // Newer Node refuses such a client for its missing certificate before we can ask about the key.
  const psk = { identity: 'me', key: Buffer.alloc(16, 1) }
  const { port, server } = await listening(t, {
    security: { psk: { me: psk.key }, requestCert: true, ...(await trust()) },
  })
  const accepted = event(server, 'connection')
  const socket = createConnection({ port, host: '127.0.0.1', security: { psk } })
  t.match(await socket.secured, { secured: true })
  const [secured] = (await accepted) as [SecureSocket]
  t.equal((await secured.querySecurity()).peer?.pskIdentity, 'me')
  socket.destroy()
})

t.test('pipes are no sockets that can be secured', async t => {
  const server = createServer({ security: await serverIdentity() })
  server.listen('/tmp/never-made.sock')
  t.match(await event(server, 'error'), [{ code: 'EAFNOSUPPORT' }])
  const socket = createConnection('/tmp/never-made.sock')
  t.match(await event(socket, 'error'), [{ code: 'EAFNOSUPPORT' }])
})

t.test('a client that is refused reaches tlsClientError and nobody else', async t => {
  const { ca } = await trust()
  const { port, refused, server } = await listening(
    t,
    { security: { ca, requestCert: true } },
    () => t.fail('not let in'),
  )
  const socket = createConnection({ port, host: '127.0.0.1', security: { ca } })
  t.match((await event(socket.resume(), 'error'))[0], {
    code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    message: /no client certificate; give cert and key, or set requestCert: false/,
  })
  await closed(socket)
  t.match(refused, [
    { code: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', peer: /^127\.0\.0\.1:\d+$/ },
  ])
  t.equal(await util.promisify(server.getConnections).call(server), 0)
})

t.test('rejectUnauthorized: false lets it in, and says why it is not authorized', async t => {
  const { ca } = await trust()
  const { port, server } = await listening(t, {
    security: { ca, requestCert: true, rejectUnauthorized: false },
  })
  const connected = event(server, 'connection') as Promise<[SecureSocket]>
  createConnection({ port, host: '127.0.0.1', security: { ca } }).on('error', () => {})
  const [accepted] = await connected
  t.equal(accepted.authorized, false)
  t.equal(accepted.authorizationError, 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE')
  t.equal((await accepted.secured).peer, undefined, 'nobody')
})

t.test('pauseOnConnect: nothing is read until resume()', async t => {
  const { port, server } = await listening(t, { pauseOnConnect: true }, () => {})
  const connected = event(server, 'connection') as Promise<[SecureSocket]>
  const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
  socket.end('early')
  const [accepted] = await connected
  t.equal(accepted.isPaused(), true)
  accepted.on('data', () => t.equal(accepted.isPaused(), false, 'only after resume()'))
  if (!socket.writableFinished) await event(socket, 'finish')
  t.equal(accepted.bytesRead, 0)
  accepted.resume()
  t.equal(await text(accepted), 'early')
})

t.test(
  'half open servers are not left with connections that ended before their handshake',
  async t => {
    const { port, server, refused } = await listening(t, { allowHalfOpen: true })
    const raw = net.connect(port, '127.0.0.1')
    raw.end()
    await event(server, 'tlsClientError')
    await closed(raw.resume())
    t.equal(refused.length, 1)
    t.equal(await util.promisify(server.getConnections).call(server), 0)
  },
)

t.test(
  'a handshake that never ends is ended, with and without the look at the first record',
  async t => {
    for (const { port, server } of await impatient(t)) {
      const raw = net.connect(port, '127.0.0.1')
      const end = closed(raw.resume())
      t.match(await event(server, 'tlsClientError'), [{ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }])
      await end
    }
  },
)

t.test(
  "whoever is refused goes also where 'tlsClientError' throws, with and without the look at the first record",
  async t => {
    for (const { port, server } of await impatient(t)) {
      const error = new Error('from a listener')
      server.once('tlsClientError', () => {
        throw error
      })
      const uncaught = uncaughtException()
      const raw = net.connect(port, '127.0.0.1')
      t.teardown(() => raw.destroy())
      const end = closed(raw.resume())
      t.equal(await uncaught, error)
      await end
    }
  },
)

t.test(
  "no stranger ends a process by a listener of 'tlsClientError' that destroys what it is shown",
  async t => {
    const beginning = Buffer.from('160301020001', 'hex')
    const strangers: Record<string, (raw: net.Socket) => unknown> = {
      'goes at once': raw => raw.destroy(),
      'ends without a word': raw => raw.end(),
      'says nothing': () => {},
      'ends in a hello': raw => raw.end(beginning),
      'stops in a hello': raw => raw.write(beginning),
      'speaks otherwise': raw => raw.write('HELO mail.example.com\r\n'),
      'resets in a hello': raw => raw.write(beginning, () => raw.resetAndDestroy()),
    }
    const letsClearIn = { allowInsecure: true, guaranteeEncryption: false, handshakeTimeout: 50 }
    for (const { port, server } of [
      ...(await impatient(t)),
      await listening(t, { security: letsClearIn }),
    ]) {
      server.on('tlsClientError', (error, socket) => socket.destroy(error))
      for (const [name, act] of Object.entries(strangers)) {
        const told = Promise.race([event(server, 'tlsClientError'), event(server, 'insecure')])
        const raw = net.connect(port, '127.0.0.1', () => act(raw))
        const end = closed(raw.resume())
        await told
        // What it is destroyed with is told in a later tick.
        await new Promise(setImmediate)
        raw.destroy()
        await end
        t.pass(name)
      }
    }
  },
)

t.test('exclusive use of the port (R9)', async t => {
  const identity = await serverIdentity()
  const server = createServer({ security: identity })
  server.listen({ port: 0, host: '127.0.0.1', reusePort: true } as net.ListenOptions)
  t.match(await event(server, 'error'), [{ code: 'EINVAL', message: /sharePort/ }])
})

t.test('every overload of createServer and the constructor', async t => {
  const security = await serverIdentity()
  for (const [name, make] of Object.entries({
    'createServer(listener)': () => createServer(socket => socket.end('hi')),
    'createServer(options, listener)': () => createServer({}, socket => socket.end('hi')),
    'new SecureServer(listener)': () => new SecureServer(socket => socket.end('hi')),
    'without new': () => SecureServer({}, socket => socket.end('hi')),
    'by util.inherits': () => {
      function Old(this: object) {
        ;(SecureServer as unknown as { call(self: object, listener: unknown): void }).call(
          this,
          (socket: SecureSocket) => socket.end('hi'),
        )
      }
      util.inherits(Old as never, SecureServer as never)
      return new (Old as unknown as new () => SecureServer)()
    },
  })) {
    const server = make()
    server.setSecurity(security)
    server.listen(0, '127.0.0.1')
    await event(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const socket = createConnection({ port, host: '127.0.0.1', security: await trust() })
    t.equal(await text(socket), 'hi', name)
    t.match(await failure(server.setSecurity(security)), { code: 'EINVAL' }, 'not after listen()')
    await (server as unknown as AsyncDisposable)[Symbol.asyncDispose]()
    t.match(await failure(server.setSecurity(security)), { code: 'ENOTSOCK' }, 'not after close()')
  }
})

t.test("any net.Server's 'connection' can be secured, as an http.Server's", async t => {
  // What securing an unmodified program does: our emit on a server that is not ours.
  const server = net.createServer(socket => {
    t.ok(socket instanceof SecureSocket)
    socket.end('foreign')
  })
  SecureServer.prototype.setSecurity.call(server as never, await serverIdentity())
  const { emit } = server
  server.emit = function (this: net.Server, event: string, ...args: unknown[]) {
    const [raw] = args
    if (event !== 'connection' || raw instanceof SecureSocket)
      return emit.call(this, event as never, ...(args as [never]))
    return SecureServer.prototype.emit.call(this as never, event, ...args)
  } as never
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  t.equal(
    await text(createConnection({ port, host: '127.0.0.1', security: await trust() })),
    'foreign',
  )
  await new Promise(resolve => server.close(resolve))
})

t.test('patching net afterwards does not send us round in circles', async t => {
  const { port } = await listening(t, {}, socket => socket.end('once'))
  const { connect } = net.Socket.prototype
  net.Socket.prototype.connect = function (this: net.Socket, ...args: unknown[]) {
    t.notOk(this instanceof SecureSocket, 'ours does not come by')
    return connect.apply(this, args as never)
  } as never
  t.teardown(() => {
    net.Socket.prototype.connect = connect
  })
  t.equal(
    await text(createConnection({ port, host: '127.0.0.1', security: await trust() })),
    'once',
  )
})

t.test('keylog only on request, with a warning of the process', async t => {
  const warned = event(process as never, 'warning')
  const { port, server } = await listening(t, { security: { keylog: true } }, socket =>
    socket.end(),
  )
  const lines: string[] = []
  server.on('keylog', line => lines.push(`server ${line}`))
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    security: { ...(await trust()), keylog: true },
  })
  socket.on('keylog', line => lines.push(`client ${line}`))
  await text(socket)
  t.match(String((await warned)[0]), /keylog/)
  t.ok(lines.some(line => line.startsWith('server CLIENT_TRAFFIC_SECRET_0 ')))
  t.ok(lines.some(line => line.startsWith('client CLIENT_TRAFFIC_SECRET_0 ')))

  const quiet = await listening(t, {}, socket => socket.end())
  quiet.server.on('keylog', () => t.fail('not without being asked for'))
  const other = createConnection({ port: quiet.port, host: '127.0.0.1', security: await trust() })
  other.on('keylog', () => t.fail('not without being asked for'))
  await text(other)
})

t.test('SNI: the server hears the name of the target', async t => {
  const { cert, key } = await testIdentity(['db.example.com'])
  const { port, server } = await listening(t, { security: { cert, key } }, () => {})
  const connected = event(server, 'connection') as Promise<[SecureSocket]>
  const socket = createConnection({
    port,
    host: '127.0.0.1',
    peerTargetName: 'host/db.example.com',
    security: await trust(),
  })
  const [accepted] = await connected
  t.equal(accepted.servername, 'db.example.com')
  socket.destroy()
})

t.test('whatever is injected as a connection is secured too, or refused', async t => {
  const { port, server, refused } = await listening(t, {}, socket => socket.end('secured'))
  // A stream of the application's own in between: here one side of a pipe to a raw connection.
  const relay = net.createServer(raw => {
    const duplex = Duplex.from({ readable: raw, writable: raw })
    duplex.on('error', () => {})
    server.emit('connection', duplex as never)
  })
  relay.listen(0, '127.0.0.1')
  await event(relay, 'listening')
  const through = (relay.address() as net.AddressInfo).port
  const socket = createConnection({ port: through, host: '127.0.0.1', security: await trust() })
  t.equal(await text(socket), 'secured')
  t.equal(socket.encrypted, true)
  await new Promise(resolve => relay.close(resolve))

  server.emit('connection', { not: 'a stream' } as never)
  t.match(refused.at(-1), { code: 'EAFNOSUPPORT' })
  const unconnected = new SecureSocket()
  unconnected.on('error', () => {})
  server.emit('connection', unconnected as never)
  t.equal(unconnected.encrypted, false, 'one of ours that is not secured is not shown as one')
  unconnected.destroy()
  t.ok(port)
})

/** Servers that soon give up a handshake: one without a look at the first record, and one with it. */
async function impatient(t: Test) {
  const { ca } = await trust()
  const settings = [{ handshakeTimeout: 50 }, { handshakeTimeout: 50, ca, requestCert: true }]
  return Promise.all(settings.map(security => listening(t, { security })))
}

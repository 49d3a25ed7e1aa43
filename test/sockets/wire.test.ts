/**
 * Nothing is ever written in clear. Every case runs through a tap which records what somebody on the
 * wire sees, and the secret is searched there; and where the peer is not the right one, it does not
 * learn the secret inside the channel either.
 */
import net from 'node:net'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection } from '../../src/net.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { closed, event, text } from '../support/events.js'
import { selfSignedIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { clientIdentity, listening, trust } from '../support/secured.js'
import { type WireTap, wireTap } from '../support/wire-tap.js'

const secret = 'the secret that nobody may see'

/** A tap in front of a server of the test. */
async function tapped(t: Test, port: number): Promise<WireTap> {
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  return tap
}

/** A server of node:net or node:tls on loopback, ended with the test. */
async function serve(t: Test, server: net.Server): Promise<number> {
  const open = new Set<net.Socket>()
  server.on('connection', socket => {
    open.add(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(async () => {
    for (const socket of open) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return (server.address() as net.AddressInfo).port
}

/** Writes the secret before connect, through the tap, and gives the end of it. */
async function attempt(
  tap: WireTap,
  security: SecuritySettings,
  more: object = {},
): Promise<Error & { code?: string }> {
  const socket = createConnection({ port: tap.port, host: '127.0.0.1', security, ...more })
  let told: unknown = null
  socket.write(secret, error => {
    told = error
  })
  const end = closed(socket)
  const [error] = await event(socket, 'error')
  await end
  if (!(told instanceof Error)) throw new Error('the write was not told of the failure')
  return error as Error
}

function absent(t: Test, tap: WireTap): void {
  t.equal(tap.toServer().includes(secret), false, 'the secret is not on the wire to the server')
  t.equal(tap.toClient().includes(secret), false, 'nor on the wire to the client')
  t.equal(tap.toServer().includes(secret.slice(4, 12)), false, 'nor a part of it')
}

t.test('the tap sees a secret that is sent in clear: the control of all that follows', async t => {
  const port = await serve(
    t,
    net.createServer(socket => socket.pipe(socket)),
  )
  const tap = await tapped(t, port)
  const socket = net.connect(tap.port, '127.0.0.1')
  socket.end(secret)
  t.equal(await text(socket), secret)
  t.ok(tap.toServer().includes(secret))
  t.ok(tap.toClient().includes(secret))
})

t.test('a secured exchange, written before connect and after, both ways', async t => {
  const { port } = await listening(t, {}, socket => {
    socket.on('error', () => {})
    socket.write(secret)
    socket.pipe(socket)
  })
  const tap = await tapped(t, port)
  const socket = createConnection({ port: tap.port, host: '127.0.0.1', security: await trust() })
  socket.write(secret)
  await event(socket, 'connect')
  socket.end(secret)
  t.equal(await text(socket), secret + secret + secret)
  absent(t, tap)
  t.ok(tap.toServer().length > 500, 'there was something to see')
})

t.test('a server whose authority is not trusted', async t => {
  const { cert, key } = await strangerIdentity()
  const { port } = await listening(t, { security: { cert, key } }, socket => {
    socket.on('error', () => {})
    socket.on('data', () => t.fail('the wrong server learns nothing'))
  })
  const tap = await tapped(t, port)
  const error = await attempt(tap, await trust())
  t.match(error, { code: /SELF_SIGNED|UNABLE_TO/, peer: `127.0.0.1:${tap.port}` })
  absent(t, tap)
})

t.test('a server with another name', async t => {
  const { port } = await listening(t, {}, socket => {
    socket.on('error', () => {})
    socket.on('data', () => t.fail('the wrong server learns nothing'))
  })
  const tap = await tapped(t, port)
  const error = await attempt(tap, await trust(), { peerTargetName: 'host/other.example' })
  t.match(error, {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    message: /host\/other\.example.*localhost/,
  })
  absent(t, tap)
})

t.test('a server with another key than the pinned one', async t => {
  const { cert, key } = await selfSignedIdentity(['a.example'])
  const { port } = await listening(t, { security: { cert, key } }, socket => {
    socket.on('error', () => {})
    socket.on('data', () => t.fail('the wrong server learns nothing'))
  })
  const tap = await tapped(t, port)
  const { pin } = await selfSignedIdentity(['b.example'])
  t.match(await attempt(tap, {}, { peerTargetName: pin }), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  })
  absent(t, tap)
})

t.test('a server that speaks plain text, or closes, or answers garbage', async t => {
  for (const [name, answer, code] of [
    ['a banner', '220 mail.example ESMTP ready\r\n', 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['plain HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['nothing but an end', '', 'ECONNRESET'],
    ['a broken record', Buffer.from('16030300ff', 'hex'), /ECONNRESET|ERR_SSL/],
    ['an alert', Buffer.from('15030300020228', 'hex'), 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
  ] as const) {
    const port = await serve(
      t,
      net.createServer(socket => {
        socket.on('data', data => t.notOk(String(data).includes(secret)))
        socket.end(answer)
      }),
    )
    const tap = await tapped(t, port)
    t.match(await attempt(tap, await trust()), { code }, name)
    absent(t, tap)
  }
})

t.test('a silent server: nothing but the ClientHello, until the handshake times out', async t => {
  const port = await serve(
    t,
    net.createServer(socket => socket.resume()),
  )
  const tap = await tapped(t, port)
  const error = await attempt(tap, { handshakeTimeout: 100 })
  t.match(error, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' })
  absent(t, tap)
  t.equal(tap.toServer()[0], 22, 'a handshake record')
  t.equal(tap.toServer().length, 5 + tap.toServer().readUInt16BE(3), 'and not one byte more')
})

t.test('a server that refuses our certificate, at the end of our handshake', async t => {
  const { ca } = await trust()
  const stranger = await strangerIdentity(['client.example'])
  const security = { cert: stranger.cert, key: stranger.key, ca }

  const ours = await listening(t, { security: { ca, requestCert: true } }, () =>
    t.fail('the client is not let in'),
  )
  const tap = await tapped(t, ours.port)
  t.match(await attempt(tap, security), { code: 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE' })
  t.match(ours.refused, [{ code: /SELF_SIGNED|UNABLE_TO/ }])
  absent(t, tap)

  const identity = await testIdentity()
  let received = 0
  const port = await serve(
    t,
    tls.createServer({ cert: identity.cert, key: identity.key, ca, requestCert: true }, socket =>
      socket.on('data', data => (received += data.length)),
    ),
  )
  const foreign = await tapped(t, port)
  const socket = createConnection({ port: foreign.port, host: '127.0.0.1', security })
  socket.write(secret)
  t.match((await event(socket, 'error'))[0], { code: /ERR_PEER_CLOSED|ECONNRESET|EPIPE/ })
  t.equal(received, 0)
  absent(t, foreign)
})

t.test('settings or a name that fail: nothing is sent at all', async t => {
  const port = await serve(t, net.createServer())
  const tap = await tapped(t, port)
  const cases: Record<string, (socket: SecureSocket) => unknown> = {
    'bad settings': socket => socket.setSecurity({ minVersion: 'TLSv1' as never }),
    'settings twice': socket => [socket.setSecurity({}), socket.setSecurity({})],
    'no name': socket => socket.setPeerTargetName(''),
    'a bad name': socket => socket.setPeerTargetName('two words'),
    'a certificate that is none': socket => socket.setSecurity({ cert: 'x', key: 'y' }),
    'no cipher suite that encrypts': socket => socket.setSecurity({ ciphers: 'NULL-SHA256' }),
    'nobody trusted': socket => socket.setSecurity({ ca: [] }),
    // That of Windows takes no certificates, that of Linux only such as are some.
    'no IPsec here': socket => socket.setSecurity({ protocol: 'ipsec', cert: 'x', key: 'y' }),
  }
  for (const [name, prepare] of Object.entries(cases)) {
    const socket = new SecureSocket()
    prepare(socket)
    socket.connect(tap.port, '127.0.0.1')
    socket.write(secret)
    const [error] = await event(socket, 'error')
    t.match(
      error,
      { code: /EINVAL|EFAULT|EPROTO|EOPNOTSUPP|ENOCREDENTIAL|ERR_PROVIDER_UNAVAILABLE/ },
      name,
    )
    t.equal(await socket.secured.catch(reason => reason), error, 'and the promise says the same')
  }
  t.equal(tap.connections, 0, 'not even a connection')
})

t.test('destroyed half-way, at every stage of the handshake', async t => {
  const { port } = await listening(
    t,
    { security: { ...(await trust()), requestCert: true } },
    socket => {
      socket.on('error', () => {})
      socket.on('data', () => {})
    },
  )
  const security = await clientIdentity()
  for (let cutAt = 0; cutAt < 4000; cutAt += 397) {
    const tap = await tapped(t, port)
    const watched = net.createServer(client => {
      // Cuts both sides after so many bytes of the server's flight.
      const server = net.connect(tap.port, '127.0.0.1')
      let seen = 0
      client.on('error', () => {}).on('data', data => server.write(data))
      server
        .on('error', () => {})
        .on('data', data => {
          const rest = data.subarray(0, Math.max(0, cutAt - seen))
          seen += data.length
          if (rest.length > 0) client.write(rest)
          if (seen >= cutAt) client.destroy()
        })
      client.on('close', () => server.destroy())
      server.on('close', () => client.destroy())
    })
    const through = await serve(t, watched)
    const socket = createConnection({ port: through, host: '127.0.0.1', security })
    socket.write(secret)
    // A cut beyond the last byte of the handshake cuts nothing.
    socket.on('connect', () => socket.destroy())
    await closed(socket)
    absent(t, tap)
  }
  for (const name of ['lookup', 'connectionAttempt', 'connect'] as const) {
    const tap = await tapped(t, port)
    const socket = createConnection({
      port: tap.port,
      host: 'localhost',
      family: 4,
      security,
    } as net.NetConnectOpts)
    socket.write(secret)
    socket.on(name, () => socket.destroy())
    await closed(socket)
    absent(t, tap)
  }
})

t.test('a server writes nothing in clear to a client that speaks no TLS', async t => {
  const { port, server, refused } = await listening(t, {}, socket => socket.end(secret))
  const tap = await tapped(t, port)
  const client = net.connect(tap.port, '127.0.0.1')
  client.on('error', () => {})
  const told = event(server, 'tlsClientError')
  const end = closed(client.resume())
  client.write(`GET / HTTP/1.1\r\nX: ${'x'.repeat(100)}\r\n\r\n`)
  await told
  await end
  t.match(refused, [{ code: /ERR_SSL_(HTTP_REQUEST|WRONG_VERSION_NUMBER)/ }])
  absent(t, tap)
  t.ok(tap.toClient().length < 10, 'an alert at most')
})

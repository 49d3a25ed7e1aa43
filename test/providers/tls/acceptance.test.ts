/**
 * In TLS 1.3 a client is done before its certificate is judged, and a refusal then looks like a
 * clean end. Between two ends of this library 'connect' at the client means that the server has
 * accepted; with a foreign server the end says both possibilities.
 */
import net from 'node:net'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection } from '../../../src/net.js'
import {
  applicationProtocol,
  asksForAcceptance,
  hasAcceptance,
  supportedWithAcceptance,
  withAcceptance,
} from '../../../src/providers/tls/acceptance.js'
import { closed, event, failure, text } from '../../support/events.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../../support/identities.js'
import { clientIdentity, listening, trust } from '../../support/secured.js'

t.test('the tokens, without network', async t => {
  t.same(withAcceptance([]), ['secure-socket/1'])
  t.same(withAcceptance(['h2', 'x']), [
    'secure-socket/1+h2',
    'h2',
    'secure-socket/1+x',
    'x',
    'secure-socket/1*',
  ])
  const long = 'p'.repeat(250)
  t.same(withAcceptance([long]), [long, 'secure-socket/1*'], 'too long for the token')
  t.same(supportedWithAcceptance(['h2']), ['secure-socket/1+h2', 'h2', 'secure-socket/1'])
  t.same(supportedWithAcceptance([]), ['secure-socket/1', 'secure-socket/1*'])
  for (const [negotiated, accepted, shown] of [
    ['secure-socket/1', true, false],
    ['secure-socket/1*', true, false],
    ['secure-socket/1+h2', true, 'h2'],
    ['h2', false, 'h2'],
    ['secure-socket/12', false, 'secure-socket/12'],
    [false, false, false],
    [null, false, false],
  ] as const) {
    t.equal(hasAcceptance(negotiated), accepted)
    t.equal(applicationProtocol(negotiated), shown)
  }
  t.equal(asksForAcceptance(Buffer.from('xxsecure-socket/1+h2xx')), true)
  t.equal(asksForAcceptance(Buffer.from('h2')), false)
})

t.test("'connect' never fires at a client that the server refuses", async t => {
  const { ca } = await trust()
  for (const [serverAlpn, alpn] of [
    [[], []],
    [[], ['a']],
    [['a'], []],
    [
      ['a', 'b'],
      ['b', 'c'],
    ],
  ] as [string[], string[]][]) {
    const { port, refused } = await listening(
      t,
      { security: { ca, requestCert: true, alpn: serverAlpn } },
      () => t.fail('not let in'),
    )
    for (const identity of [await strangerIdentity(), await expiredIdentity()]) {
      const { cert, key } = identity
      const socket = createConnection({
        port,
        host: '127.0.0.1',
        security: { cert, key, ca, alpn },
      })
      socket.on('connect', () => t.fail('not accepted'))
      const [error] = await event(socket, 'error')
      t.match(error, { code: 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE', peer: `127.0.0.1:${port}` })
    }
    t.match(refused, [{ code: /SELF_SIGNED|UNABLE_TO/ }, { code: 'CERT_HAS_EXPIRED' }])
  }
})

t.test('accepted: the byte and the token are never shown to the application', async t => {
  const { ca } = await trust()
  const security = await clientIdentity()
  for (const [serverAlpn, clientAlpn, shown] of [
    [[], [], false],
    [[], ['x'], false],
    [['x'], [], false],
    [['x', 'y'], ['y'], 'y'],
  ] as [string[], string[], string | false][]) {
    const { port } = await listening(
      t,
      { security: { ca, requestCert: true, alpn: serverAlpn } },
      socket => {
        t.equal(socket.alpnProtocol, shown)
        socket.end('first')
      },
    )
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      security: { ...security, alpn: clientAlpn },
    })
    t.equal(await text(socket), 'first')
    t.equal(socket.alpnProtocol, shown, `${serverAlpn} and ${clientAlpn}`)
    t.equal(socket.bytesRead, 5)
  }
})

t.test('a client without a certificate does not ask', async t => {
  const server = tls.createServer(
    {
      ...(await testIdentity()),
      ALPNCallback: ({ protocols }) => {
        t.same(protocols, ['x'])
        return 'x'
      },
    } as tls.TlsOptions,
    socket => socket.end(),
  )
  const port = await serve(t, server)
  await text(
    createConnection({ port, host: '127.0.0.1', security: { ...(await trust()), alpn: ['x'] } }),
  )
})

t.test('a client that asks for other protocols is served by a server that has none', async t => {
  // A server that answered "no protocol in common" would refuse clients which node:tls accepts.
  const { ca } = await trust()
  const { port } = await listening(t, { security: { ca, requestCert: true } }, socket =>
    socket.end('served'),
  )
  const { cert, key } = await testIdentity(['client.example'])
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    cert,
    key,
    ca,
    ALPNProtocols: ['http/1.1'],
  })
  t.equal(await text(socket), 'served')
  t.equal(socket.alpnProtocol, false)
})

t.test('the ClientHello decides also when it comes in pieces', async t => {
  const { ca } = await trust()
  const { port } = await listening(t, { security: { ca, requestCert: true } }, socket =>
    socket.end('whole'),
  )
  const proxy = net.createServer(client => {
    const server = net.connect({ port, host: '127.0.0.1', noDelay: true })
    server.on('error', () => {}).pipe(client.on('error', () => {}))
    client.once('data', async data => {
      client.pause()
      for (const at of [0, 1, 5, 60, 200]) {
        const next = [0, 1, 5, 60, 200].find(each => each > at) ?? data.length
        await new Promise(resolve => server.write(data.subarray(at, next), resolve))
        await new Promise(resolve => setImmediate(resolve))
      }
      client.pipe(server)
    })
  })
  const through = await serve(t, proxy)
  const socket = createConnection({
    port: through,
    host: '127.0.0.1',
    security: await clientIdentity(),
  })
  t.equal(await text(socket), 'whole')
})

t.test(
  'a foreign server that does not know the token is dialled again without, and remembered',
  async t => {
    const hellos: string[][] = []
    const server = tls.createServer(
      {
        ...(await testIdentity()),
        ALPNCallback: ({ protocols }) => {
          hellos.push(protocols)
          return undefined
        },
      } as tls.TlsOptions,
      socket => socket.end('ok'),
    )
    const port = await serve(t, server)
    const security = await clientIdentity()
    for (let i = 0; i < 2; i++) {
      t.equal(await text(createConnection({ port, host: '127.0.0.1', security })), 'ok')
    }
    t.same(hellos, [['secure-socket/1']], 'asked once, then never again')
  },
)

t.test(
  'a foreign server: an end before any sign of acceptance is an error that says both',
  async t => {
    const identity = await testIdentity()
    const options = { cert: identity.cert, key: identity.key, ca: identity.ca, requestCert: true }
    const stranger = await strangerIdentity()

    // It refuses our certificate: node:tls closes without an alert.
    const refusing = await serve(t, tls.createServer(options))
    const refusedSocket = createConnection({
      port: refusing,
      host: '127.0.0.1',
      security: { cert: stranger.cert, key: stranger.key, ca: identity.ca },
    })
    t.match((await event(refusedSocket.resume(), 'error'))[0], {
      code: /ERR_PEER_CLOSED_BEFORE_ACCEPTANCE|ECONNRESET/,
    })

    // It has sent data: that it ends afterwards is no refusal.
    const accepting = await serve(
      t,
      tls.createServer(options, socket => socket.end('data')),
    )
    const accepted = createConnection({
      port: accepting,
      host: '127.0.0.1',
      security: await clientIdentity(),
    })
    t.equal(await text(accepted), 'data')

    // It asks for no certificate: its end is a clean one.
    const anonymous = await serve(
      t,
      tls.createServer({ cert: identity.cert, key: identity.key }, socket => socket.end()),
    )
    t.equal(
      await text(
        createConnection({ port: anonymous, host: '127.0.0.1', security: await clientIdentity() }),
      ),
      '',
    )
  },
)

t.test('a server that agreed to the token and says something else is no peer of ours', async t => {
  const identity = await testIdentity()
  const server = tls.createServer(
    { cert: identity.cert, key: identity.key, ALPNProtocols: ['secure-socket/1'] },
    socket => socket.on('error', () => {}).write('x'),
  )
  const port = await serve(t, server)
  const socket = createConnection({ port, host: '127.0.0.1', security: await clientIdentity() })
  const failed = event(socket, 'error')
  t.match(await failure(socket.secured), { code: 'EPROTO' })
  t.match(await failed, [{ code: 'EPROTO' }])
  await closed(socket)
})

async function serve(t: Test, server: net.Server): Promise<number> {
  const open = new Set<net.Socket>()
  server.on('connection', socket => {
    open.add(socket)
    socket.on('error', () => {})
  })
  server.on('secureConnection', socket => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(async () => {
    for (const socket of open) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return (server.address() as net.AddressInfo).port
}

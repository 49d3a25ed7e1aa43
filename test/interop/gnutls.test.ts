/** GnuTLS, which shares no code with the OpenSSL inside Node, at either end. */
import t, { type Test } from 'tap'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { clientIdentity, listening, trust } from '../support/secured.js'
import { exceptUnderWine } from '../support/wine.js'
import { wireTap } from '../support/wire-tap.js'
import { files } from './files.js'
import { gnutlsCli, gnutlsServ } from './gnutls.js'

const skip = !requireProgram(t, 'gnutls-cli') || !requireProgram(t, 'gnutls-serv')
const save = files(t)
const { ca } = await trust()
const authority = save({ ca }).ca
const server = await testIdentity()
const client = await clientIdentity()
const own = save(await testIdentity(['client.example']))
const trusting = ['--x509cafile', authority, '--verify-hostname', 'localhost']
const versions = [
  { version: 'TLSv1.3', description: 'TLS1.3', priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.3' },
  { version: 'TLSv1.2', description: 'TLS1.2', priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.2' },
] as const
const psk = {
  key: Buffer.from('a key of thirty-two bytes, shared'),
  priority: 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK',
}

// Its client, our server.

for (const { version, description, priority } of versions) {
  t.test(`gnutls-cli and our server know each other, ${version}`, { skip }, async t => {
    const { port, server } = await listening(t, { security: { ca, requestCert: true } }, echo)
    const client = gnutlsCli(t, port, '--priority', priority, ...trusting, ...certificate(own))
    const [socket] = (await event(server, 'connection')) as [SecureSocket]
    t.match(await socket.querySecurity(), {
      secured: true,
      encrypted: true,
      version,
      resumed: false,
      peer: { names: ['client.example'] },
    })
    await client.said(/Simple Client Mode/)
    t.match(client.output, /- Status: The certificate is trusted\./)
    t.match(client.output, new RegExp(`- Description: \\(${description}`))
    client.type('across the makers\n')
    await client.said(/across the makers\n/)
    const ended = event(socket, 'end')
    t.same(await client.finish(), { code: 0, signal: null })
    await ended
  })

  t.test(`gnutls-cli has to prove who it is, ${version}`, { skip }, async t => {
    const security = { ca, requestCert: true }
    for (const [what, credentials, code] of [
      ['no certificate', null, 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'],
      [
        'another authority',
        await strangerIdentity(['client.example']),
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      ],
      ['expired', await expiredIdentity(['client.example']), 'CERT_HAS_EXPIRED'],
    ] as const) {
      const { port, refused, server } = await listening(t, { security }, () => t.fail(what))
      const over = event(server, 'tlsClientError')
      const shown = credentials ? shows(credentials) : []
      gnutlsCli(t, port, '--priority', priority, ...trusting, ...shown)
      await over
      t.match(refused, [{ code }], what)
    }
  })

  t.test(`gnutls-cli resumes with our server, ${version}`, { skip }, async t => {
    const { port, server } = await listening(t, { security: { ca, requestCert: true } }, echo)
    const infos: unknown[] = []
    server.on('connection', async socket => infos.push(await socket.querySecurity()))
    const client = gnutlsCli(
      t,
      port,
      ...['--priority', priority, '--resume', '--waitresumption', ...trusting],
      ...certificate(own),
    )
    await client.said(/Resume Handshake was completed/)
    client.type('once more\n')
    await client.said(/once more\n/)
    const peer = { names: ['client.example'] }
    t.match(client.output, /\*\*\* This is a resumed session/)
    t.match(infos, [
      { resumed: false, peer },
      { resumed: true, peer },
    ])
  })

  t.test(`gnutls-cli exports the same keying material, ${version}`, { skip }, async t => {
    const { port, server } = await listening(t, {})
    const client = gnutlsCli(
      t,
      port,
      ...['--priority', priority, '--keymatexport', 'EXPORTER-interop'],
      ...['--keymatexportsize', '48', ...trusting],
    )
    const [socket] = (await event(server, 'connection')) as [SecureSocket]
    const [, theirs] = await client.said(/Key material: ([0-9a-f]+)/)
    t.equal(socket.exportKeyingMaterial(48, 'EXPORTER-interop').toString('hex'), theirs)
  })
}

t.test('gnutls-cli refuses our server where it should', { skip }, async t => {
  const { port, refused } = await listening(t, {})
  const stranger = save({ ca: (await strangerIdentity()).ca }).ca
  for (const [what, args, reason] of [
    ['another authority', ['--x509cafile', stranger], /issuer is unknown/],
    [
      'another name',
      ['--x509cafile', authority, '--verify-hostname', 'other.example'],
      /name in the certificate does not match/,
    ],
  ] as const) {
    const client = gnutlsCli(t, port, ...args)
    t.not((await client.ended()).code, 0, what)
    t.match(client.output, reason)
  }
  t.ok(refused.length <= 2, 'at most the alerts')
})

t.test('gnutls-cli by pre-shared key', { skip }, async t => {
  const security = { cert: undefined, key: undefined, psk: { sensor: psk.key } }
  const keyed = (identity: string, key: Buffer) => [
    ...['--priority', psk.priority],
    ...['--pskusername', identity, '--pskkey', key.toString('hex')],
  ]
  await t.test('the right key', async t => {
    const { port, server } = await listening(t, { security }, echo)
    const client = gnutlsCli(t, port, ...keyed('sensor', psk.key))
    const [socket] = (await event(server, 'connection')) as [SecureSocket]
    t.match(await socket.querySecurity(), {
      version: 'TLSv1.3',
      resumed: false,
      peer: { names: [], pskIdentity: 'sensor' },
    })
    client.type('by key alone\n')
    await client.said(/by key alone\n/)
  })
  await t.test('the wrong key, and an unknown identity', async t => {
    for (const [identity, key, code] of [
      ['sensor', Buffer.alloc(32, 7), /^ERR_SSL_/],
      ['stranger', psk.key, 'ERR_PEER_NOT_AUTHENTICATED'],
    ] as const) {
      const { port, refused, server } = await listening(t, { security }, () => t.fail('let in'))
      const over = event(server, 'tlsClientError')
      const client = gnutlsCli(t, port, ...keyed(identity, key))
      await over
      t.not((await client.ended()).code, 0)
      t.match(refused, [{ code }], identity)
    }
  })
})

// Its server, our client.

for (const { version, priority } of versions) {
  t.test(`gnutls-serv and our client know each other, ${version}`, { skip }, async t => {
    const { port, program } = await gnutlsServ(
      t,
      ...['--priority', priority, '--require-client-cert', '--verify-client-cert'],
      ...['--x509cafile', authority, ...shows(server)],
    )
    const socket = connect(t, port, client)
    t.match(await socket.secured, {
      secured: true,
      version,
      resumed: false,
      peer: { targetName: '127.0.0.1', pin: server.pin },
    })
    t.equal(await answer(socket, 'across the makers\n'), 'across the makers\n')
    await program.said(/Subject: CN=client\.example\n/)
    t.match(program.output, /- Status: The certificate is trusted\./)
    socket.destroy()

    const again = connect(t, port, client)
    t.match(await again.secured, { resumed: true, peer: { pin: server.pin } })
    t.equal(await answer(again, 'once more\n'), 'once more\n')
  })

  // It sends its alert and resets.
  const lost = skip || exceptUnderWine('a reset takes what came before it, with node:net too')
  t.test(`gnutls-serv refuses us without a certificate, ${version}`, { skip: lost }, async t => {
    const { port } = await gnutlsServ(
      t,
      ...['--priority', priority, '--require-client-cert'],
      ...['--x509cafile', authority, ...shows(server)],
    )
    const socket = connect(t, port, { ca })
    socket.on('end', () => t.fail('a refusal is no end'))
    socket.resume()
    const [error] = await event(socket, 'error')
    t.match(error, { code: /^ERR_SSL_.*ALERT/, message: /^127\.0\.0\.1:\d+: / })
  })
}

t.test('gnutls-serv with other protocols, fatally: we dial again', { skip }, async t => {
  const { port } = await gnutlsServ(
    t,
    ...['--require-client-cert', '--alpn', 'http/1.1', '--alpn-fatal'],
    ...['--x509cafile', authority, ...shows(server)],
  )
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  const socket = connect(t, tap.port, client)
  t.equal(await answer(socket, 'after all\n'), 'after all\n')
  t.equal(tap.connections, 2)
  t.equal(socket.alpnProtocol, false)
})

t.test('gnutls-serv by pre-shared key', { skip }, async t => {
  const { pskpasswd } = save({ pskpasswd: `sensor:${psk.key.toString('hex')}\n` })
  const { port } = await gnutlsServ(t, '--priority', psk.priority, '--pskpasswd', pskpasswd)

  const socket = connect(t, port, { psk: { identity: 'sensor', key: psk.key } })
  t.match(await socket.secured, { version: 'TLSv1.3', peer: { pskIdentity: 'sensor' } })
  t.equal(await answer(socket, 'by key alone\n'), 'by key alone\n')

  const wrong = connect(t, port, { psk: { identity: 'sensor', key: Buffer.alloc(32, 7) } })
  wrong.on('connect', () => t.fail('it connected with the wrong key'))
  const [error] = await event(wrong, 'error')
  t.match(error, { code: /^ERR_SSL_/ })
})

function certificate({ cert, key }: { cert: string; key: string }): string[] {
  return ['--x509certfile', cert, '--x509keyfile', key]
}

function shows({ cert, key }: { cert: string; key: string }): string[] {
  return certificate(save({ cert, key }))
}

function connect(t: Test, port: number, security: SecuritySettings): SecureSocket {
  const socket = createConnection({ port, host: '127.0.0.1', security })
  t.teardown(() => socket.destroy())
  return socket
}

/** Writes a line, gives the first that comes back. */
async function answer(socket: SecureSocket, line: string): Promise<string> {
  socket.write(line)
  const [data] = await event(socket, 'data')
  return String(data)
}

function echo(socket: SecureSocket): void {
  socket.on('error', () => {}).pipe(socket)
}

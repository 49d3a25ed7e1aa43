/** `openssl s_client` against our SecureServer: what a stranger's client meets. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { SecureServer } from '../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import { listening, trust } from '../support/secured.js'
import { wireTap } from '../support/wire-tap.js'
import { revocationList } from './authority.js'
import { files, ownDirectory } from './files.js'
import { sClient, sClientWithCommands } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const authority = save({ ca }).ca
const checking = ['-CAfile', authority, '-verify_return_error', '-verify_hostname', 'localhost']
const versions = [
  { flag: '-tls1_3', version: 'TLSv1.3' },
  { flag: '-tls1_2', version: 'TLSv1.2' },
] as const

t.test('it verifies our certificate, and bytes go both ways', { skip }, async t => {
  const { port, server } = await listening(t, {}, echo)
  for (const { flag, version } of versions) {
    const client = sClient(t, port, flag, ...checking)
    const socket = await accepted(server)
    client.type('across the makers\n')
    await client.said(/across the makers\n/)
    t.match(client.output, /Verify return code: 0 \(ok\)/, version)
    t.match(client.output, `New, ${version}, Cipher is ${socket.getCipher()?.name}\n`)
    const info = await socket.querySecurity()
    t.match(info, { secured: true, encrypted: true, protocol: 'tls', version, resumed: false })
    t.equal(info.peer, undefined, 'a client that was not asked has no identity')

    const ended = event(socket, 'end')
    t.same(await client.finish(), { code: 0, signal: null })
    await ended
  }
})

t.test('only the versions between minVersion and maxVersion', { skip }, async t => {
  const alert = /tlsv1 alert protocol version/
  const refusal = { code: 'ERR_SSL_UNSUPPORTED_PROTOCOL', message: /minVersion and maxVersion/ }

  await t.test('TLS 1.1 never', async t => {
    const { port, refused } = await listening(t, {})
    // Below security level 0, OpenSSL itself would not offer it.
    const client = sClient(t, port, '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0')
    t.equal((await client.ended()).code, 1)
    t.match(client.output, alert)
    t.match(refused, [refusal])
  })
  await t.test('TLS 1.2 not with minVersion TLSv1.3', async t => {
    const { port, refused } = await listening(t, { security: { minVersion: 'TLSv1.3' } })
    const client = sClient(t, port, '-tls1_2')
    t.equal((await client.ended()).code, 1)
    t.match(client.output, alert)
    t.match(refused, [refusal])
  })
  await t.test('TLS 1.3 not with maxVersion TLSv1.2', async t => {
    const { port, refused } = await listening(t, { security: { maxVersion: 'TLSv1.2' } })
    const client = sClient(t, port, '-tls1_3')
    t.equal((await client.ended()).code, 1)
    t.match(client.output, alert)
    t.match(refused, [refusal])
    const willing = sClient(t, port)
    await willing.said(/^New, TLSv1\.2, /m)
  })
})

t.test('its certificate is our peer’s identity', { skip }, async t => {
  const security = { ca, requestCert: true }
  const { port, server } = await listening(t, { security }, echo)
  const names = ['client.example', 'spiffe://example.com/client']
  const identity = await testIdentity(names)
  const { cert, key } = save(identity)
  for (const { flag, version } of versions) {
    const client = sClient(t, port, flag, ...checking, '-cert', cert, '-key', key)
    const socket = await accepted(server)
    const { peer } = await socket.querySecurity()
    t.same(peer?.names, names, version)
    t.equal(peer?.pin, identity.pin)
    t.equal(socket.authorized, true)
    client.type('I am known\n')
    await client.said(/I am known\n/)
    await client.finish()
  }
})

t.test('a client that does not prove who it is never becomes a connection', { skip }, async t => {
  const strangers = {
    'no certificate': {
      identity: null,
      code: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
    },
    'a certificate of another authority': {
      identity: await strangerIdentity(['client.example']),
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    },
    'an expired certificate': {
      identity: await expiredIdentity(['client.example']),
      code: 'CERT_HAS_EXPIRED',
    },
    'a certificate for servers only': {
      identity: await testIdentity(['client.example'], { usage: 'server' }),
      code: 'INVALID_PURPOSE',
    },
  }
  for (const [what, { identity, code }] of Object.entries(strangers)) {
    for (const { flag, version } of versions) {
      await t.test(`${what}, ${version}`, async t => {
        const connections: SecureSocket[] = []
        const security = { ca, requestCert: true }
        const { port, refused, server } = await listening(t, { security }, socket => {
          connections.push(socket)
        })
        const own = identity ? save(identity) : null
        const credentials = own ? ['-cert', own.cert, '-key', own.key] : []
        const client = sClient(t, port, flag, ...credentials)
        const refusal = event(server, 'tlsClientError')
        client.type('may I?\n')
        await refusal
        await client.ended()
        t.match(refused, [{ code }])
        t.same(connections, [])
      })
    }
  }
})

t.test('a refusal names the client’s address', { skip }, async t => {
  const { port, refused, server } = await listening(t, { security: { ca, requestCert: true } })
  const { cert, key } = save(await strangerIdentity(['client.example']))
  for (const credentials of [[], ['-cert', cert, '-key', key]]) {
    const refusal = event(server, 'tlsClientError')
    sClient(t, port, ...credentials)
    await refusal
    t.match(refused.pop(), { message: /^127\.0\.0\.1:\d+: /, peer: /^127\.0\.0\.1:\d+$/ })
  }
})

t.test('with rejectUnauthorized: false it is let in, without an identity', { skip }, async t => {
  const security = { ca, requestCert: true, rejectUnauthorized: false }
  const { port, server } = await listening(t, { security }, echo)
  const { cert, key } = save(await strangerIdentity(['client.example']))
  const client = sClient(t, port, ...checking, '-cert', cert, '-key', key)
  const socket = await accepted(server)
  t.equal(socket.authorized, false)
  t.equal(socket.authorizationError, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  t.equal((await socket.querySecurity()).peer, undefined)
  client.type('nobody\n')
  await client.said(/nobody\n/)
})

t.test('a revoked certificate is refused, another of its issuer is not', { skip }, async t => {
  const revoked = await testIdentity(['revoked.example'])
  const security = { ca, requestCert: true, crl: await revocationList(t, revoked.cert) }
  const { port, refused, server } = await listening(t, { security }, echo)

  const bad = save(revoked)
  const refusal = event(server, 'tlsClientError')
  sClient(t, port, '-cert', bad.cert, '-key', bad.key)
  await refusal
  t.match(refused, [{ code: 'CERT_REVOKED', message: /revoked/ }])

  const good = save(await testIdentity(['client.example']))
  sClient(t, port, '-cert', good.cert, '-key', good.key)
  const socket = await accepted(server)
  t.same((await socket.querySecurity()).peer?.names, ['client.example'])
})

t.test('a pre-shared key over TLS 1.3', { skip }, async t => {
  const key = Buffer.from('a key of thirty-two bytes, shared')
  const security = { psk: { sensor: key }, cert: undefined, key: undefined }
  const psk = (identity: string, secret: Buffer) => [
    ...['-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'],
    ...['-psk_identity', identity, '-psk', secret.toString('hex')],
  ]

  await t.test('the right key: the identity is the peer', async t => {
    const { port, server } = await listening(t, { security }, echo)
    const client = sClient(t, port, ...psk('sensor', key))
    const socket = await accepted(server)
    t.match(await socket.querySecurity(), {
      secured: true,
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      resumed: false,
      peer: { names: [], pskIdentity: 'sensor' },
    })
    t.equal(socket.authorized, true)
    client.type('by key alone\n')
    await client.said(/by key alone\n/)
    t.notMatch(client.output, 'BEGIN CERTIFICATE', 'the server showed none')
  })
  await t.test('the wrong key', async t => {
    const { port, refused, server } = await listening(t, { security })
    const refusal = event(server, 'tlsClientError')
    const client = sClient(t, port, ...psk('sensor', Buffer.alloc(32, 7)))
    await refusal
    t.equal((await client.ended()).code, 1)
    t.match(refused, [{ code: 'ERR_SSL_BINDER_DOES_NOT_VERIFY' }])
  })
  await t.test('an unknown identity', async t => {
    const { port, refused, server } = await listening(t, { security })
    const refusal = event(server, 'tlsClientError')
    const client = sClient(t, port, ...psk('stranger', key))
    await refusal
    t.equal((await client.ended()).code, 1)
    t.match(client.output, /alert handshake failure/)
    t.match(refused, [{ code: 'ERR_PEER_NOT_AUTHENTICATED', message: /"stranger" is not known/ }])
    t.equal(refused.length, 1)
  })
  await t.test('an unknown identity, where the server has a certificate too', async t => {
    const both = { ...(await testIdentity()), psk: { sensor: key } }
    const { port, server } = await listening(t, { security: both }, echo)
    sClient(t, port, ...psk('stranger', key))
    const socket = await accepted(server)
    t.equal(socket.authorized, false, 'an identity that was only claimed proves nothing')
    t.equal((await socket.querySecurity()).peer, undefined)
  })
})

t.test('ALPN', { skip }, async t => {
  const { port, refused, server } = await listening(t, { security: { alpn: ['h2', 'http/1.1'] } })
  await t.test('our order decides', async t => {
    const client = sClient(t, port, '-alpn', 'http/1.1,h2')
    const socket = await accepted(server)
    await client.said(/^ALPN protocol: h2$/m)
    t.equal(socket.alpnProtocol, 'h2')
    t.equal((await socket.querySecurity()).alpn, 'h2')
  })
  await t.test('a client without ALPN has no protocol', async t => {
    const client = sClient(t, port)
    const socket = await accepted(server)
    await client.said(/^No ALPN negotiated$/m)
    t.equal(socket.alpnProtocol, false)
  })
  await t.test('no protocol in common ends the handshake, as RFC 7301 has it', async t => {
    const client = sClient(t, port, '-alpn', 'spdy/3')
    t.equal((await client.ended()).code, 1)
    t.match(client.output, /alert no application protocol/)
    t.match(refused, [{ code: 'ERR_SSL_NO_APPLICATION_PROTOCOL' }])
  })
  await t.test('a server without protocols ignores what a client offers', async t => {
    const { port, server } = await listening(t, {})
    const client = sClient(t, port, '-alpn', 'http/1.1')
    const socket = await accepted(server)
    await client.said(/^No ALPN negotiated$/m)
    t.equal(socket.alpnProtocol, false)
  })
})

t.test('SNI is what the client sent', { skip }, async t => {
  const { port, server } = await listening(t, {})
  sClient(t, port, '-servername', 'db.example.com')
  t.equal((await accepted(server)).servername, 'db.example.com')
  sClient(t, port, '-noservername')
  t.equal((await accepted(server)).servername, false)
})

t.test('cipher suites: ours to choose, and none in common is refused', { skip }, async t => {
  const ciphers = 'ECDHE-ECDSA-CHACHA20-POLY1305:TLS_CHACHA20_POLY1305_SHA256'
  const { port, refused, server } = await listening(t, { security: { ciphers } })
  for (const [flag, name, standardName] of [
    ['-tls1_3', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ['-tls1_2', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ] as const) {
    const client = sClient(t, port, flag)
    const socket = await accepted(server)
    await client.said(new RegExp(`Cipher is ${name}$`, 'm'))
    t.equal((await socket.querySecurity()).cipher, standardName)
  }
  const client = sClient(t, port, '-tls1_3', '-ciphersuites', 'TLS_AES_256_GCM_SHA384')
  t.equal((await client.ended()).code, 1)
  t.match(refused, [{ code: 'ERR_SSL_NO_SHARED_CIPHER' }])
})

t.test('keys of every kind that we make, at both ends', { skip }, async t => {
  for (const [algorithm, signature] of [
    ['ecdsa-p384', 'ECDSA'],
    ['ed25519', 'ed25519'],
    ['rsa-2048', 'RSA-PSS'],
  ] as const) {
    const own = await testIdentity(undefined, { algorithm })
    const theirs = await testIdentity(['client.example'], { algorithm })
    const security = { cert: own.cert, key: own.key, ca, requestCert: true }
    const { port, server } = await listening(t, { security })
    const { cert, key } = save(theirs)
    const client = sClient(t, port, ...checking, '-cert', cert, '-key', key)
    const socket = await accepted(server)
    await client.said(/Verify return code: 0 \(ok\)/)
    t.match(client.output, `Peer signature type: ${signature}`)
    t.equal((await socket.querySecurity()).peer?.pin, theirs.pin)
  }
})

t.test('groups and signature algorithms: ours to choose', { skip }, async t => {
  const security = { ecdhCurve: 'P-384', sigalgs: 'ECDSA+SHA256' }
  const { port, server } = await listening(t, { security })
  const client = sClient(t, port)
  await accepted(server)
  await client.said(/Server Temp Key: .*(secp384r1|P-384)/)
  const other = sClient(t, port, '-groups', 'X25519')
  t.equal((await other.ended()).code, 1)
  const another = sClient(t, port, '-sigalgs', 'ECDSA+SHA384')
  t.equal((await another.ended()).code, 1)
})

t.test('a suite without encryption is never agreed on', { skip }, async t => {
  const security = { ciphers: 'ALL:eNULL:@SECLEVEL=0', maxVersion: 'TLSv1.2' as const }
  const { port, refused } = await listening(t, { security })
  const client = sClient(t, port, '-tls1_2', '-cipher', 'eNULL:@SECLEVEL=0')
  t.equal((await client.ended()).code, 1)
  t.match(refused, [{ code: 'ERR_SSL_NO_SHARED_CIPHER' }])
})

t.test('both ends export the same keying material', { skip }, async t => {
  const { port, server } = await listening(t, {})
  for (const { flag, version } of versions) {
    const label = ['-keymatexport', 'EXPORTER-interop', '-keymatexportlen', '48']
    const client = sClient(t, port, flag, ...label)
    const socket = await accepted(server)
    const [, theirs] = await client.said(/Keying material: ([0-9A-F]+)/)
    const ours = socket.exportKeyingMaterial(48, 'EXPORTER-interop')
    t.equal(ours.toString('hex').toUpperCase(), theirs, version)
  }
})

t.test('keylog gives the secrets of the very connection on the wire', { skip }, async t => {
  const { port, server } = await listening(t, { security: { keylog: true } })
  const lines: string[] = []
  server.on('keylog', line => lines.push(String(line).trim()))
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  const theirFile = join(ownDirectory(t), 'keys')
  const client = sClient(t, tap.port, '-tls1_3', '-keylogfile', theirFile)
  await accepted(server)
  await client.said(/Verify return code/)
  await client.finish()

  // Record header 5 bytes, handshake header 4, version 2, then the 32 bytes (RFC 8446, 4.1.2).
  const clientRandom = tap.toServer().subarray(11, 43).toString('hex')
  const labels = lines.map(line => line.split(' ')[0])
  t.ok(labels.includes('CLIENT_TRAFFIC_SECRET_0') && labels.includes('SERVER_TRAFFIC_SECRET_0'))
  for (const line of lines) t.equal(line.split(' ')[1], clientRandom)
  const theirs = readFileSync(theirFile, 'utf8').split('\n')
  for (const line of lines) t.ok(theirs.includes(line), 'the client has derived the same')
})

t.test('without keylog nobody is told a secret', { skip }, async t => {
  const { port, server } = await listening(t, {})
  server.on('keylog', () => t.fail('a secret was given away'))
  sClient(t, port)
  await accepted(server)
  t.pass('connected')
})

t.test('a resumed client is still the one that it was', { skip }, async t => {
  for (const { flag, version } of versions) {
    await t.test(version, async t => {
      const security = { ca, requestCert: true }
      const { port, server } = await listening(t, { security }, echo)
      const { cert, key } = save(await testIdentity(['client.example']))
      const session = join(ownDirectory(t), 'session')
      const credentials = [flag, '-cert', cert, '-key', key]

      const first = sClient(t, port, ...credentials, '-sess_out', session)
      const full = await accepted(server)
      t.equal((await full.querySecurity()).resumed, false)
      // A ticket of TLS 1.3 comes after the handshake, so before the echo.
      first.type('keep this\n')
      await first.said(/keep this\n/)
      // What is sent before the handshake could be sent again by others (RFC 8446, section 8).
      if (version === 'TLSv1.3') t.match(first.output, /Max Early Data: 0\b/)
      // What else could be carried from one handshake into another (RFC 7627).
      else t.match(first.output, /Extended master secret: yes/)
      await first.finish()

      const second = sClient(t, port, ...credentials, '-sess_in', session)
      const again = await accepted(server)
      await second.said(new RegExp(`^Reused, ${version}`, 'm'))
      t.match(await again.querySecurity(), {
        resumed: true,
        peer: { names: ['client.example'] },
      })
      t.equal(again.authorized, true)
    })
  }
})

t.test('a session of a server that asked no certificate opens no other', { skip }, async t => {
  const ticketKeys = Buffer.alloc(48, 5)
  for (const { flag, version } of versions) {
    await t.test(version, async t => {
      const open = await listening(t, { security: { ticketKeys } }, echo)
      const strict = await listening(t, { security: { ticketKeys, ca, requestCert: true } })
      const session = join(ownDirectory(t), 'session')
      const first = sClient(t, open.port, flag, '-sess_out', session)
      first.type('keep this\n')
      await first.said(/keep this\n/)
      await first.finish()

      const refusal = event(strict.server, 'tlsClientError')
      const second = sClient(t, strict.port, flag, '-sess_in', session)
      await refusal
      await second.ended()
      t.match(strict.refused, [{ code: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE' }])
    })
  }
})

t.test('a client may renew its keys (TLS 1.3), and all goes on', { skip }, async t => {
  const { port, server } = await listening(t, {}, echo)
  const client = sClientWithCommands(t, port, '-tls1_3')
  await accepted(server)
  // "K": renew mine, and renew yours.
  client.type('K\n')
  await client.said(/KEYUPDATE\n/)
  client.type('under new keys\n')
  await client.said(/under new keys\n/)
})

t.test('a client may not renegotiate (TLS 1.2)', { skip }, async t => {
  const { port, server } = await listening(t, {}, echo)
  const client = sClientWithCommands(t, port, '-tls1_2')
  const socket = await accepted(server)
  const over = event(socket, 'error')
  client.type('R\n')
  const [error] = await over
  t.equal((error as { code?: string }).code, 'ERR_TLS_RENEGOTIATION_DISABLED')
  t.equal((await client.ended()).code, 1)
  t.match(client.output, /RENEGOTIATING/)
})

t.test('acceptance, as docs/api.md describes it to other makers', { skip }, async t => {
  const { cert, key } = save(await testIdentity(['client.example']))
  const credentials = ['-cert', cert, '-key', key, '-quiet']
  const accepts = '\x01'

  await t.test('a server without protocols', async t => {
    const { port, server } = await listening(t, { security: { ca, requestCert: true } }, greet)
    const client = sClient(t, port, ...credentials, '-alpn', 'secure-socket/1')
    const socket = await accepted(server)
    await client.said(new RegExp(`${accepts}greetings\n`))
    t.equal(socket.alpnProtocol, false, 'the application sees no token')
    t.equal(socket.bytesWritten, 'greetings\n'.length, 'nor does it count our byte')
  })
  await t.test('a server with protocols', async t => {
    const security = { ca, requestCert: true, alpn: ['mqtt'] }
    const { port, server } = await listening(t, { security }, greet)
    const client = sClient(t, port, ...credentials, '-alpn', 'secure-socket/1+mqtt,mqtt')
    const socket = await accepted(server)
    await client.said(new RegExp(`${accepts}greetings\n`))
    t.equal(socket.alpnProtocol, 'mqtt')
  })
  await t.test('a client with protocols at a server without', async t => {
    const { port, server } = await listening(t, { security: { ca, requestCert: true } }, greet)
    const offered = 'secure-socket/1+mqtt,mqtt,secure-socket/1*'
    const client = sClient(t, port, ...credentials, '-alpn', offered)
    const socket = await accepted(server)
    await client.said(new RegExp(`${accepts}greetings\n`))
    t.equal(socket.alpnProtocol, false)
  })
  await t.test('a client with other protocols than the server has none in common', async t => {
    const security = { ca, requestCert: true, alpn: ['amqp'] }
    const { port, refused } = await listening(t, { security }, () => t.fail('it was let in'))
    const offered = 'secure-socket/1+mqtt,mqtt,secure-socket/1*'
    const client = sClient(t, port, ...credentials, '-alpn', offered)
    t.equal((await client.ended()).code, 1)
    t.match(refused, [{ code: 'ERR_SSL_NO_APPLICATION_PROTOCOL' }])
  })
  await t.test('who does not ask for it gets no byte', async t => {
    const security = { ca, requestCert: true, alpn: ['mqtt'] }
    const { port } = await listening(t, { security }, greet)
    const client = sClient(t, port, ...credentials, '-alpn', 'mqtt')
    await client.said(/greetings\n/)
    t.notMatch(client.output, accepts)
  })
  await t.test('who is refused gets no byte', async t => {
    const { port, server } = await listening(t, { security: { ca, requestCert: true } }, greet)
    const own = save(await strangerIdentity(['client.example']))
    const refusal = event(server, 'tlsClientError')
    const client = sClient(
      t,
      port,
      ...['-cert', own.cert, '-key', own.key, '-quiet', '-alpn', 'secure-socket/1'],
    )
    await refusal
    await client.ended()
    t.notMatch(client.output, accepts)
  })
})

function echo(socket: SecureSocket): void {
  socket.on('error', () => {}).pipe(socket)
}

function greet(socket: SecureSocket): void {
  socket.on('error', () => {})
  socket.write('greetings\n')
}

/** The next connection that the server lets in. */
async function accepted(server: InstanceType<typeof SecureServer>): Promise<SecureSocket> {
  const [socket] = await event(server, 'connection')
  return socket as SecureSocket
}

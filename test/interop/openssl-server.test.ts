/** Our SecureSocket against `openssl s_server`: what we accept of a stranger's server, and what not. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Identity } from '../../src/identity/identity.js'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import {
  expiredIdentity,
  selfSignedIdentity,
  strangerIdentity,
  testIdentity,
} from '../support/identities.js'
import { run } from '../support/program.js'
import { clientIdentity, trust } from '../support/secured.js'
import { until } from '../support/until.js'
import { wireTap } from '../support/wire-tap.js'
import { revocationList } from './authority.js'
import { files, ownDirectory } from './files.js'
import { sServer, sServerAt } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const versions = ['TLSv1.3', 'TLSv1.2'] as const
const { ca } = await trust()
const server = await testIdentity()
const client = await clientIdentity()

t.test('we verify its certificate, and bytes go both ways', { skip }, async t => {
  for (const version of versions) {
    const { port, program } = await sServer(t, ...shows(server))
    const socket = connect(t, { port, security: { ca, maxVersion: version } })
    const info = await socket.secured
    t.match(info, {
      secured: true,
      encrypted: true,
      protocol: 'tls',
      version,
      resumed: false,
      peer: { targetName: '127.0.0.1', names: ['localhost', '127.0.0.1', '::1'], pin: server.pin },
    })
    t.equal(socket.authorized, true)
    socket.write('to the stranger\n')
    await program.said(/to the stranger\n/)
    program.type('to us\n')
    const [data] = await event(socket, 'data')
    t.equal(String(data), 'to us\n')
    socket.end()
    await program.said(/DONE/)
  }
})

t.test('only the versions between minVersion and maxVersion', { skip }, async t => {
  const oldest = ['-cipher', 'ALL:@SECLEVEL=0', '-tls1_1']
  for (const [what, flags, security, code] of [
    ['TLS 1.1 never', oldest, {}, /ERR_SSL_(TLSV1_ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)/],
    ['TLS 1.2', ['-tls1_2'], { minVersion: 'TLSv1.3' }, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
    ['TLS 1.3', ['-tls1_3'], { maxVersion: 'TLSv1.2' }, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
  ] as const) {
    const { port } = await sServer(t, ...shows(server), ...flags)
    const error = await refusal(t, { port, security: { ca, ...security } })
    t.match(error, { code, message: /minVersion and maxVersion/ }, what)
  }
})

t.test('its name: what the certificate proves is accepted', { skip }, async t => {
  const names = ['db.example.com', '127.0.0.1', '*.example.org', 'spiffe://example.com/db']
  const { port } = await sServer(t, ...shows(await testIdentity(names)))
  for (const peerTargetName of [
    'db.example.com',
    'host/db.example.com',
    'postgres/db.example.com:5432/main',
    'one.example.org',
    '127.0.0.1',
    'host/127.0.0.1',
    'spiffe://example.com/db',
  ]) {
    const socket = connect(t, { port, peerTargetName, security: { ca } })
    const { peer } = await socket.secured
    t.equal(peer?.targetName, peerTargetName)
    await gone(socket)
  }
})

t.test('its name: what the certificate does not prove is refused', { skip }, async t => {
  const names = ['db.example.com', '*.example.org', 'spiffe://example.com/db']
  const { port } = await sServer(t, ...shows(await testIdentity(names)))
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  for (const peerTargetName of [
    undefined, // then it is the host, 127.0.0.1
    'other.example.com',
    'host/example.org',
    'host/two.levels.example.org',
    '127.0.0.1',
    'spiffe://example.com/db2',
    server.pin,
  ]) {
    const name = peerTargetName === undefined ? {} : { peerTargetName }
    const error = await refusal(t, { port: tap.port, ...name, security: { ca } })
    const proved = peerTargetName?.startsWith('sha256/') ? /sha256/ : /db\.example\.com/
    t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }, String(peerTargetName))
    t.match(error.message, proved, 'it says what the peer has proved')
    t.ok(error.message.includes(peerTargetName ?? '127.0.0.1'), 'and what it had to prove')
  }
})

t.test('a name that stands in CN only proves nothing', { skip }, async t => {
  const directory = ownDirectory(t)
  const own = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -days 1'
  await run('openssl', ['req', '-x509', ...own.split(' '), '-subj', '/CN=localhost'], {
    cwd: directory,
  })
  const [cert, key] = [join(directory, 'cert'), join(directory, 'key')]
  const { port } = await sServer(t, '-cert', cert, '-key', key)
  const error = await refusal(t, {
    port,
    peerTargetName: 'localhost',
    security: { ca: readFileSync(cert) },
  })
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH', message: /no name at all/ })
})

t.test('a server that we have no reason to trust is refused', { skip }, async t => {
  const crl = await revocationList(t, server.cert)
  const listOfOthers = await revocationList(t)
  for (const [what, identity, security, code] of [
    ['another authority', await strangerIdentity(), {}, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['nobody', await selfSignedIdentity(), {}, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['the past', await expiredIdentity(), {}, 'CERT_HAS_EXPIRED'],
    ['a client', await testIdentity(undefined, { usage: 'client' }), {}, 'INVALID_PURPOSE'],
    ['the revoked', server, { crl }, 'CERT_REVOKED'],
  ] as const) {
    const { port } = await sServer(t, ...shows(identity))
    const error = await refusal(t, { port, security: { ca, ...security } })
    t.match(error, { code, message: /^127\.0\.0\.1:\d+: / }, `a certificate of ${what}`)
  }
  const { port } = await sServer(t, ...shows(server))
  const socket = connect(t, { port, security: { ca, crl: listOfOthers } })
  await socket.secured
  t.pass('a list without this certificate revokes nothing')
})

t.test('a pinned key needs no authority, and no other key will do', { skip }, async t => {
  const self = await selfSignedIdentity(['whoever'])
  const { port } = await sServer(t, ...shows(self))
  const socket = connect(t, { port, peerTargetName: self.pin })
  const { peer } = await socket.secured
  t.match(peer, { pin: self.pin, targetName: self.pin, names: ['whoever'] })
  await gone(socket)

  const error = await refusal(t, { port, peerTargetName: server.pin })
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.ok(error.message.includes(self.pin), 'the message shows the pin that the peer has')
})

t.test('we prove who we are where it asks', { skip }, async t => {
  for (const version of versions) {
    const { port, program } = await sServer(t, ...shows(server), ...asks, '-www')
    const security = { ...client, maxVersion: version }
    const socket = connect(t, { port, security })
    await socket.secured
    // Its status page shows what it knows of us.
    const page = await statusPage(socket)
    t.match(page, /Subject: CN ?= ?client\.example/, version)
    t.ok(await program.said(/verify return:1/), version)
  }
})

t.test('we are refused where we do not prove who we are', { skip }, async t => {
  const credentials = {
    'no certificate': {
      security: { ca },
      // RFC 8446, section 6.2: TLS 1.2 has no alert of its own for it.
      codes: ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
    },
    'a certificate of another authority': {
      security: { ...(await strangerIdentity(['client.example'])), ca },
      codes: ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'],
    },
    'an expired certificate': {
      security: { ...(await expiredIdentity(['client.example'])), ca },
      codes: ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'],
    },
  }
  for (const [what, { security, codes }] of Object.entries(credentials)) {
    for (const [index, version] of versions.entries()) {
      const { port } = await sServer(t, ...shows(server), ...asks)
      const socket = connect(t, { port, security: { ...security, maxVersion: version } })
      // In TLS 1.3 the verdict comes after 'connect'; it is an error there too, never an end.
      socket.on('end', () => t.fail('a refusal is no end'))
      socket.resume()
      const [error] = await once(socket, 'error')
      t.match(error, { code: codes[index], message: /^127\.0\.0\.1:\d+: / }, `${what}, ${version}`)
    }
  }
})

t.test('a pre-shared key over TLS 1.3', { skip }, async t => {
  const key = Buffer.from('a key of thirty-two bytes, shared')
  const psk = ['-tls1_3', '-psk', key.toString('hex'), '-psk_identity', 'sensor']
  const own = { psk: { identity: 'sensor', key } }

  await t.test('the right key: the peer is the identity', async t => {
    const { port, program } = await sServer(t, '-nocert', ...psk)
    const socket = connect(t, { port, security: own })
    t.match(await socket.secured, {
      secured: true,
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      resumed: false,
      peer: { names: [], pskIdentity: 'sensor' },
    })
    socket.write('by key alone\n')
    await program.said(/by key alone\n/)
  })
  await t.test('the wrong key', async t => {
    const { port } = await sServer(t, '-nocert', ...psk)
    const error = await refusal(t, {
      port,
      security: { psk: { identity: 'sensor', key: Buffer.alloc(32, 7) } },
    })
    t.match(error, { code: /^ERR_SSL_/, message: /pre-shared keys of the two ends differ/ })
  })
  await t.test('an identity that the server does not know', async t => {
    const { port } = await sServer(t, '-nocert', ...psk)
    const error = await refusal(t, { port, security: { psk: { identity: 'stranger', key } } })
    t.match(error, { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' })
  })
  await t.test('a server that shows a certificate instead has proved nothing', async t => {
    const { port } = await sServer(t, ...shows(server), '-tls1_3')
    const error = await refusal(t, { port, security: own })
    t.match(error, { code: /UNABLE_TO_|ERR_PEER_NOT_AUTHENTICATED/ })
  })
})

t.test('ALPN', { skip }, async t => {
  const { port } = await sServer(t, ...shows(server), '-alpn', 'http/1.1,h2')
  await t.test('what the server chose', async t => {
    const socket = connect(t, { port, security: { ca, alpn: ['h2', 'http/1.1'] } })
    t.equal((await socket.secured).alpn, 'http/1.1', 'its order decides')
    t.equal(socket.alpnProtocol, 'http/1.1')
    await gone(socket)
  })
  await t.test('nothing in common', async t => {
    const error = await refusal(t, { port, security: { ca, alpn: ['mqtt'] } })
    t.match(error, { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', message: /alpn/ })
  })
  await t.test('a server without ALPN', async t => {
    const { port } = await sServer(t, ...shows(server))
    const socket = connect(t, { port, security: { ca, alpn: ['h2'] } })
    t.equal((await socket.secured).alpn, undefined)
    t.equal(socket.alpnProtocol, false)
  })
})

t.test('SNI is the host of the target name', { skip }, async t => {
  const other = await testIdentity(['db.example.com'])
  const { cert, key } = save({ cert: other.cert, key: other.key })
  for (const [peerTargetName, security, name] of [
    ['host/db.example.com', {}, 'db.example.com'],
    ['db.example.com', {}, 'db.example.com'],
    [other.pin, { servername: 'db.example.com' }, 'db.example.com'],
  ] as const) {
    // It shows this certificate to nobody who asks for another name.
    const { port, program } = await sServer(
      t,
      ...shows(server),
      ...['-servername', 'db.example.com', '-servername_fatal', '-cert2', cert, '-key2', key],
    )
    const socket = connect(t, { port, peerTargetName, security: { ca, ...security } })
    t.same((await socket.secured).peer?.names, ['db.example.com'])
    await program.said(new RegExp(`Hostname in TLS extension: "${name}"`))
  }
  const { port, program } = await sServer(t, ...shows(server), '-tlsextdebug')
  const socket = connect(t, { port, peerTargetName: '127.0.0.1', security: { ca } })
  await socket.secured
  await program.said(/CIPHER is/)
  t.notMatch(program.output, /server name/, 'an address is no SNI (RFC 6066, section 3)')
})

t.test('cipher suites: ours to choose', { skip }, async t => {
  const { port } = await sServer(t, ...shows(server))
  for (const [maxVersion, ciphers, cipher] of [
    ['TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ] as const) {
    const socket = connect(t, { port, security: { ca, ciphers, maxVersion } })
    t.equal((await socket.secured).cipher, cipher)
    await gone(socket)
  }
  const narrow = await sServer(
    t,
    ...shows(server),
    ...['-ciphersuites', 'TLS_AES_256_GCM_SHA384', '-tls1_3'],
  )
  const error = await refusal(t, {
    port: narrow.port,
    security: { ca, ciphers: 'TLS_AES_128_GCM_SHA256' },
  })
  t.match(error, { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', message: /ciphers/ })
})

t.test('we resume by ourselves, and still know who it is', { skip }, async t => {
  for (const version of versions) {
    await t.test(version, async t => {
      const { port } = await sServer(t, ...shows(server), ...asks, '-www')
      const security = { ...client, maxVersion: version }
      const resumed: unknown[] = []
      for (const expected of [`New, ${version}`, `Reused, ${version}`, `Reused, ${version}`]) {
        const socket = connect(t, { port, security })
        const info = await socket.secured
        resumed.push(info.resumed)
        t.equal(socket.isSessionReused(), info.resumed)
        t.match(info.peer, { targetName: '127.0.0.1', pin: server.pin, names: ['localhost'] })
        t.equal(socket.getPeerX509Certificate()?.fingerprint256, fingerprint(server.cert))
        const page = await statusPage(socket)
        t.match(page, expected, 'the server says so too')
        t.match(page, /Subject: CN ?= ?client\.example/, 'it still knows us')
      }
      t.same(resumed, [false, true, true])
    })
  }
})

t.test('a session proves no other name than the one that it was made for', { skip }, async t => {
  const { port } = await sServer(t, ...shows(server), '-www')
  const first = connect(t, { port, peerTargetName: 'localhost', security: { ca } })
  await first.secured
  await statusPage(first)
  const error = await refusal(t, { port, peerTargetName: 'other.example', security: { ca } })
  t.match(error, { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  const again = connect(t, { port, peerTargetName: 'localhost', security: { ca } })
  t.equal((await again.secured).resumed, true, 'the right name still resumes')
})

t.test('a server that has forgotten our session gets a full handshake', { skip }, async t => {
  const first = await sServer(t, ...shows(server), '-www')
  const socket = connect(t, { port: first.port, security: { ca } })
  await socket.secured
  await statusPage(socket)
  await first.program.stop()
  // The same port, another process: other ticket keys.
  const second = await sServerAt(t, first.port, ...shows(server))
  const again = connect(t, { port: second.port, security: { ca } })
  t.equal((await again.secured).resumed, false)
})

t.test('both ends export the same keying material', { skip }, async t => {
  for (const maxVersion of versions) {
    const label = ['-keymatexport', 'EXPORTER-interop', '-keymatexportlen', '48']
    const { port, program } = await sServer(t, ...shows(server), ...label)
    const socket = connect(t, { port, security: { ca, maxVersion } })
    await socket.secured
    const [, theirs] = await program.said(/Keying material: ([0-9A-F]+)/)
    const ours = socket.exportKeyingMaterial(48, 'EXPORTER-interop')
    t.equal(ours.toString('hex').toUpperCase(), theirs, maxVersion)
  }
})

t.test('keylog gives the secrets of the very connection on the wire', { skip }, async t => {
  const theirFile = join(ownDirectory(t), 'keys')
  const { port, program } = await sServer(t, ...shows(server), '-keylogfile', theirFile)
  const tap = await wireTap(port)
  t.teardown(() => tap.close())
  const socket = connect(t, { port: tap.port, security: { ca, keylog: true } })
  const lines: string[] = []
  socket.on('keylog', line => lines.push(String(line).trim()))
  await socket.secured
  socket.write('over\n')
  await program.said(/over\n/)
  await program.stop()

  const clientRandom = tap.toServer().subarray(11, 43).toString('hex')
  const theirs = readFileSync(theirFile, 'utf8').split('\n')
  t.ok(lines.some(line => line.startsWith('CLIENT_TRAFFIC_SECRET_0 ')))
  for (const line of lines) {
    t.equal(line.split(' ')[1], clientRandom)
    t.ok(theirs.includes(line), 'the server has derived the same')
  }
})

t.test(
  'the server may renew its keys (TLS 1.3), and may not renegotiate (1.2)',
  { skip },
  async t => {
    await t.test('keys', async t => {
      const { port, program } = await sServer(t, ...shows(server), '-tls1_3')
      const tap = await wireTap(port)
      t.teardown(() => tap.close())
      const socket = connect(t, { port: tap.port, security: { ca } })
      await socket.secured
      program.type('under the first keys\n')
      await event(socket, 'data')
      const before = tap.toClient().length
      // "K": renew mine, and renew yours. The rest of what it reads at once it would throw away.
      program.type('K\n')
      await until('its KeyUpdate is on the wire', () => tap.toClient().length > before)
      program.type('under new keys\n')
      const [data] = await event(socket, 'data')
      t.equal(String(data), 'under new keys\n')
      socket.write('and back\n')
      await program.said(/and back\n/)
    })
    await t.test('renegotiation', async t => {
      const { port, program } = await sServer(t, ...shows(server), '-tls1_2', '-tlsextdebug')
      const socket = connect(t, { port, security: { ca } })
      await socket.secured
      const over = once(socket, 'error')
      // "r": ask us for a new handshake. We decline, and OpenSSL ends the connection over it.
      program.type('r\n')
      const [error] = await over
      t.match(error, { code: /^ERR_SSL_/ })
      t.notMatch(program.output, /CIPHER is[\s\S]*CIPHER is/, 'there was one handshake')
      t.match(program.output, 'extended master secret', 'our hello asks for it')
    })
  },
)

t.test('what we resume has no early data, which others could send once more', { skip }, async t => {
  // It takes some (RFC 8446, section 8), and says in its tickets that it does.
  const flags = ['-tls1_3', '-early_data', '-tlsextdebug']
  const { port, program } = await sServer(t, ...shows(server), ...flags)
  for (const [word, resumed] of [
    ['first', false],
    ['second', true],
  ] as const) {
    const socket = connect(t, { port, security: { ca } })
    socket.write(`${word}\n`)
    t.equal((await socket.secured).resumed, resumed)
    await program.said(new RegExp(`^${word}$`, 'm'))
    // The ticket is read on the way to the end.
    socket.resume().end()
    await event(socket, 'close')
  }
  // The extensions pre_shared_key and early_data.
  t.match(program.output, '(id=41)', 'the second hello offers its ticket')
  t.notMatch(program.output, '(id=42)')
  t.equal(program.output.match(/No early data received/g)?.length, 2)
})

t.test('half-closed: it hears our end and we still hear it', { skip }, async t => {
  // With -rev it answers every line reversed, and what it gets at the very end too.
  const { port } = await sServer(t, ...shows(server), '-rev')
  const socket = connect(t, { port, allowHalfOpen: true, security: { ca } })
  await socket.secured
  socket.end('stressed\n')
  const [data] = await event(socket, 'data')
  t.equal(String(data), 'desserts\n')
})

// Server arguments.

function shows({ cert, key }: Pick<Identity, 'cert' | 'key'>): string[] {
  const paths = save({ cert, key })
  return ['-cert', paths.cert, '-key', paths.key]
}

const asks = ['-Verify', '1', '-verify_return_error', '-CAfile', save({ ca }).ca]

// Client.

interface Options {
  port: number
  peerTargetName?: string
  allowHalfOpen?: boolean
  security?: SecuritySettings
}

function connect(t: Test, options: Options): SecureSocket {
  const socket = createConnection({ host: '127.0.0.1', ...options })
  t.teardown(() => socket.destroy())
  return socket
}

/** A server that talks to one client at a time is free again after this. */
async function gone(socket: SecureSocket): Promise<void> {
  const closed = event(socket, 'close')
  socket.destroy()
  await closed
}

/** The error of a connection that must not come about, and of which nothing may be seen. */
async function refusal(t: Test, options: Options): Promise<Error & { code?: string }> {
  const socket = connect(t, options)
  socket.on('connect', () => t.fail('it connected'))
  socket.on('data', () => t.fail('it gave data'))
  socket.write('nothing of this may leave us\n')
  const [error] = await event(socket, 'error')
  t.equal((await failure(socket.secured)).message, (error as Error).message)
  return error as Error
}

/** What `s_server -www` says of the connection, to the end of it. */
async function statusPage(socket: SecureSocket): Promise<string> {
  let page = ''
  socket.setEncoding('utf8').on('data', text => {
    page += text
  })
  socket.write('GET / HTTP/1.0\r\n\r\n')
  await event(socket, 'close')
  return page
}

function fingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint256
}

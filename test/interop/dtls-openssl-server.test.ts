/** Our datagram socket against `openssl s_server`: what we accept of a stranger's server, and what not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Identity } from '../../src/identity/identity.js'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import {
  expiredIdentity,
  selfSignedIdentity,
  strangerIdentity,
  testIdentity,
} from '../support/identities.js'
import type { Program } from '../support/program.js'
import { trust } from '../support/secured.js'
import {
  at,
  closed,
  hasSrtp,
  identified,
  inbox,
  listening,
  sent,
  speaking,
} from './dtls-sockets.js'
import { files, ownDirectory } from './files.js'
import { sClient, sServer } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const server = await testIdentity()
const client = await identified(['client.example'])
const clientPin = (await testIdentity(['client.example'])).pin
const own = await identified()
const dtls = ['-dtls1_2']
const asks = ['-Verify', '1', '-verify_return_error', '-CAfile', save({ ca }).ca]
const psk = {
  key: Buffer.from('a key of thirty-two bytes, shared'),
  ccm8: 'PSK-AES128-CCM8',
  // Security level 1 has no place for a tag of 8 bytes.
  allowed: ['-cipher', 'PSK-AES128-CCM8:@SECLEVEL=0'],
}

t.test('we verify its certificate, and messages go both ways', { skip }, async t => {
  for (const [what, args] of [
    ['as it comes', []],
    ['with its own cookie first', ['-listen']],
    ['in small pieces', ['-listen', '-mtu', '300']],
  ] as const) {
    await t.test(what, async t => {
      const { port, program } = await sServer(t, ...dtls, ...shows(server), ...args)
      const socket = speaking(t, { ca, mtu: 300 })
      const heard = inbox(socket)
      t.match(await socket.secure(at(port)), {
        secured: true,
        encrypted: true,
        protocol: 'dtls',
        version: 'DTLSv1.2',
        resumed: false,
        peer: {
          targetName: '127.0.0.1',
          names: ['localhost', '127.0.0.1', '::1'],
          pin: server.pin,
        },
      })
      await sent(socket, 'to the stranger\n', port)
      await program.said(/to the stranger\n/)
      program.type('to us\n')
      const { text, from } = await heard.next()
      t.equal(text, 'to us\n')
      t.match(from, { ...at(port), peer: { pin: server.pin } })
      t.same(socket.peers(), [at(port)])
    })
  }
})

t.test(
  'the first message makes the handshake, and those behind it keep their order',
  { skip },
  async t => {
    const { port, program } = await sServer(t, ...dtls, ...shows(server))
    const socket = speaking(t, { ca })
    const lines = Array.from({ length: 20 }, (_, index) => `line ${index}\n`)
    await Promise.all(lines.map(line => sent(socket, line, port)))
    await program.said(/line 19\n/)
    t.ok(program.output.includes(lines.join('')))
  },
)

t.test('a message of 16384 bytes arrives whole, a longer one is refused', { skip }, async t => {
  const { port, program } = await sServer(t, ...dtls, ...shows(server))
  const socket = speaking(t, { ca })
  await sent(socket, Buffer.alloc(16384, 'x'), port)
  await sent(socket, '\nend\n', port)
  await program.said(/x{16384}\nend\n/)
  t.match(await failure(sent(socket, Buffer.alloc(16385), port)), { code: 'EMSGSIZE' })
})

t.test('its name: what the certificate proves is accepted', { skip }, async t => {
  const names = ['db.example.com', '127.0.0.1', 'spiffe://example.com/db']
  const identity = await testIdentity(names)
  const { port } = await sServer(t, ...dtls, ...shows(identity))
  for (const targetName of [
    'host/db.example.com',
    '127.0.0.1',
    'spiffe://example.com/db',
    identity.pin,
  ]) {
    const socket = speaking(t, { ca })
    await socket.setPeerTargetName({ ...at(port), targetName })
    const { peer } = await socket.secure(at(port))
    t.equal(peer?.targetName, targetName)
    // It serves one at a time.
    await closed(socket)
  }
})

t.test('a server that we have no reason to trust hears nothing of us', { skip }, async t => {
  t.jobs = 4
  const mismatch = 'ERR_PEER_TARGET_NAME_MISMATCH'
  for (const [what, identity, targetName, code] of [
    ['another address', await testIdentity(['db.example.com']), undefined, mismatch],
    ['another name', server, 'host/db.example.com', mismatch],
    ['another key', server, clientPin, mismatch],
    ['another authority', await strangerIdentity(), undefined, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['nobody', await selfSignedIdentity(), undefined, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['the past', await expiredIdentity(), undefined, 'CERT_HAS_EXPIRED'],
    ['a client', await testIdentity(undefined, { usage: 'client' }), undefined, 'INVALID_PURPOSE'],
  ] as const) {
    t.test(`a certificate of ${what}`, { buffered: true }, async t => {
      const { port, program } = await sServer(t, ...dtls, ...shows(identity))
      const { error } = await refusal(t, { ca }, port, program, targetName)
      t.match(error, { code, peer: `127.0.0.1:${port}` })
    })
  }
})

t.test('a pinned key needs no authority', { skip }, async t => {
  const self = await selfSignedIdentity(['whoever'])
  const { port } = await sServer(t, ...dtls, ...shows(self))
  const socket = speaking(t, {})
  await socket.setPeerTargetName({ ...at(port), targetName: self.pin })
  const { peer } = await socket.secure(at(port))
  t.match(peer, { pin: self.pin, targetName: self.pin, names: ['whoever'] })
})

t.test('we prove who we are where it asks', { skip }, async t => {
  const { port, program } = await sServer(t, ...dtls, ...shows(server), ...asks)
  const socket = speaking(t, client)
  await socket.secure(at(port))
  await program.said(/^CIPHER is/m)
  t.match(program.output, /subject=CN ?= ?client\.example/)
})

t.test('we are refused where we do not prove who we are', { skip }, async t => {
  t.jobs = 4
  for (const [what, identity, code] of [
    // RFC 5246, section 7.2.2: TLS 1.2 has no alert of its own for it.
    ['no certificate', {}, 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
    [
      'a certificate of another authority',
      await strangerIdentity(['client.example']),
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
    ],
    [
      'an expired certificate',
      await expiredIdentity(['client.example']),
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
    ],
  ] as const) {
    t.test(what, { buffered: true }, async t => {
      const { port, program } = await sServer(t, ...dtls, ...shows(server), ...asks)
      const { cert, key } = identity as Partial<Identity>
      const own = cert === undefined ? {} : { cert, key: key as string }
      const { error } = await refusal(t, { ...own, ca }, port, program)
      t.match(error, { code })
    })
  }
})

t.test('a pre-shared key', { skip }, async t => {
  t.jobs = 4
  const own = { psk: { identity: 'sensor', key: psk.key } }
  const shared = [...dtls, '-nocert', '-psk', psk.key.toString('hex'), '-psk_identity', 'sensor']

  for (const [what, args, cipher] of [
    ['the suite of both ends’ choice', [], /^TLS_(ECDHE|DHE)_PSK_WITH_/],
    ['CoAP’s suite', psk.allowed, 'TLS_PSK_WITH_AES_128_CCM_8'],
  ] as const) {
    t.test(`the right key: ${what}`, { buffered: true }, async t => {
      const { port, program } = await sServer(t, ...shared, ...args)
      const socket = speaking(t, own)
      const heard = inbox(socket)
      t.match(await socket.secure(at(port)), {
        secured: true,
        version: 'DTLSv1.2',
        cipher,
        resumed: false,
        peer: { names: [], pskIdentity: 'sensor' },
      })
      await sent(socket, 'by key alone\n', port)
      await program.said(/by key alone\n/)
      program.type('and back\n')
      t.match(await heard.next(), { text: 'and back\n', from: { peer: { pskIdentity: 'sensor' } } })
    })
    t.test(`the wrong key: ${what}`, { buffered: true }, async t => {
      const { port, program } = await sServer(t, ...shared, ...args)
      const wrong = {
        psk: { identity: 'sensor', key: Buffer.alloc(32, 7) },
        handshakeTimeout: 1500,
      }
      const { error } = await refusal(t, wrong, port, program)
      // A Finished that cannot be read looks like silence.
      t.match(error, { message: /pre-shared key/ })
    })
  }
  t.test(
    'a server that shows a certificate instead has proved nothing',
    { buffered: true },
    async t => {
      const { port, program } = await sServer(t, ...dtls, ...shows(server))
      const { error } = await refusal(t, own, port, program)
      t.match(error, { code: /^ERR_SSL_/ })
    },
  )
})

t.test('ALPN', { skip }, async t => {
  const { port, program } = await sServer(t, ...dtls, ...shows(server), '-alpn', 'coap,co')
  await t.test('what the server chose', async t => {
    const socket = speaking(t, { ca, alpn: ['co', 'coap'] })
    t.equal((await socket.secure(at(port))).alpn, 'coap', 'its order decides')
    await closed(socket)
  })
  await t.test('nothing in common', async t => {
    const { error } = await refusal(t, { ca, alpn: ['mqtt'] }, port, program)
    t.match(error, { code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL', message: /alpn/ })
  })
  await t.test('a server without ALPN', async t => {
    const { port } = await sServer(t, ...dtls, ...shows(server))
    const socket = speaking(t, { ca, alpn: ['coap'] })
    t.equal((await socket.secure(at(port))).alpn, undefined)
  })
})

t.test('SNI is the host of the target name', { skip }, async t => {
  const other = save(await testIdentity(['db.example.com']))
  const names = ['-servername', 'db.example.com', '-servername_fatal']
  // It shows this certificate to nobody who asks for another name.
  const second = ['-cert2', other.cert, '-key2', other.key]
  const { port, program } = await sServer(t, ...dtls, ...shows(server), ...names, ...second)
  const socket = speaking(t, { ca })
  await socket.setPeerTargetName({ ...at(port), targetName: 'coaps/db.example.com' })
  t.same((await socket.secure(at(port))).peer?.names, ['db.example.com'])
  await program.said(/Hostname in TLS extension: "db\.example\.com"/)
})

t.test('cipher suites: ours to choose, and AEAD only', { skip }, async t => {
  const { port } = await sServer(t, ...dtls, ...shows(server), '-cipher', 'ALL')
  for (const [ciphers, cipher] of [
    ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
    ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
    ['ECDHE-ECDSA-AES128-CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  ] as const) {
    const socket = speaking(t, { ca, ciphers })
    t.equal((await socket.secure(at(port))).cipher, cipher)
    await closed(socket)
  }
  const cbc = ['-cipher', 'ECDHE-ECDSA-AES128-SHA256']
  const { port: narrow, program } = await sServer(t, ...dtls, ...shows(server), ...cbc)
  const { error } = await refusal(t, { ca }, narrow, program)
  t.match(error, { code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', message: /ciphers/ })
})

t.test('DTLS 1.0 never', { skip }, async t => {
  // Below security level 0, OpenSSL itself would not speak it.
  const oldest = ['-dtls1', '-cipher', 'ALL:@SECLEVEL=0']
  const { port, program } = await sServer(t, ...oldest, ...shows(server))
  const { error } = await refusal(t, { ca, handshakeTimeout: 1500 }, port, program)
  t.match(error, { code: /^ERR_/ })
})

t.test('the server may not renegotiate', { skip }, async t => {
  const { port, program } = await sServer(t, ...dtls, ...shows(server), '-tlsextdebug')
  const socket = speaking(t, client)
  await sent(socket, 'first\n', port)
  await program.said(/first\n/)
  // "r": send a HelloRequest. It gets our alert.
  program.type('r\n')
  t.ok(await program.said(/no renegotiation/))
  t.match(program.output, 'extended master secret', 'our hello asks for it')
})

t.test('close_notify frees the server, and the next message resumes', { skip }, async t => {
  const { port, program } = await sServer(t, ...dtls, ...shows(server), ...asks)
  const socket = speaking(t, client)
  const heard = inbox(socket)
  t.equal((await socket.secure(at(port))).resumed, false)
  await sent(socket, 'first\n', port)
  await program.said(/first\n/)

  socket.closePeer(at(port))
  await program.said(/^DONE$/m)
  t.same(socket.peers(), [])

  const again = event(socket, 'secure')
  await sent(socket, 'second\n', port)
  const [, info] = await again
  t.match(info, { resumed: true, peer: { targetName: '127.0.0.1', pin: server.pin } })
  await program.said(/Reused session-id[\s\S]*second\n/)
  program.type('still there\n')
  t.equal((await heard.next()).text, 'still there\n')

  await closed(socket)
  await program.said(/^DONE$[\s\S]*^DONE$/m)
})

t.test(
  'both ends export the same keying material, and agree on keys for SRTP',
  { skip },
  async t => {
    const label = ['-keymatexport', 'EXTRACTOR-dtls_srtp', '-keymatexportlen', '60']
    const profile = 'SRTP_AES128_CM_SHA1_80'
    const offered = ['-use_srtp', `SRTP_AEAD_AES_128_GCM:${profile}`]
    const { port, program } = await sServer(t, ...dtls, ...shows(server), ...label, ...offered)
    const srtp = hasSrtp() ? [profile] : []
    const socket = speaking(t, { ca, srtp })
    t.equal((await socket.secure(at(port))).srtp, srtp[0])
    if (hasSrtp()) await program.said(new RegExp(`SRTP Extension negotiated, profile=${profile}`))
    const [, theirs] = await program.said(/Keying material: ([0-9A-F]+)/)
    const ours = socket.exportKeyingMaterial(at(port), 60, 'EXTRACTOR-dtls_srtp')
    t.equal(ours.toString('hex').toUpperCase(), theirs)
  },
)

t.test('keylog gives the secret that the server has too', { skip }, async t => {
  const theirFile = join(ownDirectory(t), 'keys')
  const { port, program } = await sServer(t, ...dtls, ...shows(server), '-keylogfile', theirFile)
  const socket = speaking(t, { ca, keylog: true })
  const lines: string[] = []
  socket.on('keylog', line => lines.push(String(line).trim()))
  await socket.secure(at(port))
  await sent(socket, 'over\n', port)
  await program.said(/over\n/)
  await program.stop()
  t.equal(lines.length, 1)
  t.match(lines[0], /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/i)
  t.ok(
    readFileSync(theirFile, 'utf8')
      .split('\n')
      .includes(lines[0] as string),
  )
})

t.test(
  'three servers on one socket: a failure of one is no failure of another',
  { skip },
  async t => {
    const names = ['a.example', 'b.example', 'c.example']
    const identities = [['a.example'], ['not-b.example'], ['c.example']]
    const socket = speaking(t, { ca })
    const errors: unknown[] = []
    socket.on('peerError', (error, peer) => errors.push({ error, peer }))
    const peers = await Promise.all(
      names.map(async (name, index) => {
        const identity = await testIdentity(identities[index])
        const { port, program } = await sServer(t, ...dtls, ...shows(identity))
        await socket.setPeerTargetName({ ...at(port), targetName: name })
        return { port, program }
      }),
    )
    const refused = peers[1] as (typeof peers)[number]
    const results = await Promise.allSettled(
      peers.map(({ port }, index) => sent(socket, `for ${names[index]}\n`, port)),
    )
    t.same(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    await peers[0]?.program.said(/for a\.example\n/)
    await peers[2]?.program.said(/for c\.example\n/)
    t.notMatch(peers[1]?.program.output, 'for ')
    t.match(errors, [{ error: { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }, peer: at(refused.port) }])
  },
)

t.test('one socket is client and server at the same time', { skip }, async t => {
  const us = await listening(t, own)
  const theirs = await sServer(t, ...dtls, ...shows(server), ...asks)
  await sent(us.socket, 'to the server\n', theirs.port)
  await theirs.program.said(/to the server\n/)
  const guest = sClient(t, us.port, ...dtls, ...shows(await testIdentity(['client.example'])))
  guest.type('to the echo\n')
  await guest.said(/to the echo\n/)
  theirs.program.type('still here\n')
  await theirs.program.said(/still here\n/)
  t.match(us.heard.all, [
    { text: 'to the echo\n', from: { peer: { names: ['client.example'] } } },
    { text: 'still here\n', from: { ...at(theirs.port), peer: { pin: server.pin } } },
  ])
  t.equal(us.socket.peers().length, 2)
})

// Server arguments.

function shows({ cert, key }: Pick<Identity, 'cert' | 'key'>): string[] {
  const paths = save({ cert, key })
  return ['-cert', paths.cert, '-key', paths.key]
}

/** The error of a message that must not leave, and of which the server may hear nothing. */
async function refusal(
  t: Test,
  security: DatagramSecuritySettings,
  port: number,
  program: Program,
  targetName?: string,
): Promise<{ error: Error & { code?: string } }> {
  const socket = speaking(t, security)
  socket.on('secure', () => t.fail('it was secured'))
  socket.on('message', () => t.fail('it gave a message'))
  if (targetName !== undefined) await socket.setPeerTargetName({ ...at(port), targetName })
  const reported = event(socket, 'peerError')
  const error = await failure(sent(socket, 'nothing of this may leave us\n', port))
  const [same, peer] = await reported
  t.equal((same as Error).message, error.message)
  t.match(peer, at(port))
  t.same(socket.peers(), [])
  await closed(socket)
  t.notMatch(program.output, 'nothing of this')
  return { error }
}

/** `openssl s_client` against our datagram socket: what a stranger's client meets. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Identity } from '../../src/identity/identity.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { expiredIdentity, strangerIdentity, testIdentity } from '../support/identities.js'
import type { Program } from '../support/program.js'
import { trust } from '../support/secured.js'
import { until } from '../support/until.js'
import { revocationList } from './authority.js'
import { at, hasSrtp, type Listening, LOOPBACK, listening, sent } from './dtls-sockets.js'
import { files, ownDirectory } from './files.js'
import { sClient, sClientWithCommands } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const { cert, key } = await testIdentity()
const own = { cert, key, ca }
const dtls = ['-dtls1_2']
const checking = [
  ...['-CAfile', save({ ca }).ca, '-verify_return_error'],
  ...['-verify_hostname', 'localhost'],
]
const known = shows(await testIdentity(['client.example']))
const psk = {
  key: Buffer.from('a key of thirty-two bytes, shared'),
  // Security level 1 has no place for a tag of 8 bytes.
  ccm8: ['-cipher', 'PSK-AES128-CCM8:@SECLEVEL=0'],
}

t.test('both know each other, and messages go both ways', { skip }, async t => {
  for (const [what, mtu] of [
    ['as it comes', []],
    ['in small pieces', ['-mtu', '300']],
  ] as const) {
    await t.test(what, async t => {
      const us = await listening(t, { ...own, mtu: 300 })
      const client = sClient(t, us.port, ...dtls, ...checking, ...known, ...mtu)
      client.type('across the makers\n')
      await client.said(/across the makers\n/)
      t.match(client.output, /Verify return code: 0 \(ok\)/)
      t.match(client.output, /Protocol *: DTLSv1\.2/)

      const { from, text } = await us.heard.next()
      t.equal(text, 'across the makers\n')
      t.same(from.peer?.names, ['client.example'])
      t.match(us.secured, [{ peer: at(from.port), info: {} }])
      t.match(await us.socket.querySecurity(at(from.port)), {
        secured: true,
        encrypted: true,
        protocol: 'dtls',
        version: 'DTLSv1.2',
        resumed: false,
        peer: { names: ['client.example'] },
      })
      t.same(us.socket.peers(), [at(from.port)])
      await sent(us.socket, 'unasked\n', from.port)
      await client.said(/unasked\n/)
    })
  }
})

t.test('over IPv6', { skip }, async t => {
  const us = await listening(t, own, { address: '::1' })
  const client = sClient(t, us.port, ...dtls, ...checking, ...known, '-connect', `[::1]:${us.port}`)
  client.type('six\n')
  await client.said(/six\n/)
  const { from } = await us.heard.next()
  t.match(from, { address: '::1', peer: { names: ['client.example'] } })
})

t.test('its end is told to us, and ours to it', { skip }, async t => {
  const us = await listening(t, own)
  const first = sClient(t, us.port, ...dtls, ...known)
  const port = await spoken(us, first)
  const gone = event(us.socket, 'peerClose')
  t.same(await first.finish(), { code: 0, signal: null })
  t.match(await gone, [at(port)])
  t.same(us.socket.peers(), [])

  const second = sClient(t, us.port, ...dtls, ...known)
  us.socket.closePeer(at(await spoken(us, second)))
  await second.said(/^closed$/m)
  t.same(us.socket.peers(), [])

  const third = sClient(t, us.port, ...dtls, ...known)
  await spoken(us, third)
  us.socket.close()
  await third.said(/^closed$/m)
})

t.test('a client that does not prove who it is gets no word through', { skip }, async t => {
  t.jobs = 4
  for (const [what, credentials, alert] of [
    // RFC 5246, section 7.2.2: TLS 1.2 has no alert of its own for it.
    ['no certificate', [], /alert handshake failure/],
    ['another authority', shows(await strangerIdentity(['client.example'])), /alert unknown ca/],
    ['expired', shows(await expiredIdentity(['client.example'])), /alert certificate expired/],
    [
      'a certificate for servers only',
      shows(await testIdentity(['client.example'], { usage: 'server' })),
      /alert (unsupported certificate|bad certificate)/,
    ],
  ] as const) {
    t.test(what, { buffered: true }, async t => {
      const us = await listening(t, own)
      const client = sClient(t, us.port, ...dtls, ...credentials)
      client.type('may I?\n')
      t.equal((await client.ended()).code, 1)
      t.match(client.output, alert)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
      t.equal(us.socket.stats.handshakesFailed, 1)

      const good = sClient(t, us.port, ...dtls, ...known)
      await spoken(us, good)
      t.equal(us.heard.all.length, 1, 'it has disturbed nobody')
    })
  }
})

t.test('a revoked certificate is refused, another of its issuer is not', { skip }, async t => {
  const revoked = await testIdentity(['revoked.example'])
  const us = await listening(t, { ...own, crl: await revocationList(t, revoked.cert) })
  const bad = sClient(t, us.port, ...dtls, ...shows(revoked))
  t.equal((await bad.ended()).code, 1)
  t.match(bad.output, /alert certificate revoked/)
  await spoken(us, sClient(t, us.port, ...dtls, ...known))
  t.match(us.secured, [{ info: { peer: { names: ['client.example'] } } }])
})

t.test('a client at an address with a target name must prove that name', { skip }, async t => {
  const us = await listening(t, own)
  const targetName = 'sensor/client.example'
  // Without a port: whoever speaks from there.
  await us.socket.setPeerTargetName({ address: LOOPBACK, targetName })
  const other = sClient(t, us.port, ...dtls, ...shows(await testIdentity(['other.example'])))
  other.type('let me in\n')
  t.equal((await other.ended()).code, 1)
  t.same([us.secured, us.heard.all], [[], []])

  await spoken(us, sClient(t, us.port, ...dtls, ...known))
  t.match(us.heard.all, [{ from: { targetName, peer: { targetName, names: ['client.example'] } } }])
})

t.test('keys of every kind that we make', { skip }, async t => {
  for (const [algorithm, ours, signature] of [
    ['ecdsa-p384', 'ecdsa-p384', 'ECDSA'],
    ['rsa-2048', 'rsa-2048', 'RSA-PSS'],
    // OpenSSL 3 has no Ed25519 for a server of DTLS.
    ['ed25519', 'ecdsa-p256', 'ECDSA'],
  ] as const) {
    const { cert, key } = await testIdentity(undefined, { algorithm: ours })
    const theirs = await testIdentity(['client.example'], { algorithm })
    const us = await listening(t, { cert, key, ca })
    const client = sClient(t, us.port, ...dtls, ...checking, ...shows(theirs))
    const port = await spoken(us, client)
    t.match(client.output, `Peer signature type: ${signature}`)
    t.equal((await us.socket.querySecurity(at(port))).peer?.pin, theirs.pin)
  }
})

t.test('a client that nobody asks for a certificate has no identity', { skip }, async t => {
  const us = await listening(t, { cert, key, requestCert: false })
  const client = sClient(t, us.port, ...dtls, ...checking)
  client.type('nobody\n')
  await client.said(/nobody\n/)
  const { from } = await us.heard.next()
  t.equal(from.peer, undefined)
  t.match(client.output, /No client certificate CA names sent/)
})

t.test('a client that refuses us is not secured', { skip }, async t => {
  t.jobs = 4
  const { cert, key } = await expiredIdentity()
  for (const [what, security, args, reason] of [
    ['another name', own, ['-verify_hostname', 'other.example'], /hostname mismatch/i],
    ['expired', { ...own, cert, key }, [], /certificate has expired/],
    [
      'another authority',
      own,
      ['-CAfile', save({ ca: (await strangerIdentity()).ca }).ca, '-no-CApath'],
      /unable to get local issuer certificate|unable to verify/,
    ],
  ] as const) {
    t.test(what, { buffered: true }, async t => {
      const us = await listening(t, security)
      const client = sClient(t, us.port, ...dtls, ...known, ...checking, ...args)
      t.equal((await client.ended()).code, 1)
      t.match(client.output, reason)
      await until('its alert has come', () => us.socket.stats.handshakesFailed === 1)
      t.same([us.secured, us.socket.peers()], [[], []])
    })
  }
})

t.test('a pre-shared key', { skip }, async t => {
  t.jobs = 4
  const security = { psk: { sensor: psk.key }, handshakeTimeout: 1500 }
  const shared = (identity: string, secret: Buffer) => [
    ...[...dtls, '-psk_identity', identity, '-psk', secret.toString('hex')],
  ]
  for (const [what, args, cipher] of [
    ['the suite of both ends’ choice', [], /^TLS_(ECDHE|DHE)_PSK_WITH_/],
    ['CoAP’s suite', psk.ccm8, 'TLS_PSK_WITH_AES_128_CCM_8'],
  ] as const) {
    t.test(`the right key: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      const client = sClient(t, us.port, ...shared('sensor', psk.key), ...args)
      const port = await spoken(us, client)
      t.match(await us.socket.querySecurity(at(port)), {
        secured: true,
        version: 'DTLSv1.2',
        cipher,
        peer: { names: [], pskIdentity: 'sensor' },
      })
      t.equal(us.heard.all[0]?.from.peer?.pskIdentity, 'sensor')
    })
    t.test(`the wrong key: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      const client = sClient(t, us.port, ...shared('sensor', Buffer.alloc(32, 7)), ...args)
      client.type('guessed\n')
      // A Finished that cannot be read looks like silence.
      await until('the handshake is given up', () => us.socket.stats.handshakesFailed === 1)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
    })
    t.test(`an unknown identity: ${what}`, { buffered: true }, async t => {
      const us = await listening(t, security)
      const client = sClient(t, us.port, ...shared('stranger', psk.key), ...args)
      client.type('who, me?\n')
      t.equal((await client.ended()).code, 1)
      t.match(client.output, /alert (unknown psk identity|handshake failure|decrypt error)/)
      t.same([us.secured, us.heard.all, us.socket.peers()], [[], [], []])
    })
  }
  t.test(
    'CoAP’s suite is not agreed on where certificates are at hand',
    { buffered: true },
    async t => {
      const us = await listening(t, { ...own, ...security })
      const client = sClient(t, us.port, ...shared('sensor', psk.key), ...psk.ccm8)
      t.equal((await client.ended()).code, 1)
      t.same(us.secured, [])
    },
  )
})

t.test('a hint which key the client should take', { skip }, async t => {
  const us = await listening(t, { psk: { sensor: psk.key }, pskIdentityHint: 'the greenhouse' })
  const shared = ['-psk_identity', 'sensor', '-psk', psk.key.toString('hex')]
  const client = sClient(t, us.port, ...dtls, ...shared)
  await spoken(us, client)
  t.match(client.output, /PSK identity hint: the greenhouse/)
})

t.test('ALPN: our order decides, and nothing in common is refused', { skip }, async t => {
  const us = await listening(t, { ...own, alpn: ['coap', 'co'] })
  const client = sClient(t, us.port, ...dtls, ...known, '-alpn', 'co,coap')
  const port = await spoken(us, client)
  t.match(client.output, /^ALPN protocol: coap$/m)
  t.equal((await us.socket.querySecurity(at(port))).alpn, 'coap')

  const other = sClient(t, us.port, ...dtls, ...known, '-alpn', 'mqtt')
  t.equal((await other.ended()).code, 1)
  t.match(other.output, /alert no application protocol/)
})

t.test('SNI is what the client sent', { skip }, async t => {
  const us = await listening(t, own)
  const client = sClient(t, us.port, ...dtls, ...known, '-servername', 'db.example.com')
  const port = await spoken(us, client)
  t.equal((await us.socket.querySecurity(at(port))).servername, 'db.example.com')
})

t.test('cipher suites: ours to choose, and AEAD only', { skip }, async t => {
  const us = await listening(t, { ...own, ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' })
  const client = sClient(t, us.port, ...dtls, ...known)
  const port = await spoken(us, client)
  t.equal(
    (await us.socket.querySecurity(at(port))).cipher,
    'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  )
  const any = await listening(t, own)
  for (const cipher of ['ECDHE-ECDSA-AES128-SHA256', 'eNULL:@SECLEVEL=0']) {
    const refused = sClient(t, any.port, ...dtls, ...known, '-cipher', cipher)
    t.equal((await refused.ended()).code, 1)
    t.match(refused.output, /alert handshake failure/, cipher)
  }
})

t.test('DTLS 1.0 never', { skip }, async t => {
  const us = await listening(t, own)
  // Below security level 0, OpenSSL itself would not offer it.
  const client = sClient(t, us.port, '-dtls1', '-cipher', 'ALL:@SECLEVEL=0', ...known)
  t.equal((await client.ended()).code, 1)
  t.match(client.output, /alert protocol version/)
  t.same(us.secured, [])
})

t.test(
  'both ends export the same keying material, and agree on keys for SRTP',
  { skip },
  async t => {
    const profile = 'SRTP_AES128_CM_SHA1_80'
    const srtp = hasSrtp() ? [profile] : []
    const us = await listening(t, { ...own, srtp })
    const label = ['-keymatexport', 'EXTRACTOR-dtls_srtp', '-keymatexportlen', '60']
    const offered = ['-use_srtp', `SRTP_AEAD_AES_128_GCM:${profile}`]
    const client = sClient(t, us.port, ...dtls, ...known, ...label, ...offered)
    const port = await spoken(us, client)
    if (hasSrtp()) t.match(client.output, `SRTP Extension negotiated, profile=${profile}`)
    t.equal((await us.socket.querySecurity(at(port))).srtp, srtp[0])
    const [, theirs] = await client.said(/Keying material: ([0-9A-F]+)/)
    const ours = us.socket.exportKeyingMaterial(at(port), 60, 'EXTRACTOR-dtls_srtp')
    t.equal(ours.toString('hex').toUpperCase(), theirs)
  },
)

t.test('a client may not renegotiate', { skip }, async t => {
  const us = await listening(t, own)
  const client = sClientWithCommands(t, us.port, ...dtls, ...known)
  const port = await spoken(us, client)
  client.type('R\n')
  await client.said(/RENEGOTIATING/)
  await client.said(/no renegotiation/)
  t.match(await client.ended(), { code: 1 })
  t.same(
    us.secured.map(({ peer }) => peer.port),
    [port],
    'there was one handshake',
  )
  // What else could be carried from one handshake into another (RFC 7627).
  t.match(client.output, /Extended master secret: yes/)
})

t.test('a resumed client is still the one that it was', { skip }, async t => {
  const us = await listening(t, own)
  const session = join(ownDirectory(t), 'session')
  const first = sClient(t, us.port, ...dtls, ...known, '-sess_out', session)
  await spoken(us, first)
  await first.finish()

  const second = sClient(t, us.port, ...dtls, ...known, '-sess_in', session)
  const port = await spoken(us, second)
  const peer = { names: ['client.example'] }
  t.match(second.output, /^Reused, /m)
  t.match(us.secured, [{ info: { resumed: false } }, { info: { resumed: true, peer } }])
  t.match(await us.socket.querySecurity(at(port)), { resumed: true, peer })
  t.match(us.heard.all[1]?.from, { peer })
})

t.test(
  'a client with a pre-shared key gets no session: the key may be revoked',
  { skip },
  async t => {
    const us = await listening(t, { psk: { sensor: psk.key } })
    const session = join(ownDirectory(t), 'session')
    const shared = ['-psk_identity', 'sensor', '-psk', psk.key.toString('hex')]
    const client = sClient(t, us.port, ...dtls, ...shared, '-sess_out', session)
    await spoken(us, client)
    await client.finish()
    t.notOk(existsSync(session))
  },
)

t.test('with the same ticketKeys it resumes at another socket, else not', { skip }, async t => {
  const ticketKeys = Buffer.alloc(48, 5)
  const one = await listening(t, { ...own, ticketKeys })
  const two = await listening(t, { ...own, ticketKeys })
  const strange = await listening(t, { ...own, ticketKeys: Buffer.alloc(48, 6) })
  const session = join(ownDirectory(t), 'session')
  const first = sClient(t, one.port, ...dtls, ...known, '-sess_out', session)
  await spoken(one, first)
  await first.finish()
  for (const [us, resumed] of [
    [two, true],
    [strange, false],
  ] as const) {
    const again = sClient(t, us.port, ...dtls, ...known, '-sess_in', session)
    await spoken(us, again)
    t.match(us.secured, [{ info: { resumed, peer: { names: ['client.example'] } } }])
  }
})

t.test('a session of a server that asked no certificate opens no other', { skip }, async t => {
  const ticketKeys = Buffer.alloc(48, 5)
  const open = await listening(t, { cert, key, requestCert: false, ticketKeys })
  const strict = await listening(t, { ...own, ticketKeys })
  const session = join(ownDirectory(t), 'session')
  const first = sClient(t, open.port, ...dtls, '-sess_out', session)
  await spoken(open, first)
  await first.finish()

  const second = sClient(t, strict.port, ...dtls, '-sess_in', session)
  second.type('in?\n')
  await second.ended()
  t.same([strict.secured, strict.heard.all], [[], []])
})

t.test('many clients at once, each known by its own name', { skip }, async t => {
  const us = await listening(t, own)
  const names = ['a.example', 'b.example', 'c.example', 'd.example']
  const clients = await Promise.all(
    names.map(async name => ({
      name,
      program: sClient(t, us.port, ...dtls, ...shows(await testIdentity([name]))),
    })),
  )
  for (const { name, program } of clients) program.type(`I am ${name}\n`)
  await Promise.all(clients.map(({ name, program }) => program.said(new RegExp(`I am ${name}\n`))))
  t.equal(us.heard.all.length, names.length)
  for (const { text, from } of us.heard.all) t.equal(text, `I am ${from.peer?.names[0]}\n`)
  t.equal(us.socket.peers().length, names.length)
})

function shows(identity: Pick<Identity, 'cert' | 'key'>): string[] {
  const paths = save({ cert: identity.cert, key: identity.key })
  return ['-cert', paths.cert, '-key', paths.key]
}

/** The client says something and hears it again; gives the port that it speaks from. */
async function spoken(us: Listening, client: Program): Promise<number> {
  count += 1
  const word = `word ${count}`
  client.type(`${word}\n`)
  await client.said(new RegExp(`${word}\n`))
  const { from, text } = await us.heard.next()
  if (text !== `${word}\n`) throw new Error(`it heard ${text}`)
  return from.port
}
let count = 0

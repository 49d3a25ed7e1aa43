/** What two associations agree on, in memory: no network, no endpoint. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { parseSettings } from '../../../src/model/settings.js'
import { Association } from '../../../src/providers/dtls/association.js'
import { openssl } from '../../../src/providers/dtls/openssl.js'
import { selfSignedIdentity, testIdentity } from '../../support/identities.js'
import { alsoTell, clock, createEnd, createPair, deliver, handshake, protect, say } from './pair.js'

const { ca, ...serverIdentity } = await identityOf(['localhost', '127.0.0.1', '::1'])
const { ca: _, ...clientIdentity } = await identityOf(['client.example', 'spiffe://example/client'])
const client = { ...clientIdentity, ca }
const server = { ...serverIdentity, ca }

async function identityOf(names: string[]) {
  const { cert, key, ca } = await testIdentity(names)
  return { cert, key, ca: ca as string }
}

t.test('two peers with certificates authenticate each other and talk', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  t.equal(pair.client.secured, 1)
  t.equal(pair.server.secured, 1)
  t.same(pair.client.association.random, pair.server.association.random)
  t.equal(pair.client.association.random?.length, 32)
  t.equal(say(pair.client, pair.server, 'question'), 'question')
  t.equal(say(pair.server, pair.client, 'answer'), 'answer')

  const seen = pair.client.association.query()
  t.match(seen, {
    secured: true,
    encrypted: true,
    protocol: 'dtls',
    version: 'DTLSv1.2',
    cipher: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    resumed: false,
    peer: { targetName: 'localhost', names: ['localhost', '127.0.0.1', '::1'] },
  })
  t.match(seen.peer?.pin, /^sha256\//)
  t.match(pair.server.association.query(), {
    servername: 'localhost',
    peer: { names: ['client.example', 'spiffe://example/client'] },
  })
  t.notOk(pair.server.association.query().peer?.targetName, 'nobody has given the client a name')
  t.same(
    pair.client.association.exportKeyingMaterial(32, 'EXPORTER-test', Buffer.from('c')),
    pair.server.association.exportKeyingMaterial(32, 'EXPORTER-test', Buffer.from('c')),
  )
  t.notSame(
    pair.client.association.exportKeyingMaterial(32, 'EXPORTER-test'),
    pair.client.association.exportKeyingMaterial(32, 'EXPORTER-test', Buffer.alloc(0)),
    'an empty context is not no context (RFC 5705, section 4)',
  )
  for (const length of [0, -1, 1.5, Number.NaN, 1e9]) {
    t.throws(() => pair.client.association.exportKeyingMaterial(length, 'x'), { code: 'EINVAL' })
  }
  for (const context of [
    { length: -5 },
    'abc',
    new Uint16Array(4),
    new DataView(new ArrayBuffer(4)),
  ])
    t.throws(() => pair.client.association.exportKeyingMaterial(8, 'x', context as never), {
      code: 'EINVAL',
      message: /context/,
    })
  t.match(pair.client.association, {
    recordsSent: 1,
    recordsReceived: 1,
    bytesSent: 8,
    bytesReceived: 6,
    minimumRecord: 24,
    heardServerHello: true,
    deadline: Number.POSITIVE_INFINITY,
  })
  t.end()
})

t.test('every form of target name is proved, in both roles', async t => {
  const { pin: serverPin } = await testIdentity()
  const { pin: clientPin } = await testIdentity(['client.example', 'spiffe://example/client'])
  for (const targetName of ['localhost', 'host/localhost:5684', '127.0.0.1', '::1', serverPin]) {
    const pair = handshake({ client, server, targetName, clientName: 'spiffe://example/client' })
    t.equal(say(pair.client, pair.server, 'x'), 'x', targetName)
    t.equal(pair.client.association.query().peer?.targetName, targetName)
  }
  for (const clientName of ['client.example', 'spiffe://example/client', clientPin]) {
    const pair = handshake({ client, server, targetName: 'localhost', clientName })
    t.equal(pair.server.association.query().peer?.targetName, clientName)
  }
})

t.test('a pinned peer needs no authority, in either role', async t => {
  const self = await selfSignedIdentity(['a'])
  const other = await selfSignedIdentity(['b'])
  const pair = handshake({
    client: { cert: self.cert, key: self.key },
    server: { cert: other.cert, key: other.key },
    targetName: other.pin,
    clientName: self.pin,
  })
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  t.equal(pair.server.association.query().peer?.pin, self.pin)
})

t.test('a server that asks for no certificate knows nobody', t => {
  const pair = handshake({
    client: { ca },
    server: { ...serverIdentity, requestCert: false },
    targetName: 'localhost',
  })
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  t.equal(pair.server.association.query().peer, undefined)
  t.end()
})

t.test('rejectUnauthorized: false lets strangers in, and gives them no identity', async t => {
  const stranger = await selfSignedIdentity(['stranger'])
  const open = { ...server, rejectUnauthorized: false }
  for (const identity of [{}, { cert: stranger.cert, key: stranger.key }]) {
    const pair = handshake({ client: { ca, ...identity }, server: open, targetName: 'localhost' })
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.equal(pair.server.association.query().peer, undefined)
  }
  const known = handshake({ client, server: open, targetName: 'localhost' })
  t.same(known.server.association.query().peer?.names, [
    'client.example',
    'spiffe://example/client',
  ])
})

t.test('application protocols: the server chooses by its own preference', t => {
  const pair = handshake({
    client: { ...client, alpn: ['a', 'coap'] },
    server: { ...server, alpn: ['coap', 'a'] },
    targetName: 'localhost',
  })
  t.equal(pair.client.association.query().alpn, 'coap')
  t.equal(pair.server.association.query().alpn, 'coap')
  for (const [ours, theirs] of [
    [['a'], []],
    [[], ['a']],
  ] as string[][][]) {
    const without = handshake({
      client: { ...client, alpn: ours },
      server: { ...server, alpn: theirs },
      targetName: 'localhost',
    })
    t.equal(say(without.client, without.server, 'x'), 'x', 'an end without protocols does not care')
    t.equal(without.client.association.query().alpn, undefined)
  }
  t.end()
})

const noSrtp = openssl().lib.srtp === null && 'the OpenSSL of this Node has no SRTP'

t.test('SRTP profiles are agreed on', { skip: noSrtp }, t => {
  const pair = handshake({
    client: { ...client, srtp: ['SRTP_AEAD_AES_128_GCM', 'SRTP_AES128_CM_SHA1_80'] },
    server: { ...server, srtp: ['SRTP_AES128_CM_SHA1_80'] },
    targetName: 'localhost',
  })
  t.equal(pair.client.association.query().srtp, 'SRTP_AES128_CM_SHA1_80')
  t.equal(pair.server.association.query().srtp, 'SRTP_AES128_CM_SHA1_80')
  t.end()
})

// Node for Windows. In silence, the application would wait for a profile that never comes.
t.test('SRTP is refused where OpenSSL has none', t => {
  const { lib } = openssl()
  const { srtp } = lib
  t.teardown(() => Object.assign(lib, { srtp }))
  lib.srtp = null
  const asks = { ...server, srtp: ['SRTP_AES128_CM_SHA1_32'] }
  t.throws(() => createEnd('server', asks), { code: 'EOPNOTSUPP', message: /srtp.*SRTP/ })
  const pair = handshake({ client, server, targetName: 'localhost' })
  t.equal(pair.client.association.query().srtp, undefined)
  t.end()
})

t.test('servername is sent in the place of the target name', t => {
  const pair = handshake({
    client: { ...client, servername: 'other.example' },
    server,
    targetName: 'localhost',
  })
  t.equal(pair.server.association.query().servername, 'other.example')
  t.end()
})

t.test('every suite of the default lists is one of authenticated encryption', t => {
  const psk = { identity: 'me', key: Buffer.alloc(16, 1) }
  const suites: [string, boolean][] = [
    ['ECDHE-ECDSA-AES128-GCM-SHA256', false],
    ['ECDHE-ECDSA-AES256-GCM-SHA384', false],
    ['ECDHE-ECDSA-CHACHA20-POLY1305', false],
    ['ECDHE-ECDSA-AES128-CCM8', false],
    ['ECDHE-PSK-CHACHA20-POLY1305', true],
    ['PSK-AES128-GCM-SHA256', true],
    ['PSK-AES256-GCM-SHA384', true],
    ['PSK-CHACHA20-POLY1305', true],
    ['PSK-AES128-CCM', true],
    ['PSK-AES128-CCM8', true],
  ]
  for (const [ciphers, usesPsk] of suites) {
    const pair = usesPsk
      ? handshake({ client: { psk, ciphers }, server: { psk: { me: psk.key } } })
      : handshake({
          client: { ...client, ciphers },
          server: { ...server, ciphers },
          targetName: 'localhost',
        })
    t.equal(say(pair.client, pair.server, 'x'), 'x', ciphers)
    const minimum = /CHACHA20|CCM8/.test(ciphers) ? 16 : 24
    t.equal(pair.client.association.minimumRecord, minimum)
    const record = protect(pair.client.association, Buffer.alloc(1))
    t.equal(record.length, 13 + minimum + 1, 'the screen is exactly as high as it can be')
  }
  t.end()
})

t.test('suites without authenticated encryption, and version 1.3, are refused at once', t => {
  for (const ciphers of ['ECDHE-ECDSA-AES128-SHA', 'NULL', 'ADH-AES128-GCM-SHA256', 'nonsense']) {
    t.throws(() => createEnd('server', { ...server, ciphers }), { code: 'EPROTO' }, ciphers)
  }
  // They would need a key that nobody has.
  t.throws(() => createEnd('server', { ...server, ciphers: 'PSK-AES128-GCM-SHA256' }), {
    code: 'EPROTO',
  })
  if (Number(process.versions.openssl.split('.')[0]) < 4) {
    t.throws(() => createEnd('server', { ...server, minVersion: 'DTLSv1.3' }), {
      code: 'EINVAL',
      message: /DTLSv1\.3.*OpenSSL 3/,
    })
  }
  t.end()
})

t.test('settings that OpenSSL cannot use are EINVAL, and name the setting', async t => {
  const other = await testIdentity(['other.example'])
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ key: other.key }, /key/],
    [{ ecdhCurve: 'no-such-curve' }, /ecdhCurve/],
    [{ sigalgs: 'no+such' }, /sigalgs/],
    [{ ca: 'a path' }, /ca/],
    [{ crl: 'a path' }, /crl/],
    [{ cert: undefined, key: undefined, pfx: Buffer.from('nothing') }, /pfx/],
  ]
  if (!noSrtp) cases.push([{ srtp: ['NO_SUCH_PROFILE'] }, /srtp/])
  for (const [wrong, message] of cases) {
    t.throws(() => createEnd('server', { ...server, ...wrong }), { code: 'EINVAL', message })
    t.equal(
      handshake({ client, server, targetName: 'localhost' }).client.secured,
      1,
      'nothing stays behind',
    )
  }
})

t.test('what a role needs is asked for before anything is sent (R13)', t => {
  const psk = { identity: 'me', key: Buffer.alloc(16, 1) }
  t.throws(() => createEnd('server', {}), { code: 'ENOCREDENTIAL' })
  t.throws(() => createEnd('server', { psk }), { code: 'ENOCREDENTIAL' })
  t.throws(() => createEnd('server', serverIdentity), { code: 'ENOCREDENTIAL', message: /ca/ })
  t.throws(() => createEnd('server', { ...serverIdentity, ca: [] }), { code: 'ENOCREDENTIAL' })
  t.throws(() => createEnd('client', { ca }), { code: 'ENOCREDENTIAL', message: /target name/ })
  t.throws(() => createPair({ client: { ca: [] }, server, targetName: 'localhost' }), {
    code: 'ENOCREDENTIAL',
    message: /ca/,
  })
  t.throws(() => createPair({ client: { psk }, server, targetName: 'localhost' }), {
    code: 'EINVAL',
    message: /psk cannot prove/,
  })
  t.throws(
    () => createEnd('client', { psk: { identity: 'i'.repeat(129), key: Buffer.alloc(16) } }),
    { code: 'EINVAL', message: /identity/ },
  )
  t.throws(() => createEnd('client', { psk: { identity: 'i', key: Buffer.alloc(257) } }), {
    code: 'EINVAL',
    message: /key/,
  })
  t.end()
})

t.test('an Ed25519 certificate is for clients; OpenSSL 3 has no server with one', async t => {
  const edwards = await testIdentity(['client.example'], { algorithm: 'ed25519' })
  const own = { cert: edwards.cert, key: edwards.key, ca }
  const pair = handshake({ client: own, server, targetName: 'localhost' })
  t.same(pair.server.association.query().peer?.names, ['client.example'])
  t.throws(() => createEnd('server', own), { code: 'ENOCREDENTIAL', message: /Ed25519.*ECDSA/ })
  const both = { cert: [edwards.cert, server.cert], key: [edwards.key, server.key], ca }
  t.equal(handshake({ client, server: both, targetName: 'localhost' }).client.secured, 1)
})

t.test('RSA and larger curves', async t => {
  for (const algorithm of ['rsa-2048', 'ecdsa-p384'] as const) {
    const other = await testIdentity(['localhost'], { algorithm })
    const pair = handshake({
      client,
      server: { cert: other.cert, key: other.key, ca },
      targetName: 'localhost',
    })
    t.equal(say(pair.client, pair.server, 'x'), 'x', algorithm)
  }
})

t.test('messages of 1 to 16384 bytes are one record, more is EMSGSIZE', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  for (const length of [1, 64, 1200, 16383, 16384]) {
    const message = randomBytes(length)
    const record = protect(pair.client.association, message)
    t.ok(pair.server.association.receive(record))
    t.same(pair.server.messages.pop(), message)
  }
  t.throws(() => protect(pair.client.association, Buffer.alloc(16385)), { code: 'EMSGSIZE' })
  t.throws(() => protect(pair.client.association, Buffer.alloc(0)), { code: 'EOPNOTSUPP' })
  t.equal(say(pair.client, pair.server, 'still there'), 'still there')
  t.end()
})

t.test('many records in one datagram all arrive, in order', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  const texts = Array.from({ length: 60 }, (_, index) => `${index} ${'x'.repeat(1000)}`)
  const records = texts.map(text => protect(pair.client.association, Buffer.from(text)))
  t.ok(pair.server.association.receive(Buffer.concat(records)))
  t.same(pair.server.messages.map(String), texts)
  t.end()
})

function kept(message: Buffer | undefined): number {
  return message?.buffer.byteLength ?? Number.POSITIVE_INFINITY
}

t.test('a message is its receiver’s for ever, and keeps little more than itself', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  // Newer versions of Node add to Buffer.poolSize.
  const pool = Buffer.allocUnsafe(1).buffer.byteLength
  for (const text of ['first', 'other', 'x'.repeat(16384), 'last'])
    say(pair.client, pair.server, text)
  const [first, other, third] = pair.server.messages
  other?.fill('o')
  t.equal(String(first), 'first', 'later messages do not overwrite it, nor does who changes them')
  t.ok(kept(first) <= pool, 'it keeps one piece of Node’s own pool')
  t.ok(kept(third) <= Math.max(pool, 16384), 'a large one has memory of its own where it must')
  t.end()
})

t.test('what is repeated or forged is dropped, and harms nothing', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  const record = protect(pair.client.association, Buffer.from('once'))
  t.ok(pair.server.association.receive(record))
  t.notOk(pair.server.association.receive(record), 'a replay')
  const forged = protect(pair.client.association, Buffer.from('forged'))
  forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1
  t.notOk(pair.server.association.receive(forged))
  t.same(pair.server.messages.map(String), ['once'])
  t.equal(say(pair.client, pair.server, 'again'), 'again')
  t.end()
})

t.test('close() tells the peer, which answers and ends', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  pair.client.association.close()
  t.equal(pair.client.association.state, 'ended')
  t.equal(pair.client.closed, 0, 'it knows that it has closed')
  deliver(pair)
  t.equal(pair.server.closed, 1)
  t.equal(pair.server.association.state, 'ended')
  t.throws(() => protect(pair.server.association, Buffer.from('x')), { code: 'ENOTCONN' })
  t.match(pair.server.association.query(), { protocol: 'dtls' }, 'it still tells what it was')
  t.throws(() => pair.server.association.exportKeyingMaterial(1, 'x'), { code: 'ENOTCONN' })
  t.notOk(pair.server.association.receive(Buffer.alloc(100)))
  t.end()
})

t.test('destroy() says nothing', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  const before = pair.client.sent.length
  pair.client.association.destroy()
  pair.client.association.destroy()
  pair.client.association.close()
  t.equal(pair.client.sent.length, before)
  t.equal(pair.client.association.state, 'ended')
  t.end()
})

t.test('nothing but the secured can send', t => {
  const { association } = createEnd('server', server)
  t.throws(() => protect(association, Buffer.from('x')), { code: 'ENOTCONN' })
  t.throws(() => association.query(), { code: 'ENOTCONN' })
  association.close()
  association.start(Buffer.alloc(100))
  t.equal(association.state, 'ended', 'and what is closed does not start')
  t.end()
})

t.test('keylog gives the secrets, only where it was asked for', async t => {
  const warned = new Promise<Error>(resolve => process.once('warning', resolve))
  const pair = handshake({ client: { ...client, keylog: true }, server, targetName: 'localhost' })
  t.match(pair.client.keylog, [/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/])
  t.match(pair.client.keylog[0], pair.client.association.random?.toString('hex'))
  t.same(pair.server.keylog, [])
  t.match(await warned, { message: /keylog/ })
})

t.test('flights fit into the mtu, a ClientHello in fragments too', t => {
  const alpn = Array.from({ length: 20 }, (_, index) => `a-long-protocol-name-${index}`)
  for (const mtu of [256, 300, 508, 1200]) {
    const pair = handshake({
      client: { ...client, alpn },
      server: { ...server, alpn: ['a-long-protocol-name-7'] },
      targetName: 'localhost',
      mtu,
    })
    t.equal(say(pair.client, pair.server, 'x'), 'x', `mtu ${mtu}`)
    const longest = Math.max(...[...pair.client.sent, ...pair.server.sent].map(each => each.length))
    t.ok(longest <= mtu, `${longest} bytes`)
    t.equal(pair.server.association.query().alpn, 'a-long-protocol-name-7')
    t.same(pair.client.association.random, pair.server.association.random)
  }
  t.end()
})

t.test('records of a flight arrive in any order, and twice', t => {
  const pair = createPair({ client, server, targetName: 'localhost', mtu: 300 })
  const flight = pair.server.waiting.splice(0)
  t.ok(flight.length > 2)
  for (const datagram of flight.reverse()) {
    pair.client.association.receive(datagram)
    pair.client.association.receive(datagram)
  }
  deliver(pair)
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  t.end()
})

t.test('messages that overtake the end of the handshake are not lost', t => {
  const pair = createPair({ client, server, targetName: 'localhost' })
  for (const datagram of pair.server.waiting.splice(0)) pair.client.association.receive(datagram)
  for (const datagram of pair.client.waiting.splice(0)) pair.server.association.receive(datagram)
  t.equal(pair.server.secured, 1, 'the server is ready first')
  const early = protect(pair.server.association, Buffer.from('early'))
  pair.client.association.receive(early)
  t.same(pair.client.messages, [])
  deliver(pair)
  t.same(pair.client.messages.map(String), ['early'])
  t.end()
})

t.test('what overtakes the end of the handshake is told after it, the end too', t => {
  const pair = createPair({ client, server, targetName: 'localhost' })
  for (const datagram of pair.server.waiting.splice(0)) pair.client.association.receive(datagram)
  for (const datagram of pair.client.waiting.splice(0)) pair.server.association.receive(datagram)
  const last = pair.server.waiting.splice(0)
  const told: unknown[] = []
  const { association } = pair.client
  alsoTell(association, 'onSecured', () => told.push('secured', association.query().version))
  alsoTell(association, 'onMessage', message => told.push(String(message)))
  alsoTell(association, 'onClosed', () => told.push('closed'))
  association.receive(protect(pair.server.association, Buffer.from('early')))
  pair.server.association.close()
  for (const datagram of [...pair.server.waiting.splice(0), ...last]) association.receive(datagram)
  t.same(told, ['secured', 'DTLSv1.2', 'early', 'closed'])
  t.same(pair.client.failed, [])
  t.end()
})

t.test('an error that somebody else left in the queue of the thread is nobody’s end', t => {
  const pair = handshake({ client, server, targetName: 'localhost' })
  const { lib } = openssl()
  const litter = () => lib.SSL_CTX_set_cipher_list(lib.SSL_CTX_new(lib.DTLS_client_method()), 'no')
  litter()
  const forged = protect(pair.client.association, Buffer.from('forged'))
  forged[20] = (forged[20] as number) ^ 1
  t.notOk(pair.server.association.receive(forged))
  litter()
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  const begun = createPair({ client, server, targetName: 'localhost' })
  for (const datagram of begun.server.waiting.splice(0)) {
    litter()
    begun.client.association.receive(datagram)
    litter()
  }
  deliver(begun)
  t.equal(say(begun.client, begun.server, 'x'), 'x')
  t.end()
})

t.test('an association has its own errors only', t => {
  // Garbage for one must leave nothing behind that another stumbles over.
  const good = handshake({ client, server, targetName: 'localhost' })
  for (let count = 0; count < 50; count += 1) {
    const bad = createEnd('server', server)
    bad.association.start(randomBytes(80))
    t.equal(bad.failed.length, 1)
    t.equal(bad.association.state, 'ended')
    t.equal(say(good.client, good.server, 'x'), 'x')
  }
  t.end()
})

t.test('the settings are parsed once, and so is the context made of them', t => {
  const settings = parseSettings(server, 'datagram')
  const begin = performance.now()
  for (let count = 0; count < 200; count += 1) {
    const rest = { role: 'server', peer: 'p', targetNameSet: false, mtu: 1200, clock } as const
    new Association({ settings, ...rest }).destroy()
  }
  t.ok(performance.now() - begin < 200, 'parsing the key alone would take longer')
  t.end()
})

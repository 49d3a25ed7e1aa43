/** What the settings of datagram sockets have beyond those of streams, and what they share. */
import t from 'tap'
import { defaultDatagramPolicy, defaultDatagramSettings } from '../../src/model/defaults.js'
import { type DatagramSecuritySettings, parseSettings } from '../../src/model/settings.js'

const parse = (settings?: object | null) =>
  parseSettings(settings as DatagramSecuritySettings, 'datagram')

// Whoever changes one of these changes what every application that says nothing gets.
t.test('the defaults: peers authenticate each other, and keys do not live for ever', async t => {
  const settings = parse(null)
  t.equal(settings.kind, 'datagram')
  t.match(settings, defaultDatagramPolicy)
  t.match(settings, defaultDatagramSettings)
  t.match(settings, {
    requestCert: true,
    rejectUnauthorized: true,
    guaranteeEncryption: true,
    allowInsecure: false,
    minVersion: 'DTLSv1.2',
    handshakeTimeout: 60_000,
    mtu: 1200,
    maxSessions: 10_000,
    maxSessionsPerHost: 1000,
    srtp: [],
    resumeAfter: 60_000,
    rekeyAfter: 3_600_000,
    rekeyAfterBytes: 55_000_000_000,
    fullHandshakeAfter: 7_200_000,
    idleTimeout: 300_000,
    maxQueuedDatagrams: 64,
    maxQueuedBytes: 262_144,
  })
  t.ok(Object.isFrozen(settings))
})

t.test('each of its own settings is taken, and changes nothing else', async t => {
  const { fingerprint: _f, ...defaults } = parse()
  for (const [key, value] of [
    ['mtu', 256],
    ['mtu', 65535],
    ['maxSessions', 1],
    ['maxSessionsPerHost', 1],
    ['srtp', ['SRTP_AEAD_AES_128_GCM', 'SRTP_AES128_CM_SHA1_80']],
    ['resumeAfter', 0],
    ['resumeAfter', 1],
    ['rekeyAfter', 1000],
    ['rekeyAfterBytes', 1],
    ['fullHandshakeAfter', 1000],
    ['idleTimeout', 1000],
    ['maxQueuedDatagrams', 1],
    ['maxQueuedBytes', 1],
    ['minVersion', 'DTLSv1.3'],
    ['maxVersion', 'DTLSv1.3'],
    ['requestCert', false],
    ['sharePort', true],
  ] as const) {
    const { fingerprint: _own, ...settings } = parse({ [key]: value })
    t.strictSame({ ...settings }, { ...defaults, [key]: value }, `${key}: ${value}`)
  }
})

t.test('what is wrong is EINVAL that names the key and the value', async t => {
  for (const [settings, message] of [
    [{ mtu: 255 }, /^security\.mtu is 255: give a whole number from 256 to 65535/],
    [{ mtu: 65536 }, /^security\.mtu is 65536/],
    [{ mtu: 1200.5 }, /^security\.mtu is 1200\.5/],
    [{ mtu: '1200' }, /^security\.mtu is "1200"/],
    [{ maxSessions: 0 }, /^security\.maxSessions is 0: give a whole number of at least 1/],
    [{ maxSessionsPerHost: -1 }, /^security\.maxSessionsPerHost is -1/],
    [{ maxQueuedDatagrams: Number.NaN }, /^security\.maxQueuedDatagrams is NaN/],
    [{ maxQueuedBytes: Number.POSITIVE_INFINITY }, /^security\.maxQueuedBytes is Infinity/],
    [{ rekeyAfterBytes: 0 }, /^security\.rekeyAfterBytes is 0/],
    [{ resumeAfter: -1 }, /^security\.resumeAfter is -1: .*milliseconds/],
    [{ rekeyAfter: 0 }, /^security\.rekeyAfter is 0/],
    [{ idleTimeout: '5m' }, /^security\.idleTimeout is "5m"/],
    [{ fullHandshakeAfter: 2 ** 31 }, /^security\.fullHandshakeAfter is 2147483648/],
    [{ srtp: 'SRTP_AEAD_AES_128_GCM' }, /^security\.srtp is ".*": give an array/],
    [{ srtp: ['a:b'] }, /^security\.srtp is an array of 1/],
    [{ minVersion: 'TLSv1.2' }, /^security\.minVersion is "TLSv1\.2": .*DTLSv1\.2, DTLSv1\.3/],
    [{ minVersion: 'DTLSv1.3', maxVersion: 'DTLSv1.2' }, /^security\.maxVersion is "DTLSv1\.2"/],
    [{ sni: {} }, /^security\.sni .*a socket for each name/],
    [{ Mtu: 1200 }, /did you mean mtu\?/],
    [{ anything: 1 }, /the settings are .*\bmtu\b/],
  ] as const)
    t.throws(() => parse(settings), { code: 'EINVAL', message }, String(message))
})

t.test('those of datagrams are none of a stream, which says where they belong', async t => {
  for (const key of Object.keys(defaultDatagramSettings)) {
    const message = new RegExp(`^security\\.${key} .*it is for datagram sockets`)
    t.throws(() => parseSettings({ [key]: 1000 }), { code: 'EINVAL', message }, key)
  }
  t.throws(() => parseSettings({ minVersion: 'DTLSv1.2' } as object), { code: 'EINVAL' })
  t.equal(parseSettings().kind, 'stream')
  t.equal(parseSettings().minVersion, 'TLSv1.2')
})

t.test('a datagram never goes in clear (R15)', async t => {
  const unsupported = { code: 'EOPNOTSUPP', syscall: 'WSASetSocketSecurity' }
  t.throws(() => parse({ allowInsecure: true }), unsupported)
  t.throws(() => parse({ allowInsecure: true, guaranteeEncryption: false }), unsupported)
  t.equal(parse({ allowInsecure: false }).allowInsecure, false)
})

t.test('the same contents are one value for each kind of socket', async t => {
  t.equal(parse({ ca: 'pem', mtu: 1300 }), parse({ mtu: 1300, ca: 'pem' }))
  t.not(parse({ ca: 'pem' }).fingerprint, parseSettings({ ca: 'pem' }).fingerprint)
  t.not(parse(null).fingerprint, parseSettings(null).fingerprint)
})

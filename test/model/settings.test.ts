import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { defaultPolicy } from '../../src/model/defaults.js'
import { type ParsedSettings, parseSettings } from '../../src/model/settings.js'

const PRIVATE_KEY =
  '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n'

t.test('settings that are null, absent or empty are the default policy', async t => {
  const settings = parseSettings(null)
  t.match(settings, defaultPolicy)
  t.same(settings.alpn, [])
  t.equal(settings.keylog, false)
  t.equal(settings.sharePort, false)
  for (const key of ['cert', 'key', 'ca', 'ownPsk', 'acceptedPsk', 'ciphers'] as const)
    t.notOk(key in settings, key)
  t.equal(parseSettings(undefined), settings)
  t.equal(parseSettings(), settings)
  t.equal(parseSettings({}), settings)
  t.equal(parseSettings({ ca: undefined, requestCert: undefined }), settings, 'undefined is absent')
})

t.test('what is set wins over the default, each by itself', async t => {
  for (const [key, value] of [
    ['guaranteeEncryption', false],
    ['minVersion', 'TLSv1.3'],
    ['maxVersion', 'TLSv1.3'],
    ['handshakeTimeout', 5000],
    ['requestCert', true],
    ['rejectUnauthorized', false],
    ['keylog', true],
    ['keylog', '/var/log/app.keys'],
    ['sharePort', true],
    ['ca', 'pem'],
    ['ca', []],
    ['crl', ['a', 'b']],
    ['pfx', 'pem'],
    ['passphrase', 'p'],
    ['ciphers', 'TLS_AES_128_GCM_SHA256'],
    ['sigalgs', 'ed25519'],
    ['ecdhCurve', 'X25519'],
    ['servername', 'a.example'],
    ['alpn', ['h2', 'http/1.1']],
    ['pskIdentityHint', 'hint'],
  ] as const) {
    const settings = parseSettings({ [key]: value })
    t.strictSame(settings[key], value, key)
    const { [key]: _set, fingerprint: _own, ...others } = settings as ParsedSettings
    const { [key]: _default, fingerprint: _other, ...defaults } = parseSettings(null)
    t.strictSame(others, defaults, `${key} changes nothing else`)
  }
})

t.test('protocol: the default is tls everywhere, ipsec is what was asked for', async t => {
  t.equal(parseSettings({ protocol: 'default' }).protocol, 'tls')
  t.equal(parseSettings({ protocol: 'tls' }).protocol, 'tls')
  t.equal(parseSettings({ protocol: 'ipsec' }).protocol, 'ipsec')
})

t.test('an unknown key is EINVAL that names it, and the key that was meant', async t => {
  for (const [key, hint] of [
    ['ALPNProtocols', /did you mean alpn\?/],
    ['pskCallback', /did you mean psk\?/],
    ['Ciphers', /did you mean ciphers\?/],
    ['minversion', /did you mean minVersion\?/],
    ['checkServerIdentity', /peerTargetName/],
    ['peerTargetName', /beside security/],
    ['port', /beside security/],
    ['mtu', /datagram/],
    ['anything', /the settings are .*\bcert\b/],
    ['constructor', /the settings are/],
    ['toString', /the settings are/],
    ['__proto__', /the settings are/],
  ] as const) {
    const settings = JSON.parse(`{"${key}": 1}`)
    refused(t, settings, new RegExp(`^security\\.${key} `), key)
    refused(t, settings, hint, key)
  }
  refused(t, { ca: 'pem', ALPNProtocols: ['h2'] }, /alpn/, 'beside known keys too')
})

t.test('a wrong type is EINVAL that names the key and the value', async t => {
  for (const [settings, message] of [
    [{ protocol: 'ssl' }, /^security\.protocol is "ssl": give one of default, tls, ipsec/],
    [{ protocol: null }, /^security\.protocol is null/],
    [{ guaranteeEncryption: 'yes' }, /^security\.guaranteeEncryption is "yes": give true or false/],
    [{ guaranteeEncryption: 0 }, /^security\.guaranteeEncryption is 0/],
    [{ requestCert: 1 }, /^security\.requestCert is 1/],
    [{ rejectUnauthorized: null }, /^security\.rejectUnauthorized is null/],
    [{ ca: 5 }, /^security\.ca is 5/],
    [{ ca: null }, /^security\.ca is null/],
    [{ ca: '' }, /^security\.ca is .*empty/],
    [{ ca: ['pem', true] }, /^security\.ca is true/],
    [{ ca: Buffer.alloc(0) }, /^security\.ca is a Buffer of 0 bytes/],
    [{ ca: new ArrayBuffer(8) }, /^security\.ca is an object/],
    [{ ca: { pem: 'pem' } }, /^security\.ca is an object/],
    [{ cert: 'pem', key: { pem: 'pem', passphrase: 'p', other: 1 } }, /^security\.key .*other/],
    [{ cert: 'pem', key: { buf: 'pem' } }, /^security\.key .*buf/],
    [{ pfx: { pem: 'pem' } }, /^security\.pfx .*pem/],
    [{ pfx: [{ buf: 5 }] }, /^security\.pfx\.buf is 5/],
    [{ passphrase: '' }, /^security\.passphrase/],
    [{ ciphers: [] }, /^security\.ciphers is an array of 0: give a string/],
    [{ ciphers: '' }, /^security\.ciphers is ""/],
    [{ minVersion: 'TLSv1.1' }, /^security\.minVersion is "TLSv1\.1": .*TLSv1\.2, TLSv1\.3/],
    [{ minVersion: 1.3 }, /^security\.minVersion is 1\.3/],
    [{ alpn: 'h2' }, /^security\.alpn is "h2": give an array/],
    [{ alpn: [''] }, /^security\.alpn/],
    [{ alpn: ['ü'.repeat(128)] }, /^security\.alpn .*255 bytes/],
    [{ alpn: ['h2', 5] }, /^security\.alpn/],
    [{ handshakeTimeout: 0 }, /^security\.handshakeTimeout is 0: .*milliseconds/],
    [{ handshakeTimeout: -1 }, /^security\.handshakeTimeout is -1/],
    [{ handshakeTimeout: Number.NaN }, /^security\.handshakeTimeout is NaN/],
    [{ handshakeTimeout: Number.POSITIVE_INFINITY }, /^security\.handshakeTimeout is Infinity/],
    // setTimeout() makes 1 ms of anything longer.
    [{ handshakeTimeout: 2 ** 31 }, /^security\.handshakeTimeout is 2147483648/],
    [{ handshakeTimeout: '5000' }, /^security\.handshakeTimeout is "5000"/],
    [{ ticketKeys: Buffer.alloc(47) }, /^security\.ticketKeys is a Buffer of 47 bytes.*48/],
    [{ servername: 5 }, /^security\.servername is 5/],
    [{ ipsec: [], protocol: 'ipsec' }, /^security\.ipsec is an array/],
    [{ ipsec: null, protocol: 'ipsec' }, /^security\.ipsec is null/],
  ] as const)
    refused(t, settings, message, inspect(settings))
})

t.test('what is no settings object is EINVAL, not "nothing was set"', async t => {
  for (const value of [true, 1, 'default', [], [{}], () => {}, Symbol('a')])
    refused(t, value, /^security is .*give an object of settings/)
  for (const value of [new Map([['ca', 'pem']]), new Set(), new Date(0), Buffer.alloc(0)])
    refused(t, value, /^security is /)
  // createIdentity() gives a promise: the likeliest slip of all.
  refused(t, Promise.resolve({ ca: 'pem' }), /await/)
  t.equal(parseSettings(Object.assign(Object.create(null), { ca: 'pem' })).ca, 'pem')
})

t.test('settings that contradict each other are EINVAL', async t => {
  refused(t, { cert: 'pem' }, /cert .*without security\.key/)
  refused(t, { key: 'pem' }, /key .*without security\.cert/)
  refused(t, { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }, /maxVersion .*below minVersion/)
  refused(t, { allowInsecure: true }, /allowInsecure .*guaranteeEncryption: false/)
  refused(t, { allowInsecure: true, guaranteeEncryption: true }, /guaranteeEncryption: false/)
  const open = { allowInsecure: true, guaranteeEncryption: false }
  t.equal(parseSettings(open).allowInsecure, true)
  refused(t, { ...open, requestCert: true }, /client certificates/)
  t.throws(() => parseSettings({ ...open, protocol: 'ipsec' }), { code: 'EOPNOTSUPP' })
})

t.test('ipsec settings need protocol: ipsec, and not default', async t => {
  const ipsec = { mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789' }
  refused(t, { ipsec }, /protocol .*"default".*needs protocol: 'ipsec'/)
  refused(t, { ipsec, protocol: 'default' }, /needs protocol: 'ipsec'/)
  refused(t, { ipsec, protocol: 'tls' }, /needs protocol: 'ipsec'/)
  t.match(parseSettings({ ipsec, protocol: 'ipsec' }).ipsec, ipsec)
})

t.test('psk: exactly identity and key is our own, anything else is what we accept', async t => {
  const key = Buffer.from('0123456789abcdef')
  const own = { identity: 'sensor', key }
  const map = { alice: key, bob: new Uint8Array([1]) }
  const lookUp = (identity: string) => (identity === 'alice' ? key : null)

  t.strictSame(parseSettings({ psk: own }).ownPsk, own)
  t.notOk('acceptedPsk' in parseSettings({ psk: own }))
  t.same(parseSettings({ psk: map }).acceptedPsk, { alice: key, bob: Buffer.from([1]) })
  t.notOk('ownPsk' in parseSettings({ psk: map }))
  t.equal(parseSettings({ psk: lookUp }).acceptedPsk, lookUp)
  for (const psk of [[own, map] as const, [map, own] as const, [own, lookUp] as const]) {
    const settings = parseSettings({ psk })
    t.strictSame(settings.ownPsk, own)
    t.ok(settings.acceptedPsk)
  }
  t.same(
    Object.keys(parseSettings({ psk: { identity: key, key, more: key } }).acceptedPsk ?? {}),
    ['identity', 'key', 'more'],
    'with a third key it is three peers',
  )
  for (const [psk, message] of [
    [null, /^security\.psk is null/],
    [5, /^security\.psk is /],
    ['hunter2', /^security\.psk is /],
    [[], /^security\.psk is an array of 0/],
    [[own, own], /^security\.psk is an array of 2/],
    [[map, map], /^security\.psk is an array of 2/],
    [[own, map, lookUp], /^security\.psk is an array of 3/],
    [{}, /^security\.psk .*at least one/],
    [key, /^security\.psk is a Buffer/],
    [new Map([['alice', key]]), /^security\.psk .*at least one/],
    [{ identity: '', key }, /^security\.psk\.identity/],
    [{ identity: 5, key }, /^security\.psk\.identity is 5/],
    [{ identity: 'me\0x', key }, /^security\.psk\.identity .*NUL/],
    [{ identity: 'me\ud800', key }, /^security\.psk\.identity .*surrogate/],
    [{ 'a\0b': key }, /^an identity of security\.psk .*NUL/],
    [{ '\udc00': key }, /^an identity of security\.psk .*surrogate/],
    [{ identity: 'sensor', key: '' }, /^security\.psk\.key/],
    [{ identity: 'sensor', key: Buffer.alloc(0) }, /^security\.psk\.key/],
    [{ alice: 'hunter2' }, /^security\.psk\["alice"\]/],
    [{ alice: key, bob: Buffer.alloc(0) }, /^security\.psk\["bob"\]/],
    [{ alice: null }, /^security\.psk\["alice"\]/],
  ] as const)
    refused(t, { psk }, message, inspect(psk))
})

// A peer says its identity itself, so it can say these too.
t.test('identities that objects inherit find no key, and can be given one', async t => {
  const key = Buffer.from('0123456789abcdef')
  const hostile = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
  const nobody = parseSettings({ psk: { alice: key } }).acceptedPsk as Record<string, Buffer>
  for (const identity of hostile) t.equal(nobody[identity], undefined, identity)

  const given = Object.fromEntries(hostile.map((each, i) => [each, Buffer.from([i + 1])]))
  const accepted = parseSettings({ psk: given }).acceptedPsk as Record<string, Buffer>
  t.same(Object.keys(accepted), hostile)
  for (const [i, identity] of hostile.entries()) t.same(accepted[identity], Buffer.from([i + 1]))
  t.equal(Object.getPrototypeOf(accepted), null, 'no prototype was set')
  t.notOk('polluted' in {}, 'nor changed')
})

t.test('nobody can change settings after they were parsed', async t => {
  const ca = Buffer.from('certificate')
  const list = ['one', Buffer.from('two')]
  const alpn = ['h2']
  const key = { pem: Buffer.from('key'), passphrase: 'p' }
  const pskKey = new Uint8Array([1, 2, 3])
  const accepted: Record<string, Uint8Array> = { alice: pskKey }
  const own = { identity: 'sensor', key: pskKey }
  const ticketKeys = Buffer.alloc(48, 1)
  const ipsec = { userName: 'alice', password: Buffer.from('secret') }
  const given = { ca, cert: list, key, alpn, psk: [own, accepted] as const, ticketKeys }

  const settings = parseSettings(given)
  const ipsecSettings = parseSettings({ protocol: 'ipsec', ipsec })
  const before = inspect([settings, ipsecSettings], { depth: 9 })

  ca.fill(0)
  list.push('three')
  ;(list[1] as Buffer).fill(0)
  key.pem.fill(0)
  key.passphrase = 'q'
  alpn.push('http/1.1')
  pskKey.fill(0)
  accepted.mallory = Buffer.from('m')
  own.identity = 'mallory'
  ticketKeys.fill(0)
  ipsec.userName = 'mallory'
  ipsec.password.fill(0)
  Object.assign(given, { allowInsecure: true })

  t.equal(inspect([settings, ipsecSettings], { depth: 9 }), before)
  t.same(ipsecSettings.ipsec?.password?.(), Buffer.from('secret', 'utf16le'))
  deepFrozen(t, settings)
  deepFrozen(t, ipsecSettings)
})

t.test('a view of a larger buffer is copied alone', async t => {
  const memory = new Uint8Array([9, 1, 2, 9])
  const settings = parseSettings({ psk: { identity: 'sensor', key: memory.subarray(1, 3) } })
  t.same(settings.ownPsk?.key, Buffer.from([1, 2]))
  const words = parseSettings({ ca: new Uint16Array(Buffer.from('abcd').buffer.slice(0, 4)) })
  t.equal((words.ca as Buffer).length, 4, 'bytes, not elements')
})

t.test('equal contents are one value, whoever wrote them and in whatever order', async t => {
  const key = () => Buffer.from('0123456789abcdef')
  const lookUp = () => null
  for (const [one, other] of [
    [
      { ca: 'pem', requestCert: true },
      { requestCert: true, ca: 'pem' },
    ],
    [{ ca: Buffer.from('pem') }, { ca: Buffer.from('pem') }],
    [{ ca: Buffer.from('pem') }, { ca: new Uint8Array(Buffer.from('pem')) }],
    [{ psk: { identity: 'a', key: key() } }, { psk: { key: key(), identity: 'a' } }],
    [{ psk: { a: key(), b: key() } }, { psk: { b: key(), a: key() } }],
    [
      { psk: [{ identity: 'a', key: key() }, lookUp] },
      { psk: [lookUp, { identity: 'a', key: key() }] },
    ],
    [{ psk: lookUp }, { psk: lookUp }],
    [
      { cert: 'c', key: { pem: 'k', passphrase: undefined } },
      { cert: 'c', key: { pem: 'k' } },
    ],
  ] as const) {
    const first = parseSettings(one as object)
    t.equal(parseSettings(other as object), first, inspect(one))
  }
})

// A provider keeps a context, and a session, for each fingerprint: a collision would mix up two trusts.
t.test('different contents have different fingerprints', async t => {
  const key = Buffer.from('0123456789abcdef')
  const pair = { cert: 'c', key: 'k' }
  const different: object[] = [
    {},
    { ca: 'ab' },
    { ca: ['ab'] },
    { ca: ['a', 'b'] },
    { ca: ['b', 'a'] },
    { ca: Buffer.from('ab') },
    { ca: [Buffer.from('a'), Buffer.from('b')] },
    { ca: [Buffer.from('ab')] },
    { ca: ['a', Buffer.from('b')] },
    { ca: [] },
    { ca: ['a1:b'] },
    { ca: ['a', '7:stringb'] },
    { ca: ['a7:stringb'] },
    { ca: 'ab', crl: 'c' },
    { ca: 'a', crl: 'bc' },
    { crl: 'ab' },
    { servername: 'ab' },
    { servername: 'true' },
    { keylog: true },
    { sharePort: true },
    { requestCert: true },
    { rejectUnauthorized: false },
    { guaranteeEncryption: false },
    { guaranteeEncryption: false, allowInsecure: true },
    { minVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.3' },
    { handshakeTimeout: 1 },
    { handshakeTimeout: 11 },
    { passphrase: '1' },
    pair,
    { ...pair, passphrase: 'p' },
    { ...pair, key: { pem: 'k' } },
    { ...pair, key: { pem: 'k', passphrase: 'p' } },
    { cert: 'k', key: 'c' },
    { pfx: 'k' },
    { pfx: { buf: 'k' } },
    { alpn: ['h2', 'http/1.1'] },
    { alpn: ['http/1.1', 'h2'] },
    { alpn: ['h2http/1.1'] },
    { psk: { identity: 'a', key } },
    { psk: { identity: 'b', key } },
    { psk: { identity: 'a', key: Buffer.from('0123456789abcdeg') } },
    { psk: { a: key } },
    { psk: { a: key, b: key } },
    { psk: [{ identity: 'a', key }, { a: key }] },
    { psk: [{ identity: 'a', key }, { b: key }] },
    { psk: () => null },
    { psk: () => null },
    { pskIdentityHint: 'a' },
    { ticketKeys: Buffer.alloc(48) },
    { ticketKeys: Buffer.alloc(48, 1) },
    ...[
      {},
      { rawPeerName: true },
      { optionalPeerNameVerification: true },
      { mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789' },
      { quickModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789' },
      { userName: 'a', password: 'bc' },
      { userName: 'ab', password: 'c' },
      { userName: 'a', password: Buffer.from('bc') },
      { userName: 'a', password: () => 'bc' },
      { userName: 'a', password: () => 'bc' },
      { userName: 'a', domainName: 'b', password: 'bc' },
    ].map(ipsec => ({ protocol: 'ipsec', ipsec })),
  ]
  const seen = new Map<string, object>()
  for (const settings of different) {
    const { fingerprint } = parseSettings(settings)
    const same = seen.get(fingerprint)
    t.equal(same, undefined, `${inspect(settings)} is not ${inspect(same)}`)
    seen.set(fingerprint, settings)
  }
})

t.test('a program that makes settings for ever does not fill the memory', async t => {
  const first = parseSettings({ servername: 'first.example' })
  const used = parseSettings({ servername: 'used.example' })
  for (let i = 0; i < 1000; i++) {
    parseSettings({ servername: `${i}.example` })
    parseSettings({ servername: 'used.example' })
  }
  t.not(parseSettings({ servername: 'first.example' }), first, 'what nobody used was let go')
  t.equal(parseSettings({ servername: 'first.example' }).fingerprint, first.fingerprint)
  t.equal(parseSettings({ servername: 'used.example' }), used, 'what is used stays')
})

t.test('secrets never appear in an error', async t => {
  const secret = 'hunter2'
  for (const settings of [
    { password: secret },
    { Passphrase: secret },
    { passPhrase: secret },
    { Key: PRIVATE_KEY },
    { privateKey: PRIVATE_KEY },
    { key: PRIVATE_KEY },
    { key: [PRIVATE_KEY, 5], cert: 'c' },
    { key: { pem: PRIVATE_KEY, passphrase: secret, other: 1 }, cert: 'c' },
    { key: { pem: PRIVATE_KEY, passphrase: { secret } }, cert: 'c' },
    { key: { pem: [PRIVATE_KEY] }, cert: 'c' },
    { key: { key: PRIVATE_KEY }, cert: 'c' },
    { pfx: { buf: 5, passphrase: secret } },
    { passphrase: [secret] },
    { passphrase: { secret } },
    { psk: secret },
    { psk: [secret] },
    { psk: [secret, secret] },
    { psk: { identity: 'sensor', key: secret } },
    { psk: { alice: secret } },
    { psk: { alice: [secret] } },
    { psk: { alice: { secret } } },
    { PSK: secret },
    { ticketKeys: secret },
    { ticketKeys: Buffer.from(secret) },
    { ticketKeys: [secret] },
    { ipsec: secret, protocol: 'ipsec' },
    { ipsec: { psk: secret } },
    secret,
    PRIVATE_KEY,
    [secret],
    () => 'hunter2',
  ]) {
    let shown: string | undefined
    try {
      parseSettings(settings as object)
    } catch (error) {
      shown = inspect(error, { depth: 9, showHidden: true })
    }
    t.ok(shown?.includes('EINVAL'), `${inspect(settings)} is refused`)
    t.notMatch(shown?.replace(/\n {4}at .*/g, ''), /hunter2|MIGHAgEA/)
  }
})

t.test('settings without end are EINVAL, not a full stack', async t => {
  const endless: Record<string, unknown> = {}
  endless.again = endless
  refused(t, { psk: { alice: endless } }, /^security\.psk/)
  refused(t, { ipsec: endless, protocol: 'ipsec' }, /^security\.ipsec/)
  refused(t, { ca: [[[['pem']]]] }, /^security\.ca/)
})

t.test('the names by which the two ends agree on acceptance cannot be taken', async t => {
  refused(t, { alpn: ['h2', 'secure-socket/1+h2'] }, /secure-socket\/ are our own/)
})

// What a prototype says, nobody has written into the settings.
t.test('settings are what the object itself has', async t => {
  const inherited = Object.create({ allowInsecure: true, guaranteeEncryption: false })
  const settings = parseSettings(Object.assign(inherited, { ca: 'pem' }))
  t.equal(settings.allowInsecure, false)
  t.equal(settings.guaranteeEncryption, true)

  // Nor what a hole elsewhere in the program has written into the prototype of all objects.
  const pollution = { guaranteeEncryption: false, allowInsecure: true, rejectUnauthorized: false }
  const polluted = { servername: 'polluted.example' }
  try {
    Object.assign(Object.prototype, pollution)
    parseSettings(polluted)
  } finally {
    for (const key of Object.keys(pollution)) Reflect.deleteProperty(Object.prototype, key)
  }
  const { guaranteeEncryption, allowInsecure, rejectUnauthorized } = parseSettings(polluted)
  t.same(
    { guaranteeEncryption, allowInsecure, rejectUnauthorized },
    { guaranteeEncryption: true, allowInsecure: false, rejectUnauthorized: true },
    'also later, when the value is found again',
  )
})

function refused(t: Test, settings: unknown, message: RegExp, title = String(message)): void {
  const expected = { code: 'EINVAL', syscall: 'WSASetSocketSecurity', message }
  t.throws(() => parseSettings(settings as object), expected, title)
}

/** Frozen all the way down, but for the contents of buffers, which JavaScript cannot freeze. */
function deepFrozen(t: Test, value: unknown, path = 'settings'): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  t.ok(Object.isFrozen(value), `${path} is frozen`)
  for (const [key, each] of Object.entries(value)) deepFrozen(t, each, `${path}.${key}`)
}

t.test('an identity can be called "identity,key"', async t => {
  const { acceptedPsk, ownPsk } = parseSettings({ psk: { 'identity,key': Buffer.alloc(16) } })
  t.strictSame(Object.keys(acceptedPsk ?? {}), ['identity,key'])
  t.equal(ownPsk, undefined)
})

t.test('a Buffer that has lost its prototype is no Buffer, and can be told of', async t => {
  const lost = Object.setPrototypeOf(Buffer.alloc(48), null)
  for (const key of ['cert', 'ca', 'passphrase', 'ticketKeys', 'psk', 'mtu'])
    t.throws(() => parseSettings({ [key]: lost } as never, 'datagram'), { code: 'EINVAL' }, key)
})

t.test(
  'what somebody puts on Object.prototype is no part of a key or an account either',
  async t => {
    const key = { pem: 'y' }
    const clean = parseSettings({ cert: 'x', key })
    const ipsec = parseSettings({ protocol: 'ipsec', ipsec: {} })
    for (const [name, value] of Object.entries({ passphrase: 'z', userName: 'u', password: 'p' })) {
      Object.defineProperty(Object.prototype, name, { value, configurable: true })
      try {
        t.equal(parseSettings({ cert: 'x', key }), clean, name)
        t.equal(parseSettings({ protocol: 'ipsec', ipsec: {} }), ipsec, name)
      } finally {
        delete (Object.prototype as Record<string, unknown>)[name]
      }
    }
  },
)

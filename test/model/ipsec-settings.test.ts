/** IPsec's own settings: what is accepted, what is refused, and that a password shows nowhere. */
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import { defaultIpsecSettings } from '../../src/model/ipsec-settings.js'
import { parseSettings, type SecuritySettings } from '../../src/model/settings.js'

const GUID = '0a1b2c3d-4e5f-6789-abcd-ef0123456789'

function parse(ipsec: unknown, others: object = {}) {
  const settings = { protocol: 'ipsec', ipsec, ...others } as SecuritySettings
  return parseSettings(settings).ipsec
}

function refused(t: Test, ipsec: unknown, message: RegExp, others?: object): void {
  t.throws(
    () => parse(ipsec, others),
    { code: 'EINVAL', syscall: 'WSASetSocketSecurity', message },
    inspect(ipsec),
  )
}

t.test('what is not set is complete for ipsec, and not there for anything else', async t => {
  for (const ipsec of [undefined, {}, { userName: undefined, rawPeerName: undefined }])
    t.strictSame({ ...parse(ipsec) }, { ...defaultIpsecSettings })
  t.notOk('ipsec' in parseSettings({ protocol: 'tls' }))
  t.notOk('ipsec' in parseSettings())
})

t.test('what is written into the prototype of all objects is nobody’s account', async t => {
  t.equal(Object.getPrototypeOf(parse(undefined)), null)
  t.equal(Object.getPrototypeOf(parse({})), null)
})

t.test('every setting is taken as it was given', async t => {
  for (const key of [
    'skipFilterInstantiation',
    'optionalPeerNameVerification',
    'rawPeerName',
  ] as const)
    t.strictSame({ ...parse({ [key]: true }) }, { ...defaultIpsecSettings, [key]: true })
  t.match(parse({ mainModePolicy: GUID, quickModePolicy: `{${GUID.toUpperCase()}}` }), {
    mainModePolicy: GUID,
    quickModePolicy: GUID,
  })
  const account = { userName: 'Jörg', domainName: 'corp.example.com' }
  t.match(parse({ ...account, password: 'p' }), account)
})

t.test('what is said to the IKE daemon of a Linux host', async t => {
  const ipsec = {
    viciSocket: '/run/charon.vici',
    localIdentity: 'C=CH, CN=db 1',
    authentication: 'psk',
    ikeProposals: ['aes128gcm16-prfsha256-ecp256'],
    espProposals: ['aes256gcm16-ecp384-ke1_mlkem768', 'aes128gcm16'],
  }
  const parsed = parse(ipsec)
  t.match(parsed, ipsec)
  t.ok(Object.isFrozen(parsed?.espProposals), 'a copy that nobody changes')
  for (const path of ['', 'run/charon.vici', './x', 5, `/${'x'.repeat(107)}`, '/a\0b'])
    refused(t, { viciSocket: path }, /viciSocket is .*absolute path/)
  for (const text of ['', 5, 'a\nb', 'x'.repeat(512)])
    refused(t, { localIdentity: text }, /localIdentity is /)
  refused(t, { authentication: 'eap' }, /authentication is "eap".*pubkey, psk/)
  for (const key of ['ikeProposals', 'espProposals'])
    for (const value of [[], 'aes128gcm16', [''], ['a b'], ['aes128!'], [5], Array(33).fill('a')])
      refused(t, { [key]: value }, new RegExp(`${key} is .*array of 1 to 32 proposals`))
})

t.test('what is misspelt or has a wrong value is named', async t => {
  refused(t, { PASSWORD: 'hunter2' }, /^security\.ipsec\.PASSWORD \(a string of 7.*password\?$/)
  refused(t, { lifetime: 3600 }, /^security\.ipsec\.lifetime .*its settings are mainModePolicy/)
  refused(t, JSON.parse('{"__proto__": {"rawPeerName": true}}'), /^security\.ipsec\.__proto__/)
  for (const key of ['rawPeerName', 'skipFilterInstantiation'])
    for (const value of [1, 'true', null, {}])
      refused(t, { [key]: value }, new RegExp(`^security\\.ipsec\\.${key} is .*true or false`))
  for (const key of ['mainModePolicy', 'quickModePolicy']) {
    for (const value of [
      '',
      'default',
      `{${GUID}`,
      `${GUID}}`,
      ` ${GUID}`,
      `${GUID}\n`,
      GUID.slice(1),
      `${GUID}0`,
      GUID.replace('a', 'g'),
      GUID.replaceAll('-', ''),
      [GUID],
      Buffer.alloc(16),
      null,
    ])
      refused(t, { [key]: value }, new RegExp(`^security\\.ipsec\\.${key} is .*GUID`))
    // The structure says "no policy" by it: it would be ignored in silence.
    refused(t, { [key]: '00000000-0000-0000-0000-000000000000' }, /leave it out/)
  }
  for (const [key, most] of [
    ['userName', 256],
    ['domainName', 255],
  ] as const) {
    t.doesNotThrow(() => parse({ userName: 'u', password: 'p', [key]: 'x'.repeat(most) }))
    for (const value of ['', 'a\0b', 'a\nb', '\ud800', 5, null, {}, 'x'.repeat(most + 1)])
      refused(t, { userName: 'u', password: 'p', [key]: value }, new RegExp(`ipsec\\.${key} is`))
  }
})

t.test('an account is a name and a password', async t => {
  refused(t, { userName: 'u' }, /userName is given without security\.ipsec\.password/)
  refused(t, { password: 'p' }, /password is given without security\.ipsec\.userName/)
  refused(t, { domainName: 'd' }, /domainName is given without security\.ipsec\.userName/)
})

// R14 promises that everything is encrypted; this lets something in that is not.
t.test('an unencrypted first packet needs an explicit guaranteeEncryption: false', async t => {
  const ipsec = { allowFirstInboundPacketUnencrypted: true }
  refused(t, ipsec, /needs an explicit guaranteeEncryption: false/)
  refused(t, ipsec, /guaranteeEncryption: false/, { guaranteeEncryption: true })
  t.match(parse(ipsec, { guaranteeEncryption: false }), ipsec)
})

// A stream is asked about before its first byte; a datagram peer can be asked about only after it.
t.test('without filters of its own a datagram socket would send without knowing', async t => {
  const settings = { protocol: 'ipsec', ipsec: { skipFilterInstantiation: true } } as const
  t.throws(() => parseSettings(settings, 'datagram'), {
    code: 'EOPNOTSUPP',
    message: /skipFilterInstantiation is for streams only/,
  })
})

t.test('a password becomes UTF-16LE in a Buffer of whoever asks', async t => {
  // The first and the last character of each length that UTF-8 has.
  const text = '\u0001~\u0080ö\u07ff\u0800€\ud7ff\ue000\uffff\u{10000}😀\u{10ffff}'
  const expected = Buffer.from(text, 'utf16le')
  for (const password of [
    text,
    Buffer.from(text),
    new Uint8Array(Buffer.from(text)),
    () => text,
    () => Buffer.from(text),
  ]) {
    const give = parse({ userName: 'u', password })?.password
    const first = give?.()
    t.strictSame(first, expected, inspect(password))
    first?.fill(0)
    t.strictSame(give?.(), expected, 'the next one is another Buffer')
  }
})

t.test('a Buffer that a function returns is overwritten when it has been read', async t => {
  const memory = Buffer.from('before hunter2 after')
  const give = () => memory.subarray(7, 14)
  const { password } = parse({ userName: 'u', password: give }) ?? {}
  t.equal(
    memory.toString(),
    'before hunter2 after',
    'it is asked for when it is needed, not before',
  )
  t.strictSame(password?.(), Buffer.from('hunter2', 'utf16le'))
  t.equal(memory.toString(), 'before \0\0\0\0\0\0\0 after', 'it alone, not what stands beside it')

  const invalid = Buffer.from([0x68, 0xff])
  const other = parse({ userName: 'u', password: () => invalid })?.password
  t.throws(() => other?.(), { code: 'EINVAL' })
  t.strictSame(invalid, Buffer.alloc(2), 'also where it cannot be used')
})

t.test('what is no password is refused, and not shown', async t => {
  const bad: unknown[] = [
    '',
    'hunter2\0',
    'hunter2\ud800',
    'hunter2\udc00\ud800',
    'hunter2'.repeat(40),
    Buffer.alloc(0),
    Buffer.from('hunter2\0'),
    Buffer.from([0x68, 0x75, 0xff]),
    Buffer.alloc(300, 'hunter2'),
    5,
    null,
    ['hunter2'],
    { value: 'hunter2' },
  ]
  for (const value of bad) {
    t.match(
      shownOf(t, () => parse({ userName: 'u', password: value })),
      /security\.ipsec\.password/,
    )
    const { password } = parse({ userName: 'u', password: () => value }) ?? {}
    t.match(
      shownOf(t, () => password?.()),
      /security\.ipsec\.password\(\)/,
    )
  }
  t.doesNotThrow(() => parse({ userName: 'u', password: 'x'.repeat(256) }))
  const late = parse({ userName: 'u', password: () => Promise.resolve('hunter2') })?.password
  t.match(
    shownOf(t, () => late?.()),
    /returns one of them at once/,
  )
  const cause = new Error('the vault is sealed')
  const throwing = () => {
    throw cause
  }
  const thrown = parse({ userName: 'u', password: throwing })?.password
  t.throws(() => thrown?.(), { code: 'EINVAL', message: /has thrown/, cause })
})

t.test('a password is in nothing that is printed', async t => {
  const secret = 'hunter2'
  const digests = [secret, Buffer.from(secret, 'utf16le').toString('base64')]
  for (const password of [secret, Buffer.from(secret), () => secret]) {
    const settings = parseSettings({ protocol: 'ipsec', ipsec: { userName: 'u', password } })
    const shown = [
      inspect(settings, { depth: 9, showHidden: true, getters: true }),
      JSON.stringify(settings),
      String(settings.ipsec?.password),
    ]
    for (const each of [...digests, Buffer.from(secret).toString('hex')])
      t.notOk(
        shown.some(text => text.includes(each)),
        each,
      )
    t.ok(Object.isFrozen(settings.ipsec?.password))
  }
})

t.test('equal passwords make equal settings, another password makes others', async t => {
  const fingerprint = (password: unknown) =>
    parseSettings({ protocol: 'ipsec', ipsec: { userName: 'u', password } } as SecuritySettings)
      .fingerprint
  const give = () => 'hunter2'
  for (const make of [() => 'hunter2', () => Buffer.from('hunter2'), () => give])
    t.equal(fingerprint(make()), fingerprint(make()))
  t.not(fingerprint('hunter2'), fingerprint('hunter3'))
  t.not(fingerprint('hunter2'), fingerprint(Buffer.from('hunter2')))
  t.not(
    fingerprint(give),
    fingerprint(() => 'hunter2'),
  )
})

// The cache of equal settings would keep a password for as long as the process runs.
t.test('settings with a password are kept by nobody but their user', async t => {
  const settings = { protocol: 'ipsec', ipsec: { userName: 'u', password: 'p' } } as const
  const [one, other] = [parseSettings(settings), parseSettings(settings)]
  t.not(one, other)
  t.equal(one.fingerprint, other.fingerprint)
  t.equal(
    parseSettings({ protocol: 'ipsec' }),
    parseSettings({ protocol: 'ipsec', ipsec: undefined }),
  )
})

function shownOf(t: Test, call: () => unknown): string {
  try {
    call()
  } catch (error) {
    const shown = inspect(error, { depth: 9, showHidden: true })
    t.match(error, { code: 'EINVAL', syscall: 'WSASetSocketSecurity' })
    t.notMatch(shown.replace(/\n {4}at .*/g, ''), /hunter2/)
    return shown
  }
  t.fail('it was not refused')
  return ''
}

t.test('a value that has no text is refused as any other', async t => {
  for (const odd of [Object.create(null), { toString: null, valueOf: null }, Symbol('guid')])
    for (const key of ['mainModePolicy', 'quickModePolicy'])
      refused(t, { [key]: odd }, /give the policy's GUID/)
})

import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import t, { type Test } from 'tap'
import { SocketSecurityError } from '../../src/model/errors.js'
import {
  parseTargetName,
  parseTargetNameFor,
  type TargetName,
} from '../../src/model/target-name.js'
import { type Random, seededRandom } from './random.js'

const PIN = `sha256/${createHash('sha256').update('key').digest('base64')}`

t.test('each form becomes what it says', async t => {
  for (const [text, expected] of [
    ['db.example.com', { kind: 'dns', host: 'db.example.com', text: 'db.example.com' }],
    ['localhost', { kind: 'dns', host: 'localhost', text: 'localhost' }],
    ['_service.example', { kind: 'dns', host: '_service.example', text: '_service.example' }],
    [
      'host/db.example.com',
      { kind: 'spn', service: 'host', host: 'db.example.com', text: 'host/db.example.com' },
    ],
    [
      'MSSQLSvc/db.example.com:1433',
      {
        kind: 'spn',
        service: 'MSSQLSvc',
        host: 'db.example.com',
        port: 1433,
        text: 'MSSQLSvc/db.example.com:1433',
      },
    ],
    [
      'ldap/dc1.example.com:389/example.com',
      {
        kind: 'spn',
        service: 'ldap',
        host: 'dc1.example.com',
        port: 389,
        serviceName: 'example.com',
        text: 'ldap/dc1.example.com:389/example.com',
      },
    ],
    [
      'ldap/dc1.example.com/example.com',
      {
        kind: 'spn',
        service: 'ldap',
        host: 'dc1.example.com',
        serviceName: 'example.com',
        text: 'ldap/dc1.example.com/example.com',
      },
    ],
    [
      'host/10.0.0.5:5000',
      { kind: 'spn', service: 'host', host: '10.0.0.5', port: 5000, text: 'host/10.0.0.5:5000' },
    ],
    [
      'host/[2001:DB8::1]:5000',
      {
        kind: 'spn',
        service: 'host',
        host: '2001:db8::1',
        port: 5000,
        text: 'host/[2001:db8::1]:5000',
      },
    ],
    ['10.0.0.5', { kind: 'ip', address: '10.0.0.5', text: '10.0.0.5' }],
    ['2001:DB8::1', { kind: 'ip', address: '2001:db8::1', text: '2001:db8::1' }],
    [
      'spiffe://example.org/db',
      { kind: 'uri', uri: 'spiffe://example.org/db', text: 'spiffe://example.org/db' },
    ],
    ['urn:uuid:1', { kind: 'uri', uri: 'urn:uuid:1', text: 'urn:uuid:1' }],
    [
      'https://example.com',
      { kind: 'uri', uri: 'https://example.com', text: 'https://example.com' },
    ],
    [PIN, { kind: 'pin', digest: PIN.slice(7), text: PIN }],
  ] as const) {
    t.strictSame(parseTargetName(text), expected, text)
    t.ok(Object.isFrozen(parseTargetName(text)), `${text}: the value cannot be changed`)
  }
})

t.test('no name at all is EFAULT: Winsock says so of a null pointer', async t => {
  for (const nothing of [undefined, null, ''])
    t.throws(() => parseTargetName(nothing), {
      code: 'EFAULT',
      winsock: 'WSAEFAULT',
      syscall: 'WSASetSocketPeerTargetName',
      message: /required/,
    })
})

t.test('what cannot be parsed is EINVAL, and the message shows it', async t => {
  for (const [why, text] of [
    ['white space', 'db example.com'],
    ['white space around it', ' db.example.com'],
    ['a line break', 'db.example.com\nevil.example'],
    ['a NUL, which ends a name in C', 'db.example.com\0.evil.example'],
    ['a no-break space', 'db\u00a0.example.com'],
    ['an empty label', 'db..example.com'],
    ['a leading dot, which OpenSSL takes for "any host below"', '.example.com'],
    ['two trailing dots', 'example.com..'],
    ['a label that begins with a hyphen', '-db.example.com'],
    ['a label that ends with a hyphen', 'db-.example.com'],
    ['a label of 64 characters', `${'a'.repeat(64)}.example.com`],
    ['a name of 254 characters', `${'a.'.repeat(126)}aa`],
    ['a wildcard', '*.example.com'],
    ['a wildcard in an SPN', 'host/*.example.com'],
    ['a port without service', 'db.example.com:443'],
    ['an address with a port', '10.0.0.5:443'],
    ['brackets without service', '[::1]'],
    ['three quarters of an address', '10.0.0'],
    ['an address out of range', '300.1.1.1'],
    ['an octal address', '010.0.0.1'],
    ['a hexadecimal address', '0x7f000001'],
    ['an address of full-width digits', '１２７.0.0.1'],
    ['an address with a dot behind it', '10.0.0.5.'],
    ['user information', 'user@db.example.com'],
    ['an SPN without service', '/db.example.com'],
    ['an SPN without host', 'host/'],
    ['an SPN with an empty host', 'host/:443'],
    ['an SPN with an empty service name', 'host/db/'],
    ['an SPN of four parts', 'host/db/name/more'],
    ['an SPN with an odd service class', 'h@st/db'],
    ['port 0', 'host/db:0'],
    ['port 65536', 'host/db:65536'],
    ['a port that is no number', 'host/db:http'],
    ['an SPN with an unbracketed IPv6 address', 'host/::1'],
    ['an SPN with brackets around something else', 'host/[10.0.0.5]'],
    ['a URI without anything behind its scheme', 'spiffe://'],
    ['a URN without anything', 'urn:'],
    ['a URI that is not ASCII', 'spiffe://example.org/ü'],
    ['more than 2048 characters', `spiffe://example.org/${'x'.repeat(2048)}`],
    ['a pin that is too short', PIN.slice(0, -1)],
    ['a pin that is too long', `${PIN}=`],
    ['a pin in base64url', `sha256/${'-'.repeat(43)}=`],
    ['a pin with bits in its padding', `sha256/${'A'.repeat(42)}B=`],
    ['a pin in hexadecimal', `sha256/${'ab'.repeat(32)}`],
    ['another digest', PIN.replace('sha256', 'sha1')],
  ] as const) {
    t.throws(
      () => parseTargetName(text),
      { code: 'EINVAL', winsock: 'WSAEINVAL', syscall: 'WSASetSocketPeerTargetName' },
      why,
    )
  }
  t.throws(() => parseTargetName('a b'), { message: /"a b"/ })
  t.throws(() => parseTargetName('*.example.com'), { message: /wildcard/ })
})

t.test('what is no text is EINVAL', async t => {
  const values = [
    0,
    1,
    true,
    {},
    [],
    ['localhost'],
    Buffer.from('localhost'),
    Symbol('a'),
    () => 'a',
  ]
  for (const value of values)
    t.throws(() => parseTargetName(value), { code: 'EINVAL', message: /string/ })
  const pretender = { toString: () => 'localhost', length: 9 }
  t.throws(() => parseTargetName(pretender), { code: 'EINVAL' }, 'nothing is converted')
})

// The URL parser, which knows IDNA, ends a host at these and decodes percent signs. A name of which
// only the beginning is checked is not the name that was asked for.
t.test('a host is taken whole or not at all', async t => {
  for (const text of [
    'victim.example#evil.example',
    'victim.example?evil.example',
    'victim.example\\evil.example',
    'host/victim.example#x:443',
    '%76ictim.example',
  ])
    t.throws(() => parseTargetName(text), { code: 'EINVAL' }, text)
})

t.test('characters that nobody sees are refused: they would be printed in messages', async t => {
  for (const text of ['host/db/\u0085x', 'host/db/\u202ex', 'host/db/\ud800', 'd\u00adb.example'])
    t.throws(() => parseTargetName(text), { code: 'EINVAL' }, JSON.stringify(text))
})

t.test('international names become what certificates contain', async t => {
  t.match(parseTargetName('bücher.example'), { host: 'xn--bcher-kva.example' })
  t.match(parseTargetName('BÜCHER.example'), { host: 'xn--bcher-kva.example' })
  t.match(parseTargetName('host/bücher.example:1'), { text: 'host/xn--bcher-kva.example:1' })
  t.match(parseTargetName('xn--bcher-kva.example'), { host: 'xn--bcher-kva.example' })
})

t.test('one text for one name', async t => {
  t.equal(parseTargetName('DB.Example.COM.').text, 'db.example.com')
  t.equal(parseTargetName('host/DB.Example.COM.:0443').text, 'host/db.example.com:443')
  t.equal(parseTargetName('HOST/db').text, 'HOST/db', 'a service class is left as it is')
})

t.test('URIs and pins are compared exactly, so nothing of them is changed', async t => {
  for (const text of ['spiffe://Example.ORG/a/../b', 'URN:A', 'https://x:443/%41?q#f', PIN])
    t.equal(parseTargetName(text).text, text)
  t.not(parseTargetName(PIN).text, parseTargetName(PIN.replace(/.=$/, 'A=')).text)
})

t.test('a zone belongs to this host alone; no certificate has one', async t => {
  t.match(parseTargetName('fe80::1%eth0'), { kind: 'ip', address: 'fe80::1' })
  t.match(parseTargetName('host/[fe80::1%eth0]:1'), { host: 'fe80::1' })
})

t.test('properties, on random input', async t => {
  const random = seededRandom(t)

  property(t, 'garbage is accepted or refused, and nothing else happens', 20_000, () =>
    complaint(garbage(random)),
  )

  property(t, 'well-formed names are accepted', 5_000, () => {
    const text = wellFormed(random)
    return complaint(text) ?? (parsed(text) ? undefined : `${text} was refused`)
  })

  property(t, 'well-formed names with one character changed', 20_000, () => {
    const text = wellFormed(random)
    const at = random.below(text.length + 1)
    return complaint(text.slice(0, at) + random.of(NASTY) + text.slice(at + random.below(2)))
  })

  property(t, 'the case of a host does not matter', 5_000, () => {
    const host = hostName(random)
    return (
      differs(parseTargetName(anyCase(random, host)).text, host) ??
      differs(parseTargetName(`host/${anyCase(random, host)}`).text, `host/${host}`)
    )
  })

  property(t, 'all spellings of an IPv6 address are one name', 5_000, () => {
    const groups = Array.from({ length: 8 }, () => (random.below(3) ? random.below(65536) : 0))
    const one = parseTargetName(spelling(random, groups)).text
    const other = spelling(random, groups)
    return (
      differs(parseTargetName(other).text, one) ??
      differs(parseTargetName(`host/[${other}]`).text, `host/[${one}]`)
    )
  })

  property(t, 'other IPv6 addresses are other names', 5_000, () => {
    const groups = Array.from({ length: 8 }, () => random.below(65536))
    const others = [...groups]
    others[random.below(8)] = random.below(65536)
    const name = parseTargetName(spelling(random, groups)).text
    const other = parseTargetName(spelling(random, others)).text
    return (name === other) === (groups.join() === others.join()) ? undefined : `${name} ${other}`
  })

  property(t, 'a pin is itself, and no other pin', 5_000, () => {
    const bytes = Buffer.from(Array.from({ length: 32 }, () => random.below(256)))
    const text = `sha256/${bytes.toString('base64')}`
    const name = parseTargetName(text)
    if (name.kind !== 'pin' || !bytes.equals(Buffer.from(name.digest, 'base64'))) return text
    const at = 7 + random.below(43)
    const other = text.slice(0, at) + random.of([...'AZaz09+/']) + text.slice(at + 1)
    if (other !== text && parsed(other)?.text === text) return `${other} is taken for ${text}`
    return differs(name.text, text) ?? complaint(other)
  })
})

/** Runs a check often; it gives what is wrong, or nothing. One assertion, as thousands of "ok" help nobody. */
function property(t: Test, title: string, rounds: number, check: () => string | undefined): void {
  const complaints: string[] = []
  for (let round = 0; round < rounds && complaints.length < 5; round++) {
    const complaint = check()
    if (complaint !== undefined) complaints.push(visible(complaint))
  }
  t.strictSame(complaints, [], title)
}

/** In ASCII: what breaks a line would break the report. */
function visible(text: string): string {
  return text.replace(/[^ -~]/g, each => `<${each.charCodeAt(0).toString(16)}>`)
}

function differs(found: string, wanted: string): string | undefined {
  return found === wanted ? undefined : `${found} instead of ${wanted}`
}

function parsed(text: string): TargetName | undefined {
  try {
    return parseTargetName(text)
  } catch {
    return undefined
  }
}

/** What is wrong with how a text is parsed, whatever the text. */
function complaint(text: string): string | undefined {
  const shown = JSON.stringify(text)
  let name: TargetName
  try {
    name = parseTargetName(text)
  } catch (error) {
    const code = text === '' ? 'EFAULT' : 'EINVAL'
    if (!(error instanceof SocketSecurityError) || error.code !== code)
      return `${shown} threw ${error}`
    return UNSEEN.test(error.message) ? `${shown} stands in its message as it is` : undefined
  }
  if (parsed(name.text)?.text !== name.text) return `${shown}: ${name.text} is no canonical form`
  if (/\s/.test(name.text) || UNSEEN.test(name.text)) return `${shown}: ${name.text} is accepted`
  switch (name.kind) {
    case 'uri':
      return differs(name.uri, text) ?? differs(name.text, text)
    case 'pin':
      return differs(name.text, text) ?? differs(`sha256/${name.digest}`, text)
    case 'ip':
      return differs(name.address, name.text)
    case 'raw':
      return `${shown} is raw, and nobody has asked for it`
    default:
      if (!/^[a-z0-9_.:-]+$/.test(name.host)) return `${shown}: the host is ${name.host}`
      return /[?#\\%]/.test(hostOf(text)) ? `${shown}: only ${name.host} is left` : undefined
  }
}

/** Control and format characters, lone surrogates, and what ends a line. */
const UNSEEN = /[\p{C}\u2028\u2029]/u

/** The part of a text in which the host stands; a zone in brackets may have a percent sign. */
function hostOf(text: string): string {
  return (text.includes('/') ? (text.split('/')[1] as string) : text).replace(/^\[.*\]/, '')
}

/** Characters that mean something to some parser. */
const NASTY = [
  ...'/:@?#[]%\\*.-_+=,;!$&\'"()<>{}|^`~ \t\r\n\0\x7f',
  ...'aZ09ßéİı。．\u00a0\u2028\ufeff１\u0085\u202e\u00ad',
  '\ud800',
  '\u{1F600}',
  'sha256/',
  '://',
  'xn--',
  '::',
  'urn:',
]

function garbage(random: Random): string {
  return random.text(NASTY, 0, 12)
}

function wellFormed(random: Random): string {
  const host = hostName(random)
  const address = random.of(['10.0.0.5', '255.255.255.255', '0.0.0.0'])
  const groups = Array.from({ length: 8 }, () => random.below(65536))
  const ipv6 = spelling(random, groups)
  const spn = `${random.text('abcXYZ09_.-', 1, 10)}/${random.of([host, address, `[${ipv6}]`])}`
  return random.of([
    host,
    `${host}.`,
    address,
    ipv6,
    spn,
    `${spn}:${1 + random.below(65535)}`,
    `${spn}/${random.text('abc.:@', 1, 8)}`,
    `${spn}:${1 + random.below(65535)}/${random.text('abc.:@', 1, 8)}`,
    `spiffe://${host}/${random.text('aZ0/-._~%:@!$&()*+,;=?#', 0, 20)}`,
    `urn:example:${random.text('aZ0:/-', 0, 20)}`,
    PIN,
  ])
}

/** Letters first, since a last label of digits is no name. */
function hostName(random: Random): string {
  const label = () => `${random.text('abcxyz', 1, 3)}${random.text('abc019_', 0, 8)}`
  return Array.from({ length: 1 + random.below(4) }, label).join('.')
}

function anyCase(random: Random, text: string): string {
  return [...text].map(each => (random.below(2) ? each.toUpperCase() : each)).join('')
}

/** One of the ways to write an address: leading zeros, upper case, `::`, an IPv4 tail. */
function spelling(random: Random, groups: readonly number[]): string {
  const hex = (value: number) => {
    const digits = value.toString(16).padStart(random.below(5), '0')
    return random.below(2) ? digits.toUpperCase() : digits
  }
  const [high = 0, low = 0] = groups.slice(6)
  const tail = random.below(4)
    ? groups.slice(6).map(hex)
    : [[high >> 8, high & 255, low >> 8, low & 255].join('.')]
  const written = [...groups.slice(0, 6).map(hex), ...tail].join(':')
  // A run of zero groups, anywhere, may be left away once.
  const shortened = written.replace(/(^|:)0+(:0+)*(:|$)/, '::')
  const text = random.below(2) ? shortened : written
  if (!isIPv6(text)) throw new Error(`${text} is a mistake of this test`)
  return text
}

const RAW = { ipsec: { rawPeerName: true } }

// A distinguished name, say: what its authority wrote is what the system compares.
t.test('a raw name is what was written, for settings that ask for it', async t => {
  for (const text of ['CN=DB 1, O=Example', 'HOST/Db.Example.com.', 'user@EXAMPLE.COM', 'a:b:c'])
    t.strictSame(parseTargetNameFor(RAW, text), { kind: 'raw', text })
  for (const settings of [null, undefined, {}, { ipsec: { rawPeerName: false } }]) {
    t.throws(() => parseTargetNameFor(settings, 'CN=DB 1, O=Example'), { code: 'EINVAL' })
    t.equal(parseTargetNameFor(settings, 'DB.example.com').text, 'db.example.com')
  }
  t.ok(Object.isFrozen(parseTargetNameFor(RAW, 'a')))
})

t.test('a raw name is a text that reaches the system whole', async t => {
  for (const text of [undefined, null, ''])
    t.throws(() => parseTargetNameFor(RAW, text), { code: 'EFAULT' })
  for (const text of [5, {}, 'a\0b', 'a\nb', '\ud800', 'x'.repeat(2049)])
    t.throws(() => parseTargetNameFor(RAW, text), { code: 'EINVAL' })
})

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { inspectPolicy, parsePolicy } from '../../../src/model/policy/parse.js'
import { problemText } from '../../../src/model/policy/problems.js'
import { seededRandom } from '../random.js'

const file = '/etc/secure-socket/policy.json'
const parse = (policy: object) => parsePolicy(JSON.stringify(policy), file)
const problems = (json: string) => inspectPolicy(json, file).problems.map(problemText)

t.test('every path goes from the folder of the policy, and becomes the URL of a file', async t => {
  const { settings } = parse({
    identity: {
      cert: ['host.crt', '../chain.crt'],
      key: '/keys/host.key',
      passphrase: 'pass phrase#1',
      ca: ['ca.crt'],
      psk: { identity: 'host', key: 'own.key' },
      acceptedPsk: { 'sensor-17': 'psk/17' },
      ticketKeys: 'tickets',
    },
    streams: { keylog: 'keys.log' },
  })
  const paths = JSON.parse(
    JSON.stringify(settings.client, (_key, value) =>
      typeof value === 'string' && value.startsWith('file:') ? fileURLToPath(value) : value,
    ),
  )
  t.strictSame(paths, {
    cert: ['/etc/secure-socket/host.crt', '/etc/chain.crt'],
    key: '/keys/host.key',
    passphrase: '/etc/secure-socket/pass phrase#1',
    ca: ['/etc/secure-socket/ca.crt'],
    psk: [
      { identity: 'host', key: '/etc/secure-socket/own.key' },
      { 'sensor-17': '/etc/secure-socket/psk/17' },
    ],
    ticketKeys: '/etc/secure-socket/tickets',
    keylog: '/etc/secure-socket/keys.log',
  })
})

t.test('servers differ from streams where they say so, and datagrams have their own', async t => {
  const { settings } = parse({
    protocol: 'tls',
    streams: { minVersion: 'TLSv1.3', requestCert: false },
    servers: { requestCert: true },
    datagrams: { idleTimeout: 1000 },
  })
  t.strictSame(settings.client, { protocol: 'tls', minVersion: 'TLSv1.3', requestCert: false })
  t.strictSame(settings.server, { protocol: 'tls', minVersion: 'TLSv1.3', requestCert: true })
  t.strictSame(settings.datagram, { protocol: 'tls', idleTimeout: 1000 })
})

t.test('an empty policy is one, and it sets nothing', async t => {
  const policy = parse({})
  t.strictSame(policy.settings, { client: {}, server: {}, datagram: {} })
  t.strictSame([policy.clear, policy.targetNames], [[], []])
  t.strictSame(policy.applicationMaySet, new Set())
  t.ok(parsePolicy('\ufeff{"$schema": "x", "$comment": "why"}', file), 'as editors write it')
})

t.test('all faults are told at once, each with its place', async t => {
  const broken = {
    protocol: 'ssl',
    Identity: {},
    identity: { cert: '', key: ['a', 7], ca: [], PSK: 1, psk: { identity: 'x' }, acceptedPsk: {} },
    streams: {
      minVersion: 'TLSv1.1',
      handshakeTimeout: -1,
      alpn: ['h2'],
      ipsec: { password: 'x' },
    },
    datagrams: { allowInsecure: true, mtu: 10, minVersion: 'TLSv1.2', keylog: 3 },
    targetNames: [{ host: 'a' }, { targetName: 'b' }, { address: '10.0.0.1/8', targetName: '*.x' }],
    clear: [
      {},
      { port: 0 },
      { port: '9-8' },
      { address: 'fe80::/200' },
      { host: '10.1.1.1' },
      { host: 'a', address: '10.0.0.1' },
      { pipes: true, port: 5 },
      { loopback: false },
      { direction: 'both', loopback: true },
      'loopback',
    ],
    applicationMaySet: ['alpn', 'sni', 'peerTargetNames'],
  }
  const found = problems(JSON.stringify(broken))
  const expected = [
    /^\$\.protocol is "ssl": give one of default, tls, ipsec$/,
    /^\$\.Identity is not known there: did you mean identity\?$/,
    /^\$\.identity\.cert is a string of 0 characters: give the path of a file$/,
    /^\$\.identity\.key\[1\] is 7: give the path of a file$/,
    /^\$\.identity\.ca is an array of 0: give at least one$/,
    /^\$\.identity\.PSK is not known there: did you mean psk\?$/,
    /^\$\.identity\.psk has no key: give identity and key$/,
    /^\$\.identity\.acceptedPsk is empty: /,
    /^\$\.streams\.minVersion is "TLSv1\.1": give one of TLSv1\.2, TLSv1\.3$/,
    /^\$\.streams\.handshakeTimeout is -1: give a positive number of milliseconds$/,
    /^\$\.streams\.alpn is not known there: there can be guaranteeEncryption, /,
    /^\$\.streams\.ipsec\.password is not known there: /,
    /^\$\.datagrams\.allowInsecure is not known there: /,
    /^\$\.datagrams\.mtu is 10: give a whole number from 256 to 65535$/,
    /^\$\.datagrams\.minVersion is "TLSv1\.2": give one of DTLSv1\.2, DTLSv1\.3$/,
    /^\$\.datagrams\.keylog is 3: give the path of a file$/,
    /^\$\.targetNames\[0\] has no targetName: /,
    /^\$\.targetNames\[1\] says not whose name "b" is: /,
    /^\$\.targetNames\[2\]\.address is "10\.0\.0\.1\/8": give an address or a range /,
    /^\$\.targetNames\[2\]\.targetName is "\*\.x" cannot be used: /,
    /^\$\.clear\[0\] says not what stays clear: /,
    /^\$\.clear\[1\]\.port is 0: /,
    /^\$\.clear\[2\]\.port is "9-8": /,
    /^\$\.clear\[3\]\.address is "fe80::\/200": /,
    /^\$\.clear\[4\]\.host is "10\.1\.1\.1": .* addresses belong in address$/,
    /^\$\.clear\[5\] has host and address: give each in a rule of its own$/,
    /^\$\.clear\[6\] has port beside pipes: give each in a rule of its own$/,
    /^\$\.clear\[7\]\.loopback is false: give true, or leave it out$/,
    /^\$\.clear\[8\]\.direction is "both": give one of out, in$/,
    /^\$\.clear\[9\] is "loopback": give an object, \{…\}$/,
    /^\$\.applicationMaySet\[1\] is "sni": there can be protocol, /,
    /^\$\.applicationMaySet\[2\] is "peerTargetNames": did you mean peerTargetName\?$/,
  ]
  for (const each of expected)
    t.ok(
      found.some(line => each.test(line)),
      String(each),
    )
  t.equal(
    found.length,
    expected.length,
    found.filter(f => !expected.some(e => e.test(f))).join('\n'),
  )
  t.throws(() => parse(broken), {
    code: 'ERR_POLICY_INVALID',
    message:
      /^the policy \/etc\/secure-socket\/policy\.json cannot be used.*\n {2}\$\.protocol is "ssl".*\n {2}/s,
  })
})

t.test('what concerns several settings is told at its section', async t => {
  t.strictSame(problems('{"streams": {"allowInsecure": true}}'), [
    '$.streams.allowInsecure is true: it needs an explicit guaranteeEncryption: false',
  ])
  t.match(
    problems('{"streams": {"minVersion": "TLSv1.3"}, "servers": {"maxVersion": "TLSv1.2"}}'),
    [/^\$\.servers\.maxVersion is "TLSv1\.2": it is below minVersion TLSv1\.3$/],
  )
  t.match(problems('{"datagrams": {"ipsec": {"mainModePolicy": "x"}}}'), [
    /^\$\.datagrams\.ipsec\.mainModePolicy /,
  ])
  t.match(problems('{"identity": {"cert": "a"}}'), [
    '$.identity.cert stands there without key: give both',
  ])
  t.match(problems('{"identity": {"acceptedPsk": {"identity": "a", "key": "b"}}}'), [
    /^\$\.identity\.acceptedPsk has exactly the names identity and key/,
  ])
  t.match(problems(JSON.stringify({ identity: { acceptedPsk: { 'a\0b': 'f' } } })), [
    /^\$\.identity\.acceptedPsk .*NUL/,
  ])
})

t.test('what is no JSON is told by line and column, without the text itself', async t => {
  for (const [text, line, column] of [
    ['', 1, 1],
    ['{\n  "clear": [],\n}', 3, 1],
    ['{"a": "secret', 1, 7],
    ['{"a": 01}', 1, 8],
    ["{'a': 1}", 1, 2],
    ['{} {}', 1, 4],
    ['[1 2]', 1, 4],
    ['nul', 1, 1],
    ['['.repeat(100_000), 1, 22],
  ] as const) {
    t.strictSame(problems(text), [`$ is no JSON: look at line ${line}, column ${column}`])
  }
  for (const text of ['[]', '7', 'null', '"x"'])
    t.match(problems(text), [/^\$ is .*give an object/])
})

t.test('of two keys of one name, none is taken in silence', async t => {
  t.strictSame(problems('{"clear": [], "x y": {"a": [{"b": 1, "b": 2}]}, "clear": []}'), [
    '$["x y"].a[0].b stands there twice: leave one out',
    '$.clear stands there twice: leave one out',
    ...problems('{"x y": 1}'),
  ])
  t.match(problems('{"streams": {}, "stre\\u0061ms": {}}'), [
    '$.streams stands there twice: leave one out',
  ])
})

t.test('names of every object are no members', async t => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    t.match(problems(`{"${key}": {}}`), [/is not known there/], key)
    t.match(problems(`{"streams": {"${key}": true}}`), [/is not known there/], key)
    t.match(problems(`{"applicationMaySet": ["${key}"]}`), [/there can be/], key)
  }
  const { settings } = parsePolicy(
    '{"identity": {"acceptedPsk": {"__proto__": "a", "b": "c"}}}',
    file,
  )
  t.strictSame(Object.keys((settings.client.psk as object[])[0] as object).sort(), [
    '__proto__',
    'b',
  ])
})

// A policy is written by hand, and can be anything: it is refused with its faults, never with a crash.
t.test('whatever the text is, the answer is a policy or its faults', async t => {
  const { of: pick, below } = seededRandom(t)
  const seeds = [
    '{"streams": {"minVersion": "TLSv1.3", "ipsec": {"rawPeerName": true}}, "clear": [{"port": "1-2"}]}',
    '{"identity": {"cert": ["a"], "key": "b", "psk": {"identity": "\\u00e9", "key": "k"}}, "servers": {}}',
    '{"targetNames": [{"address": "::1/128", "targetName": "x"}], "applicationMaySet": true, "datagrams": {"mtu": 1e3}}',
  ]
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'null',
    '-1',
    '1e999',
    'true',
    ' ',
    '\0',
    '"clear"',
    '\ud800',
  ]
  let valid = 0
  for (let round = 0; round < 3000; round++) {
    let text = pick(seeds)
    for (let change = below(4); change > 0; change--) {
      const at = below(text.length)
      text = text.slice(0, at) + pick(pieces) + text.slice(at + below(3))
    }
    const { policy, problems } = inspectPolicy(text, file)
    t.equal(policy === null, problems.length > 0) || t.comment(text)
    if (policy) valid += 1
    let isJson = true
    try {
      JSON.parse(text)
    } catch {
      isJson = false
    }
    const toldSo = problems.some(each => each.message.startsWith('is no JSON'))
    if (toldSo === isJson) t.fail(`JSON.parse and ours differ: ${text}`)
  }
  t.ok(valid > 100, `${valid} were policies`)
})

t.test('an object whose text cannot be asked for is a fault as another', async t => {
  // JSON can give it a toString, which is no function: String() throws.
  const odd = { toString: 1, valueOf: null }
  t.strictSame(problems(JSON.stringify({ applicationMaySet: [odd] })).length, 1)
  for (const key of ['mainModePolicy', 'authentication', 'viciSocket', 'ikeProposals'])
    t.match(problems(JSON.stringify({ streams: { ipsec: { [key]: odd } } })), [
      new RegExp(`^\\$\\.streams\\.ipsec\\.${key} is `),
    ])
})

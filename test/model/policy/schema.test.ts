/** The published schema says what the parser says: an editor that knows it is right. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { applicationSettings } from '../../../src/model/policy/application-may-set.js'
import { inspectPolicy } from '../../../src/model/policy/parse.js'
import { datagramKeys, streamKeys } from '../../../src/model/policy/settings-reader.js'
import { parseSettings } from '../../../src/model/settings.js'
import { seededRandom } from '../random.js'

interface Schema {
  readonly description?: string
  readonly enum?: string[]
  readonly properties: Record<string, Schema>
  readonly $defs: Record<string, Schema>
}

const schema = JSON.parse(
  readFileSync(new URL('../../../policy.schema.json', import.meta.url), 'utf8'),
) as Schema
const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true })
const validate = ajv.compile(schema)
const isPolicy = (value: unknown) =>
  inspectPolicy(JSON.stringify(value), '/policy.json').policy !== null

t.test('it knows every setting, and its default', async t => {
  const { streams, datagrams, applicationSetting } = schema.$defs
  const names = (part?: Schema) =>
    Object.keys(part?.properties ?? {}).filter(key => key !== '$comment')
  t.strictSame(names(streams), [...streamKeys])
  t.strictSame(names(datagrams), [...datagramKeys])
  t.strictSame(applicationSetting?.enum, applicationSettings)
  for (const [part, parsed] of [
    [streams, parseSettings({})],
    [datagrams, parseSettings({}, 'datagram')],
  ] as const) {
    for (const [name, { description = '' }] of Object.entries(part?.properties ?? {})) {
      const told = /Default: (\S+)\.$/.exec(description)?.[1]
      if (told !== undefined) t.equal(told, String((parsed as never)[name]), name)
    }
  }
})

t.test('what it takes is taken, what it refuses is refused', async t => {
  const random = seededRandom(t)
  let taken = 0
  for (let round = 0; round < 3000; round++) {
    const policy = change(structuredClone(random.of(good)) as Json, random)
    const accepted = isPolicy(policy)
    if (accepted) taken += 1
    // What needs several settings at once, or the form of a text, is for the parser alone.
    const finer =
      !accepted && onlyFiner(inspectPolicy(JSON.stringify(policy), '/policy.json').problems)
    if (validate(policy) !== accepted && !finer) {
      t.same(validate.errors, [], JSON.stringify(policy))
      t.same(inspectPolicy(JSON.stringify(policy), '/policy.json').problems, [])
      return
    }
  }
  t.ok(taken > 500 && taken < 2800, `${taken} of them are policies`)
})

t.test('each of these is a policy, by both', async t => {
  for (const policy of good) {
    t.ok(validate(policy), JSON.stringify(validate.errors))
    t.strictSame(inspectPolicy(JSON.stringify(policy), '/policy.json').problems, [])
  }
})

t.test('none of these is one, by either', async t => {
  const bad: readonly object[] = [
    { identity: { ca: [] } },
    { identity: { cert: 'a' } },
    { identity: { acceptedPsk: {} } },
    { identity: { acceptedPsk: { identity: 'a', key: 'b' } } },
    { identity: { psk: { identity: 'a' } } },
    { identity: { ca: 'a\nb' } },
    { streams: { cert: 'a' } },
    { streams: { ipsec: { password: 'x' } } },
    { datagrams: { allowInsecure: false } },
    { targetNames: [{ host: 'a', address: '::1', targetName: 'b' }] },
    { targetNames: [{ transport: 'tcp', targetName: 'b' }] },
    { clear: [{ transport: 'tcp' }] },
    { clear: [{ loopback: true, address: '::1' }] },
    { clear: [{ pipes: true, transport: 'tcp' }] },
    { clear: [{ loopback: false }] },
    { clear: { loopback: true } },
    { applicationMaySet: false },
    { applicationMaySet: ['all'] },
  ]
  for (const policy of bad) {
    t.notOk(validate(policy), JSON.stringify(policy))
    t.notOk(isPolicy(policy), JSON.stringify(policy))
  }
})

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null

const good: readonly object[] = [
  {},
  {
    $schema: 'x',
    $comment: 'y',
    protocol: 'tls',
    identity: { cert: 'a', key: ['b'], ca: ['c', 'd'], crl: 'e', passphrase: 'f', ticketKeys: 'g' },
    streams: { minVersion: 'TLSv1.3', keylog: 'x', handshakeTimeout: 0.5, sharePort: true },
    servers: { requestCert: true, allowInsecure: false, ciphers: 'x' },
  },
  {
    identity: {
      psk: { identity: 'a', key: 'b' },
      acceptedPsk: { c: 'd', identity: 'e' },
      pfx: 'x',
    },
    datagrams: { mtu: 256, maxSessions: 1, resumeAfter: 0, idleTimeout: 1000, keylog: false },
    applicationMaySet: ['alpn', 'mtu', 'peerTargetName'],
  },
  {
    targetNames: [
      { host: 'db.internal', port: 5432, targetName: 'host/db.example.com' },
      { host: '*.Internal.', transport: 'tcp', targetName: 'spiffe://x/y' },
      { address: '10.0.0.0/8', port: '8000-8010', targetName: '10.0.0.1' },
      { port: 1, targetName: 'x' },
    ],
    clear: [
      { loopback: true },
      { pipes: true },
      { address: '::1', direction: 'in' },
      { host: 'localhost', transport: 'udp', port: 53 },
      { port: 65535 },
    ],
    applicationMaySet: true,
  },
  { protocol: 'ipsec', streams: { ipsec: { rawPeerName: true } }, datagrams: { ipsec: {} } },
  {
    protocol: 'ipsec',
    streams: {
      ipsec: { viciSocket: '/run/charon.vici', localIdentity: 'a', authentication: 'psk' },
    },
    datagrams: { ipsec: { ikeProposals: ['aes256'], espProposals: ['aes128gcm16-ecp256'] } },
  },
]

const values: readonly Json[] = [
  ...[
    '',
    'x',
    'a\0b',
    'TLSv1.2',
    'DTLSv1.2',
    'default',
    'tls',
    '10.0.0.1',
    '10.1.2.3/8',
    '1-2',
    '2-1',
  ],
  ...[0, 1, -1, 0.5, 65536, 2 ** 31, 1e300, true, false, null, 'alpn', 'localhost', '10.0.0'],
  ...[
    [],
    {},
    ['x'],
    ['alpn'],
    { host: 'a', targetName: 'b' },
    { pipes: true },
    { identity: 'a', key: 'b' },
  ],
]

/** One to three changes: a value somewhere, a member more or less. */
function change(policy: Json, random: ReturnType<typeof seededRandom>): Json {
  const keys = [
    ...applicationSettings,
    ...Object.keys(schema.properties),
    ...Object.keys(schema.$defs.clearRule ?? {}),
  ]
  keys.push(
    'host',
    'address',
    'port',
    'loopback',
    'pipes',
    'direction',
    'transport',
    'targetName',
    'identity',
    'key',
  )
  for (let left = random.below(4); left > 0; left--) {
    let at: Json = policy
    for (let depth = random.below(4); depth > 0; depth--) {
      const inner: Json[] = Object.values(at as object).filter(
        each => typeof each === 'object' && each,
      )
      if (inner.length > 0) at = random.of(inner)
    }
    const there = Object.keys(at as object)
    const key = there.length > 0 && random.below(3) > 0 ? random.of(there) : random.of(keys)
    if (Array.isArray(at)) at.push(structuredClone(random.of(values)))
    else if (random.below(4) === 0) delete (at as Record<string, Json>)[key]
    else (at as Record<string, Json>)[key] = structuredClone(random.of(values))
  }
  return policy
}

/** Finer than a schema says it: each of these faults is one of the parser's alone. */
function onlyFiner(problems: readonly { message: string }[]): boolean {
  return problems.every(({ message }) =>
    /^(is "[^"]*": give an address|is "[^"]*": give a port|is "[^"]*" cannot be used|is .*: (it needs an explicit|it is below|a server that requires)|.*is for streams only)/.test(
      message,
    ),
  )
}

/**
 * The settings that a program gives, whatever they are: they are taken whole and copied, or refused by an
 * error that is documented and shows no secret. What a getter or a proxy of the program's throws is its own.
 */
import { types } from 'node:util'
import fc, { type Arbitrary } from 'fast-check'
import t from 'tap'
import { parseSettings, type SocketKind, settingNames } from '../../../src/model/settings.js'
import { locateFiles } from '../../../src/policy/settings-files.js'
import { holds } from './property.js'

const SECRET = 'S3CRET-that-shows-nowhere'
const harmless = new Set(
  [...settingNames('stream'), ...settingNames('datagram')].filter(
    each => !/^(cert|key|pfx|passphrase|ca|crl|psk|ticketKeys)$/.test(each),
  ),
)
class OfTheProgram extends Error {}
const mine = new OfTheProgram('mine')

/** Values that checks are wrong about. */
const odd: Arbitrary<unknown> = fc.oneof(
  fc.anything({ withNullPrototype: true, withTypedArray: true, withBigInt: true, withDate: true }),
  fc.constantFrom<unknown>(
    ...[
      Number.NaN,
      -0,
      Number.MAX_VALUE,
      2 ** 31,
      2 ** 53,
      1e-9,
      '',
      '\0',
      '\ud800',
      'x'.repeat(1e6),
    ],
    ...[Symbol('s'), () => 'x', new Proxy({}, {}), new Proxy([], {}), Object.freeze({})],
    ...[new Date(Number.NaN), /x/, new Map(), new SharedArrayBuffer(8), new ArrayBuffer(0)],
    ...[
      JSON.parse('{"__proto__":{"ca":"x"}}'),
      { toString: null, valueOf: 1 },
      Object.create(null),
    ],
    Object.setPrototypeOf(Buffer.alloc(3), null),
    Object.defineProperty(Buffer.alloc(48), 'byteLength', { value: 5 }),
  ),
)
/** What is good for some setting. */
const good: Arbitrary<unknown> = fc.constantFrom<unknown>(
  ...[true, false, 0, 1, 1200, 5000, 'tls', 'ipsec', 'default', 'TLSv1.2', 'TLSv1.3', 'DTLSv1.2'],
  ...[
    SECRET,
    [SECRET],
    Buffer.from(SECRET),
    Buffer.alloc(48),
    [Buffer.alloc(48)],
    ['h2'],
    ['SRTP_X'],
  ],
  ...[{ identity: 'me', key: Buffer.from(SECRET) }, { you: Buffer.from(SECRET) }, () => undefined],
  ...[{ pem: SECRET, passphrase: SECRET }, { buf: SECRET }, { rawPeerName: true }, {}, null],
  ...[
    { userName: 'u', password: SECRET },
    { userName: 'u', password: Buffer.from(SECRET) },
  ],
  { mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789', localIdentity: 'me' },
  new URL('file:///key'),
)
const throwing = fc.constantFrom(
  () => new Proxy({}, { ownKeys: () => raise() }),
  () => new Proxy({}, { get: () => raise() }),
  () => new Proxy([1], { get: () => raise() }),
  () => Object.defineProperty({}, 'identity', { get: raise, enumerable: true }),
)

const value = fc.oneof(
  { arbitrary: good, weight: 5 },
  { arbitrary: odd, weight: 3 },
  { arbitrary: throwing.map(make => make()), weight: 1 },
)
const key = (kind: SocketKind) =>
  fc.oneof(
    { arbitrary: fc.constantFrom(...settingNames(kind)), weight: 9 },
    {
      arbitrary: fc.constantFrom(
        '__proto__',
        'constructor',
        'toString',
        'then',
        'CA',
        '',
        'password',
      ),
      weight: 1,
    },
  )
const settings = (kind: SocketKind) =>
  fc.array(fc.tuple(key(kind), value), { maxLength: 6 }).map(entries => {
    const object = {}
    for (const [name, each] of entries)
      Object.defineProperty(object, name, { value: each, enumerable: true, configurable: true })
    return object
  })

for (const kind of ['stream', 'datagram'] as const) {
  t.test(`settings of a ${kind}`, async t => {
    const prototype = Reflect.ownKeys(Object.prototype).length
    let taken = 0
    await holds(t, settings(kind), 800, given => {
      const outcome = attempt(() => parseSettings(given, kind))
      const again = attempt(() => parseSettings(given, kind))
      if (outcome.parsed !== undefined) {
        taken += 1
        if (!Object.isFrozen(outcome.parsed)) throw new Error('they can be changed')
        if (Object.getPrototypeOf(outcome.parsed) !== null) throw new Error('they inherit')
        const isEqual = outcome.parsed.fingerprint === again.parsed?.fingerprint
        // A password is a function of its own each time, and equal all the same.
        if (!isEqual) throw new Error('the same settings are others the second time')
      } else isDocumented(outcome.error)
      const located = attempt(() => locateFiles(given))
      if (located.error !== undefined) isDocumented(located.error)
      if (Reflect.ownKeys(Object.prototype).length !== prototype) throw new Error('polluted')
      if ('ca' in {}) throw new Error('polluted')
    })
    t.ok(taken > 30, `${taken} were good`)
  })
}

t.test('what stands on Object.prototype sets nothing', async t => {
  const names = [...settingNames('stream'), ...settingNames('datagram'), 'pem', 'buf']
  const ofIpsec = [
    'userName',
    'password',
    'localIdentity',
    'skipFilterInstantiation',
    'mainModePolicy',
  ]
  const given = [
    {},
    { cert: 'x', key: { pem: 'y' } },
    { pfx: { buf: 'z' } },
    { protocol: 'ipsec', ipsec: { rawPeerName: true } },
    { psk: { identity: 'me', key: Buffer.alloc(16, 1) } },
  ] as object[]
  const parse = () => given.map(each => parseSettings(each, 'stream').fingerprint)
  const clean = parse().join()
  const where = new URL('file:///key')
  const pollution = fc.tuple(fc.constantFrom(...names, ...ofIpsec), good)
  await holds(t, pollution, 200, ([name, evil]) => {
    Object.defineProperty(Object.prototype, name, { value: evil, configurable: true })
    try {
      if (parse().join() !== clean) throw new Error(`${name} counts`)
      if (given.some(each => locateFiles(each) !== null)) throw new Error(`${name} is a file`)
      const { files } = locateFiles({ cert: where, key: { pem: where } }) ?? {}
      if (files?.length !== 2) throw new Error(`${name} is one more file`)
    } finally {
      delete (Object.prototype as Record<string, unknown>)[name]
    }
  })
})

function attempt<T>(run: () => T): { parsed?: T; error?: unknown } {
  try {
    return { parsed: run() }
  } catch (error) {
    return { error }
  }
}

function isDocumented(error: unknown): void {
  if (error === mine) return
  const { name, code, message } = Object(error) as Error & { code?: string }
  if (name !== 'SocketSecurityError' || !['EINVAL', 'EOPNOTSUPP'].includes(code ?? '')) throw error
  const of = /^security\.(\w+)/.exec(message)?.[1] ?? ''
  // What was put where no secret belongs may be shown, so that it can be found.
  if (message.includes(SECRET) && !harmless.has(of))
    throw new Error(`it shows a secret: ${message}`)
  if (message.length > 3000) throw new Error(`it is too long: ${message.length}`)
  if (types.isProxy(error)) throw new Error('it is of the program')
}

function raise(): never {
  throw mine
}

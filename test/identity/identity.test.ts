import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'
import { publicKeyPin } from '../../src/model/peer-identity.js'
import { testAuthority } from '../support/identities.js'

const DAY_MS = 24 * 60 * 60 * 1000

t.test('an identity is signed by its authority and carries its names', async t => {
  const authority = await testAuthority()
  const names = [
    'host/db.example.com:5000/primary',
    'localhost',
    '*.example.org',
    '10.0.0.5',
    'ldap/[2001:db8::1]:389',
    'spiffe://example.com/db',
  ]
  const identity = await createIdentity({ authority, names })
  const certificate = new X509Certificate(identity.cert)

  t.ok(certificate.verify(new X509Certificate(authority.cert).publicKey))
  t.ok(certificate.checkIssued(new X509Certificate(authority.cert)))
  t.ok(certificate.checkPrivateKey(createPrivateKey(identity.key)))
  t.equal(certificate.ca, false)
  t.equal(identity.ca, authority.cert)
  t.equal(identity.pin, publicKeyPin(certificate))
  t.equal(
    certificate.subjectAltName,
    'DNS:db.example.com, DNS:localhost, DNS:*.example.org, IP Address:10.0.0.5, ' +
      'IP Address:2001:DB8:0:0:0:0:0:1, URI:spiffe://example.com/db',
  )
  t.ok(certificate.checkHost('any.example.org', { subject: 'never' }))
  t.ok(certificate.checkIP('2001:db8::1'))
  t.notOk(certificate.checkHost('example.org', { subject: 'never' }))
})

t.test(
  'an identity can be spread into settings: the pin is no setting and stays behind',
  async t => {
    const identity = await createIdentity({ names: ['localhost'] })
    t.match(identity.pin, /^sha256\//)
    t.same(Object.keys({ ...identity }), ['cert', 'key', 'ca'])
  },
)

t.test('a self-signed identity trusts itself and nobody else', async t => {
  const { cert, ca } = await createIdentity({ names: ['localhost'] })
  const certificate = new X509Certificate(cert)
  t.equal(ca, cert)
  t.ok(certificate.verify(certificate.publicKey))
  t.equal(certificate.ca, false, 'it can sign for nobody')
})

for (const [usage, purposes] of [
  [undefined, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']],
  ['both', ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']],
  ['server', ['1.3.6.1.5.5.7.3.1']],
  ['client', ['1.3.6.1.5.5.7.3.2']],
] as const) {
  t.test(`usage ${usage} allows exactly that`, async t => {
    const { cert } = await createIdentity({ names: ['localhost'], usage })
    t.same(new X509Certificate(cert).keyUsage, purposes)
  })
}

t.test('validity', async t => {
  const end = ({ cert }: { cert: string }) => Date.parse(new X509Certificate(cert).validTo)
  const names = ['localhost']

  t.test('is 397 days unless said otherwise', async t => {
    const days = (end(await createIdentity({ names })) - Date.now()) / DAY_MS
    t.ok(Math.abs(days - 397) < 0.01)
  })

  t.test('can be less than a day', async t => {
    const hours = (end(await createIdentity({ names, days: 1 / 24 })) - Date.now()) / 3_600_000
    t.ok(Math.abs(hours - 1) < 0.01)
  })

  t.test('by default ends with the authority, when that is earlier', async t => {
    const authority = await createAuthority({ days: 30 })
    t.equal(end(await createIdentity({ authority, names })), end(authority))
  })

  t.test('that was asked for beyond the authority is refused, not silently cut', async t => {
    const authority = await createAuthority({ days: 30 })
    const failure = createIdentity({ authority, names, days: 31 })
    await t.rejects(failure, { code: 'EINVAL', message: /^days: .* after its authority/ })
  })
})

t.test('the common name is for people: a name too long for it is left out, not cut', async t => {
  const short = await createIdentity({ names: ['host/db.example.com'] })
  t.equal(new X509Certificate(short.cert).subject, 'CN=db.example.com')

  const name = `spiffe://example.com/${'x'.repeat(60)}`
  const long = new X509Certificate((await createIdentity({ names: [name] })).cert)
  t.equal(long.subject, 'CN=secure-socket identity')
  t.equal(long.subjectAltName, `URI:${name}`)
})

t.test('an authority can come from files, as Buffers', async t => {
  const { cert, key } = await testAuthority()
  const authority = { cert: Buffer.from(cert), key: Buffer.from(key) }
  const identity = await createIdentity({ authority, names: ['localhost'] })
  t.equal(identity.ca, cert)
})

t.test('an authority that cannot sign is EINVAL, and no key is shown', async t => {
  const good = await testAuthority()
  const other = await createAuthority()
  const leaf = await createIdentity({ authority: good, names: ['localhost'] })
  const past = await createAuthority({ notBefore: new Date(Date.now() - 2 * DAY_MS), days: 1 })
  const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey
  const k1 = curve.export({ type: 'pkcs8', format: 'pem' }) as string
  for (const [why, authority, message] of [
    ['null', null, /^authority /],
    ['a string', 'pki', /^authority\.?/],
    ['another key', { cert: good.cert, key: other.key }, /^authority.key is not the key of/],
    ['a curve we do not sign with', { cert: good.cert, key: k1 }, /^authority.key/],
    ['no key', { cert: good.cert, key: 'secret nonsense' }, /^authority.key is no private key/],
    ['a key that is absent', { cert: good.cert }, /^authority.key must be PEM/],
    ['no certificate', { cert: 'nonsense', key: good.key }, /^authority.cert is no certificate/],
    ['a broken one', { cert: good.cert.replace('MII', 'MIX'), key: good.key }, /^authority.cert/],
    ['no authority', { cert: leaf.cert, key: leaf.key }, /^authority.cert is not .* an authority/],
    ['an expired one', past, /^authority.cert has expired/],
  ] as const) {
    const failure = createIdentity({ authority: authority as never, names: ['localhost'] })
    await t.rejects(failure, { code: 'EINVAL', message }, why)
    await failure.catch(error => t.notMatch(inspect(error), /secret nonsense/))
  }
})

for (const [why, options, message] of [
  ['no options', undefined, /names/],
  ['no names', {}, /^names is undefined/],
  ['a text for the list of names', { names: 'localhost' }, /^names is "localhost": give a list/],
  ['an empty list of names', { names: [] }, /^names/],
  ['a number for a name', { names: [5] }, /^names: .*5/],
  ['a name with a blank', { names: ['a b'] }, /^names: .*"a b"/],
  ['an unknown option', { names: ['a'], name: 'a' }, /name/],
  ['an unknown usage', { names: ['a'], usage: 'any' }, /^usage is "any": use server, client, both/],
  ['a path for a file name', { names: ['a'], file: '../a' }, /^file is "\.\.\/a"/],
] as const) {
  t.test(`${why} is EINVAL`, async t => {
    await t.rejects(createIdentity(options as never), { code: 'EINVAL', message })
  })
}

import { createPrivateKey, X509Certificate } from 'node:crypto'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { SocketSecurityError } from '../../src/model/errors.js'

const DAY_MS = 24 * 60 * 60 * 1000

t.test('an authority is a self-signed certificate that may sign, with its key', async t => {
  const before = Date.now()
  const authority = await createAuthority()
  const certificate = new X509Certificate(authority.cert)

  t.equal(certificate.ca, true)
  t.equal(certificate.subject, 'CN=secure-socket authority')
  t.ok(certificate.verify(certificate.publicKey), 'signed by itself')
  t.ok(certificate.checkPrivateKey(createPrivateKey(authority.key)))
  t.match(authority.key, /^-----BEGIN PRIVATE KEY-----/, 'PKCS #8')
  t.match(authority.pin, /^sha256\/[A-Za-z0-9+/]{43}=$/)

  const days = (Date.parse(certificate.validTo) - before) / DAY_MS
  t.ok(Math.abs(days - 3650) < 0.01, `valid for 3650 days, not ${days}`)
  const skew = before - Date.parse(certificate.validFrom)
  t.ok(skew >= 4 * 60_000 && skew <= 6 * 60_000, 'from five minutes ago, for clocks behind ours')
})

t.test('no two authorities are alike', async t => {
  const [one, other] = await Promise.all([createAuthority(), createAuthority()])
  const serials = [one, other].map(({ cert }) => new X509Certificate(cert).serialNumber)
  t.not(one.key, other.key)
  t.not(serials[0], serials[1])
})

// RFC 5280, 4.1.2.2: positive and at most 20 octets; 64 unpredictable bits at least.
t.test('serial numbers are positive, long and of one length', async t => {
  for (let count = 0; count < 20; count++) {
    const { serialNumber } = new X509Certificate((await createAuthority()).cert)
    t.match(serialNumber, /^[4-7][0-9A-F]{31}$/, serialNumber)
  }
})

for (const [algorithm, type, detail] of [
  ['ecdsa-p256', 'ec', { namedCurve: 'prime256v1' }],
  ['ecdsa-p384', 'ec', { namedCurve: 'secp384r1' }],
  ['ed25519', 'ed25519', {}],
  ['rsa-2048', 'rsa', { modulusLength: 2048 }],
] as const) {
  t.test(`an ${algorithm} authority has such a key and signs with it`, async t => {
    const certificate = new X509Certificate((await createAuthority({ algorithm })).cert)
    t.equal(certificate.publicKey.asymmetricKeyType, type)
    t.match(certificate.publicKey.asymmetricKeyDetails, detail)
    t.ok(certificate.verify(certificate.publicKey))
  })
}

t.test('a validity beyond 2049 keeps its year', async t => {
  const notBefore = new Date('2048-05-04T03:02:01Z')
  const { cert } = await createAuthority({ notBefore, days: 1000 })
  const certificate = new X509Certificate(cert)
  t.equal(new Date(certificate.validFrom).toISOString(), '2048-05-04T03:02:01.000Z')
  t.equal(new Date(certificate.validTo).toISOString(), '2051-01-29T03:02:01.000Z')
})

for (const [option, value, shown] of [
  ['days', 0, /days is 0/],
  ['days', -1, /days is -1/],
  ['days', Number.NaN, /days is NaN/],
  ['days', '10', /days is "10"/],
  ['days', 1e9, /days is 1000000000/],
  ['notBefore', '2026-01-01', /notBefore is "2026-01-01"/],
  ['notBefore', new Date(Number.NaN), /notBefore/],
  ['algorithm', 'dsa', /algorithm is "dsa".*ecdsa-p256/],
  ['name', '', /name is ""/],
  ['name', 'x'.repeat(65), /name is "xxx.*64/],
  ['nmae', 'typed in haste', /nmae.*name/],
] as const) {
  t.test(`${option}: ${String(value)} is EINVAL, naming the option and the value`, async t => {
    const failure = createAuthority({ [option]: value })
    await t.rejects(failure, { code: 'EINVAL', message: shown })
    await failure.catch(error => t.ok(error instanceof SocketSecurityError))
  })
}

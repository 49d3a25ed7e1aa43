import { execFileSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import t, { type Test } from 'tap'
import type { CertifiedName } from '../../src/identity/certified-name.js'
import {
  certificateIdentity,
  checkCertificate,
  checkValidity,
  publicKeyPin,
} from '../../src/model/peer-identity.js'
import { parseTargetName } from '../../src/model/target-name.js'
import { requireProgram } from '../support/foreign-program.js'
import {
  expiredIdentity,
  futureIdentity,
  selfSignedIdentity,
  testIdentity,
} from '../support/identities.js'
import { certificateWith, opensslCertificate } from './certificates.js'

const SECOND_MS = 1000

t.test('every form of a target name is proved by its own kind of name', async t => {
  const certificate = await identityCertificate([
    'db.example.com',
    '10.0.0.5',
    '2001:db8::1',
    'spiffe://example.org/db',
    'urn:uuid:1',
  ])
  const pin = publicKeyPin(certificate)
  proves(t, certificate, [
    'db.example.com',
    'DB.Example.Com.',
    'host/db.example.com',
    'HTTP/db.example.com:8080/any',
    '10.0.0.5',
    'host/10.0.0.5:5000',
    '::ffff:10.0.0.5',
    '2001:db8::1',
    '2001:0DB8:0:0::0.0.0.1',
    'host/[2001:DB8::1]',
    'spiffe://example.org/db',
    'urn:uuid:1',
    pin,
  ])
  provesNot(t, certificate, [
    'example.com',
    'a.db.example.com',
    'b.example.com',
    'db.example.com.evil.example',
    'host/other.example.com',
    '10.0.0.6',
    'host/10.0.0.6',
    '2001:db8::2',
    'https://db.example.com',
    'spiffe://example.org/db/',
    'spiffe://example.org/DB',
    'SPIFFE://example.org/db',
    'spiffe://example.org',
    'urn:uuid:10',
    otherPin(pin),
  ])
})

t.test('a refusal names both', async t => {
  const certificate = await identityCertificate(['db.example.com', '::1', 'spiffe://x/y'])
  t.throws(() => checkCertificate(certificate, parseTargetName('host/A.example'), '10.0.0.5:1'), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    peer: '10.0.0.5:1',
    message: /host\/a\.example.*db\.example\.com.*::1.*spiffe:\/\/x\/y/,
  })
  const pin = otherPin(publicKeyPin(certificate))
  const refusal = refusalOf(certificate, pin)
  t.ok(refusal?.message.includes(pin) && refusal.message.includes(publicKeyPin(certificate)))
  t.match(refusalOf(await certificateWith([]), 'db.example.com'), { message: /no name/ })
})

// RFC 9525: two authorities that disagree about what a common name means once cost users their data.
t.test('a common name is nobody’s name', async t => {
  provesNot(t, await certificateWith([], { commonName: 'db.example.com' }), ['db.example.com'])
  const elsewhere = [{ type: 'dns', value: 'other.example.com' }] as const
  const both = await certificateWith(elsewhere, { commonName: 'db.example.com' })
  proves(t, both, ['other.example.com'])
  provesNot(t, both, ['db.example.com', 'host/db.example.com'])
  t.same(certificateIdentity(both).names, ['other.example.com'])
})

t.test('a wildcard stands for one whole label at the left', async t => {
  proves(t, await dnsCertificate('*.example.com'), ['a.example.com', 'host/a.example.com:1'])
  for (const [pattern, ...names] of [
    ['*.example.com', 'example.com', 'a.b.example.com', 'example.com.', 'aexample.com'],
    ['d*.example.com', 'db.example.com', 'd.example.com'],
    ['*b.example.com', 'db.example.com'],
    ['d*b.example.com', 'db.example.com', 'dxb.example.com'],
    ['a.*.example.com', 'a.b.example.com'],
    ['*.*.example.com', 'a.b.example.com'],
    ['xn--*.example.com', 'xn--9ca.example.com'],
    ['*.com', 'example.com'],
    ['*', 'localhost', 'com'],
    ['.example.com', 'a.example.com', 'example.com'],
  ] as const)
    provesNot(t, await dnsCertificate(pattern), names)
})

t.test('an address is no host name, and a host name no address', async t => {
  provesNot(t, await dnsCertificate('10.0.0.5'), ['10.0.0.5', 'host/10.0.0.5'])
  provesNot(t, await certificateWith([{ type: 'uri', value: 'db.example.com' }]), [
    'db.example.com',
  ])
  provesNot(t, await dnsCertificate('spiffe://example.org/db'), ['spiffe://example.org/db'])
  provesNot(t, await certificateWith([{ type: 'uri', value: '10.0.0.5' }]), ['10.0.0.5'])
})

// CVE-2021-44532: such a name, printed as it is, becomes two for whoever reads the printed form.
for (const separator of [', ', ',', '\n', '\0', '", DNS:"', '\\', "', '"]) {
  t.test(`a name with ${JSON.stringify(separator)} in it is one name`, async t => {
    const hostile = `attacker.example${separator}DNS:victim.example${separator}URI:spiffe://v/x`
    const innocent: CertifiedName = { type: 'dns', value: 'innocent.example' }
    for (const type of ['dns', 'uri'] as const) {
      const certificate = await certificateWith([{ type, value: hostile }, innocent])
      provesNot(t, certificate, [
        'victim.example',
        'attacker.example',
        'host/victim.example',
        'spiffe://v/x',
      ])
      proves(t, certificate, ['innocent.example'])
      const { names } = certificateIdentity(certificate)
      t.notOk(names.includes('victim.example'), 'nor is it shown as two')
      t.ok(names.includes('innocent.example'), 'and it hides no other')
    }
  })
}

t.test('a hostile certificate of OpenSSL’s making', async t => {
  const openssl = requireProgram(t, 'openssl')
  if (!openssl) return
  const certificate = await opensslCertificate(openssl, {
    commonName: 'victim.example',
    alternativeNames: `
DNS.1 = attacker.example, DNS:victim.example
URI.1 = http://attacker.example, URI:spiffe://victim/x
DNS.2 = innocent.example
IP.1 = ::1`,
  })
  provesNot(t, certificate, ['victim.example', 'attacker.example', 'spiffe://victim/x'])
  proves(t, certificate, ['innocent.example', '::1'])
})

t.test('a certificate of OpenSSL’s making with a common name alone', async t => {
  const openssl = requireProgram(t, 'openssl')
  if (!openssl) return
  const certificate = await opensslCertificate(openssl, { commonName: 'victim.example' })
  t.equal(certificate.subjectAltName, undefined)
  provesNot(t, certificate, ['victim.example', 'host/victim.example'])
})

// An application that looks for a host in `names` must find hosts there, not whatever an authority
// certifies as somebody's e-mail address.
t.test('an identity shows DNS names, addresses and URIs, and nothing else', async t => {
  const openssl = requireProgram(t, 'openssl')
  if (!openssl) return
  const certificate = await opensslCertificate(openssl, {
    alternativeNames: `
email.1 = db.example.com@example.org
dirName.1 = directory
otherName.1 = 1.3.6.1.4.1.311.20.2.3;UTF8:db.example.com
RID.1 = 1.2.3.4
DNS.1 = innocent.example
IP.1 = 2001:db8:0:0::1
IP.2 = 10.0.0.5
URI.1 = spiffe://example.org/x`,
  })
  t.same(certificateIdentity(certificate).names, [
    'innocent.example',
    '2001:db8::1',
    '10.0.0.5',
    'spiffe://example.org/x',
  ])
})

t.test('a pin is the digest of the public key, as others compute it', async t => {
  const openssl = requireProgram(t, 'openssl')
  if (!openssl) return
  for (const algorithm of ['ecdsa-p256', 'ed25519', 'rsa-2048'] as const) {
    const { cert, pin } = await testIdentity(undefined, { algorithm })
    const publicPem = execFileSync(openssl, ['x509', '-noout', '-pubkey'], { input: cert })
    const toDer = ['pkey', '-pubin', '-outform', 'DER']
    const der = execFileSync(openssl, toDer, { input: publicPem })
    t.equal(pin, `sha256/${createHash('sha256').update(der).digest('base64')}`, algorithm)
  }
})

t.test('a pin proves a certificate without names, and nothing else does', async t => {
  const nameless = await certificateWith([])
  const other = new X509Certificate((await selfSignedIdentity()).cert)
  proves(t, nameless, [publicKeyPin(nameless)])
  provesNot(t, other, [publicKeyPin(nameless)])
})

// OpenSSL does not verify a certificate again when a session is resumed, so the clock is looked at here.
t.test('no name is proved outside of the validity', async t => {
  const expired = new X509Certificate((await expiredIdentity()).cert)
  const future = new X509Certificate((await futureIdentity()).cert)
  for (const name of ['localhost', '127.0.0.1', publicKeyPin(expired)])
    t.match(refusalOf(expired, name), { code: 'CERT_HAS_EXPIRED', message: /expired/ })
  for (const name of ['localhost', '127.0.0.1', publicKeyPin(future)])
    t.match(refusalOf(future, name), { code: 'CERT_NOT_YET_VALID', message: /not valid before/ })
  t.match(refusalOf(expired, 'localhost'), { message: expired.validTo }, 'and it is said when')
})

t.test('the validity ends with the second that it names', async t => {
  const brief = await certificateWith([], { from: -60 * SECOND_MS, to: 60 * SECOND_MS })
  const [from, to] = [Date.parse(brief.validFrom), Date.parse(brief.validTo)]
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  for (const [time, code] of [
    [from - 1, 'CERT_NOT_YET_VALID'],
    [from, undefined],
    [to, undefined],
    [to + SECOND_MS, 'CERT_HAS_EXPIRED'],
  ] as const) {
    Date.now = () => time
    let found: string | undefined
    try {
      checkValidity(brief)
    } catch (error) {
      found = (error as { code: string }).code
    }
    t.equal(found, code, new Date(time).toISOString())
  }
})

t.test('an identity says who, by which name, and shows the certificate', async t => {
  const certificate = await identityCertificate(['db.example.com', '::1'])
  t.strictSame(certificateIdentity(certificate), {
    names: ['db.example.com', '::1'],
    pin: publicKeyPin(certificate),
    certificate,
  })
  const identity = certificateIdentity(certificate, parseTargetName('host/DB.example.com'))
  t.equal(identity.targetName, 'host/db.example.com')
})

t.test('a hostile name does not forge a line of the log', async t => {
  const value = 'urn:a\n2026-01-01 INFO peer accepted'
  const refusal = refusalOf(await certificateWith([{ type: 'uri', value }]), 'db.example.com')
  t.notMatch(refusal?.message, /\n/)
})

async function identityCertificate(names: readonly string[]): Promise<X509Certificate> {
  return new X509Certificate((await testIdentity(names)).cert)
}

function dnsCertificate(value: string): Promise<X509Certificate> {
  return certificateWith([{ type: 'dns', value }])
}

function proves(t: Test, certificate: X509Certificate, names: readonly string[]): void {
  for (const name of names)
    t.equal(refusalOf(certificate, name), undefined, `${shown(certificate)} proves ${name}`)
}

function provesNot(t: Test, certificate: X509Certificate, names: readonly string[]): void {
  for (const name of names)
    t.match(
      refusalOf(certificate, name),
      { code: 'ERR_PEER_TARGET_NAME_MISMATCH' },
      `${shown(certificate)} does not prove ${name}`,
    )
}

function refusalOf(certificate: X509Certificate, name: string): Error | undefined {
  const targetName = parseTargetName(name)
  try {
    checkCertificate(certificate, targetName)
    return undefined
  } catch (error) {
    return error as Error
  }
}

function shown(certificate: X509Certificate): string {
  return certificate.subjectAltName ?? 'no alternative name'
}

/** A well-formed pin that differs in its first bit. */
function otherPin(pin: string): string {
  const digest = Buffer.from(pin.slice('sha256/'.length), 'base64')
  digest[0] = (digest[0] as number) ^ 0x80
  return `sha256/${digest.toString('base64')}`
}

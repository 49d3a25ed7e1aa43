import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createIdentity } from '../../src/identity/identity.js'
import { typed } from '../support/command-line.js'
import { expiredIdentity, selfSignedIdentity, testIdentity } from '../support/identities.js'

const certificate = (file: string) => new X509Certificate(readFileSync(file))

t.test('an authority and an identity, as the help shows it', async t => {
  const directory = t.testdir()
  const cwd = process.cwd()
  process.chdir(directory)
  t.teardown(() => process.chdir(cwd))

  const authority = await typed('identity', 'authority')
  t.equal(authority.stderr, '')
  t.equal(authority.code, 0)
  t.match(authority.stdout, /authority\.crt .*\n.*authority\.key .*secret/)

  const identity = await typed('identity', 'create', '--name', 'host/db.example.com')
  t.equal(identity.stderr, '')
  t.equal(identity.code, 0)
  t.match(identity.stdout, "cert: readFileSync('db.example.com.crt')")
  t.match(identity.stdout, "ca: readFileSync('authority.crt')")

  t.same(readdirSync('.').sort(), [
    'authority.crt',
    'authority.key',
    'db.example.com.crt',
    'db.example.com.key',
  ])
  t.ok(certificate('db.example.com.crt').verify(certificate('authority.crt').publicKey))
  if (process.platform !== 'win32') {
    t.equal(statSync('authority.key').mode & 0o777, 0o600)
    t.equal(statSync('db.example.com.key').mode & 0o777, 0o600)
  }

  const again = await typed('identity', 'authority')
  t.same(again, {
    code: 1,
    stdout: '',
    stderr: 'secure-socket: directory: authority.key exists and is not overwritten\n',
  })
})

t.test('every option reaches the certificate, and machines can read the result', async t => {
  const directory = t.testdir()
  const pki = join(directory, 'pki')
  const hosts = join(directory, 'hosts')
  const authority = await typed(
    ...['identity', 'authority', '--json', '--dir', pki],
    ...['--name', 'Example CA', '--days', '30', '--algorithm', 'ecdsa-p384'],
  )
  t.equal(authority.code, 0, authority.stderr)
  const madeAuthority = JSON.parse(authority.stdout)
  const root = certificate(madeAuthority.cert)
  t.equal(root.subject, 'CN=Example CA')
  t.equal(root.publicKey.asymmetricKeyDetails?.namedCurve, 'secp384r1')
  t.match(madeAuthority, { cert: join(pki, 'authority.crt'), key: join(pki, 'authority.key') })
  t.equal(madeAuthority.notAfter, new Date(root.validTo).toISOString())

  const identity = await typed(
    ...['identity', 'create', '--json', '--authority', pki, '--dir', hosts, '--file', 'db'],
    ...['--name', 'host/db.example.com', '--name', '10.0.0.5', '--days', '2'],
    ...['--usage', 'server', '--algorithm', 'ed25519'],
  )
  t.equal(identity.code, 0, identity.stderr)
  const made = JSON.parse(identity.stdout)
  t.match(made, {
    cert: join(hosts, 'db.crt'),
    key: join(hosts, 'db.key'),
    ca: join(pki, 'authority.crt'),
    names: ['host/db.example.com', '10.0.0.5'],
    pin: /^sha256\//,
  })
  const leaf = certificate(made.cert)
  t.equal(leaf.subjectAltName, 'DNS:db.example.com, IP Address:10.0.0.5')
  t.equal(leaf.publicKey.asymmetricKeyType, 'ed25519')
  t.same(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  t.ok(Math.abs(Date.parse(made.notAfter) - Date.now() - 2 * 86_400_000) < 60_000)
})

t.test('a self-signed identity comes with its pin, for the peers', async t => {
  const directory = t.testdir()
  const args = ['identity', 'create', '--self-signed', '--name', 'localhost', '--dir', directory]
  const { code, stdout } = await typed(...args)
  t.equal(code, 0)
  const pin = await typed('identity', 'pin', join(directory, 'localhost.crt'))
  t.match(stdout, `peerTargetName: '${pin.stdout.trim()}'`)
})

for (const [args, message] of [
  ['authority --days soon', 'days is "soon"'],
  ['authority --days 0', 'days is 0'],
  ['authority --algorithm dsa', 'algorithm is "dsa"'],
  ['authority --name=', 'name is ""'],
  ['create', '--name is missing'],
  ['create --name a|b', 'names: '],
  ['create --name *.com', 'names is "*.com"'],
  ['create --name a --usage any', 'usage is "any"'],
  ['create --name a --file ../a', 'file is "../a"'],
  ['create --name a --authority pki --self-signed', 'not both'],
] as const) {
  t.test(`"identity ${args}" is a usage error, and nothing is written`, async t => {
    const directory = join(t.testdir(), 'never')
    const { code, stdout, stderr } = await typed('identity', ...args.split(' '), '--dir', directory)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, message)
    t.notOk(existsSync(directory))
  })
}

t.test('without an authority, create says how to get one', async t => {
  const directory = t.testdir()
  const args = ['identity', 'create', '--name', 'a', '--authority', directory]
  const { code, stderr } = await typed(...args)
  t.equal(code, 1)
  t.match(stderr, `no authority: ${join(directory, 'authority.crt')} does not exist`)
  t.match(stderr, 'secure-socket identity authority')
})

t.test('show says what a certificate says', async t => {
  const { cert, ca, pin } = await testIdentity(['host/db.example.com', '::1', 'spiffe://a/b'])
  const directory = t.testdir({ 'chain.pem': `A text before.\n${cert}${ca}` })
  const file = join(directory, 'chain.pem')

  const people = await typed('identity', 'show', file)
  t.equal(people.code, 0, people.stderr)
  t.match(people.stdout, /^Identity CN=db\.example\.com\n {2}names +db\.example\.com, /)
  t.match(people.stdout, /usage +server, client\n/)
  t.match(people.stdout, `issuer  CN=test authority\n`)
  t.match(people.stdout, pin)
  t.match(people.stdout, /\n\nAuthority CN=test authority\n[\s\S]*issuer +itself\n/)

  const machines = JSON.parse((await typed('identity', 'show', '--json', file)).stdout)
  t.match(machines, [
    { authority: false, usage: ['server', 'client'], expired: false, pin },
    { authority: true, names: [], expired: false },
  ])
  t.equal(machines[0].notAfter, new Date(new X509Certificate(cert).validTo).toISOString())
})

t.test('nothing in the names of a certificate acts on a terminal that shows it', async t => {
  // Its URI sets the title of a terminal: ESC ] 0 ; t BEL
  const hostile = `-----BEGIN CERTIFICATE-----
MIIBojCCAUegAwIBAgIUUBZ1PIkOqOwJt2ZsRQctUno0eHIwCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDY2ExMB4XDTI2MTEyMjE0MDQzMloXDTI2MTIyMjE0MDQzMlow
DzENMAsGA1UEAwwEZXZpbDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAthF9GP
jtp2Jf7EmV1HDtbIpdfYPnX6XoXQLAR1i0SWj0Cqz7cSN1EdsQ8NxE4mvJu9fAOu
bhvNFL6SY69V0V2jgYEwfzA9BgNVHREENjA0oAoGAyoDBKADDAF4gg1hG1szMW1y
ZWQHwptYhhFzcGlmZmU6Ly94LxtdMDt0B4cEfwAAATAdBgNVHQ4EFgQU4S/Lzvq9
VTd5W7xhKeKimn77rDwwHwYDVR0jBBgwFoAU7o+tPgMOaNd370uGCdm6n2YbiUAw
CgYIKoZIzj0EAwIDSQAwRgIhAKQGhQ/mynToUhaYmF34nzXmf0yP7/KRDSshm5JZ
j16SAiEA8IzEFymwjKVJB3nFzDhXNCGUHOCNH5Mq93jC7nRy4pk=
-----END CERTIFICATE-----
`
  const file = join(t.testdir({ 'hostile.crt': hostile }), 'hostile.crt')
  const { code, stdout } = await typed('identity', 'show', file)
  t.equal(code, 0)
  t.match(stdout, 'names   spiffe://x/\\u{1b}]0;t\\u{7}, 127.0.0.1\n')
})

t.test('show tells that a certificate has expired', async t => {
  const { cert } = await expiredIdentity()
  const file = join(t.testdir({ 'old.crt': cert }), 'old.crt')
  const { code, stdout } = await typed('identity', 'show', file)
  t.equal(code, 0)
  t.match(stdout, /, EXPIRED\n/)
})

t.test('pin prints the pin alone, of PEM and of DER', async t => {
  const { cert, pin } = await selfSignedIdentity()
  const directory = t.testdir({ pem: cert })
  writeFileSync(join(directory, 'der'), new X509Certificate(cert).raw)
  for (const file of ['pem', 'der']) {
    t.equal((await typed('identity', 'pin', join(directory, file))).stdout, `${pin}\n`, file)
  }
  const machine = await typed('identity', 'pin', '--json', join(directory, 'pem'))
  t.same(JSON.parse(machine.stdout), { pin })
})

t.test('what is no certificate is named, and a key is not shown', async t => {
  const { key } = await createIdentity({ names: ['localhost'] })
  const directory = t.testdir({
    'a.key': key,
    empty: '',
    'der.crt': Buffer.from([0x30, 0x82, 0, 0]),
  })
  for (const [name, message] of [
    ['a.key', 'is no certificate in PEM'],
    ['empty', 'is no certificate in PEM'],
    ['der.crt', 'contains a broken certificate'],
    ['absent', 'does not exist'],
    ['.', 'cannot be read (EISDIR)'],
  ] as const) {
    const file = join(directory, name)
    const { code, stdout, stderr } = await typed('identity', 'show', file)
    t.same(
      { code, stdout, stderr },
      { code: 1, stdout: '', stderr: `secure-socket: ${file} ${message}\n` },
    )
  }
})

/** Certificates as code that is not ours sees them: the openssl command, and node:tls. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity, type Identity } from '../../src/identity/identity.js'
import { requireProgram } from '../support/foreign-program.js'
import {
  selfSignedIdentity,
  strangerIdentity,
  testAuthority,
  testIdentity,
} from '../support/identities.js'
import { run } from '../support/program.js'

const algorithms = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa-2048'] as const
const names = [
  'host/db.example.com',
  '*.example.org',
  '127.0.0.1',
  '::1',
  'spiffe://example.com/db',
]

const noOpenssl = !requireProgram(t, 'openssl')

/** Runs openssl in a directory and gives what it says. */
const openssl = async (cwd: string, commandLine: string) =>
  (await run('openssl', commandLine.split(' '), { cwd })).trim()

t.test('openssl verifies chains strictly', { skip: noOpenssl }, async t => {
  for (const algorithm of algorithms) {
    const directory = join(t.testdir(), algorithm)
    const authority = await createAuthority({ algorithm, directory })
    await createIdentity({ authority, algorithm, names, directory, file: 'leaf' })
    const verify = (file: string) =>
      openssl(directory, `verify -x509_strict -CAfile authority.crt ${file}`)

    t.equal(await verify('authority.crt'), 'authority.crt: OK', algorithm)
    t.equal(await verify('-purpose sslserver leaf.crt'), 'leaf.crt: OK', `${algorithm}, server`)
    t.equal(await verify('-purpose sslclient leaf.crt'), 'leaf.crt: OK', `${algorithm}, client`)
  }
})

t.test('openssl verifies a self-signed identity that is trusted', { skip: noOpenssl }, async t => {
  const directory = t.testdir()
  await createIdentity({ names, directory, file: 'self' })
  const verdict = await openssl(directory, 'verify -x509_strict -CAfile self.crt self.crt')
  t.equal(verdict, 'self.crt: OK')
})

t.test('openssl reads the extensions as they are meant', { skip: noOpenssl }, async t => {
  const directory = t.testdir()
  const authority = await createAuthority({ directory })
  await createIdentity({ authority, names, directory, file: 'leaf' })
  // Every extension on one line: its name, "critical" or nothing, and its value.
  const extensions = async (file: string) => {
    const text = await openssl(directory, `x509 -noout -text -in ${file}`)
    return [...text.matchAll(/X509v3 (?!extensions)(.*): *(critical)?\n +(.*)/g)].map(parts =>
      parts.slice(1).filter(Boolean).join(' | '),
    )
  }
  const id = /[0-9A-F:]{59}$/
  const root = await extensions('authority.crt')
  const rootId = root[2]?.match(id)?.[0]
  t.match(rootId, id)
  t.same(root, [
    'Basic Constraints | critical | CA:TRUE, pathlen:0',
    'Key Usage | critical | Certificate Sign, CRL Sign',
    `Subject Key Identifier | ${rootId}`,
    `Authority Key Identifier | ${rootId}`,
  ])
  const leaf = await extensions('leaf.crt')
  const leafId = leaf[4]?.match(id)?.[0]
  t.match(leafId, id)
  t.not(leafId, rootId)
  t.same(leaf, [
    'Basic Constraints | critical | CA:FALSE',
    'Key Usage | critical | Digital Signature',
    'Extended Key Usage | TLS Web Server Authentication, TLS Web Client Authentication',
    'Subject Alternative Name | DNS:db.example.com, DNS:*.example.org, IP Address:127.0.0.1, ' +
      'IP Address:0:0:0:0:0:0:0:1, URI:spiffe://example.com/db',
    `Subject Key Identifier | ${leafId}`,
    `Authority Key Identifier | ${rootId}`,
  ])
})

/** In full, because no configuration file gives them. */
const ofAuthority = [
  'basicConstraints=critical,CA:TRUE',
  'keyUsage=critical,keyCertSign',
  'subjectKeyIdentifier=hash',
]
  .map(extension => `-addext ${extension}`)
  .join(' ')

t.test('an authority that openssl made, an intermediate one', { skip: noOpenssl }, async t => {
  const directory = t.testdir({
    'ca.ext':
      'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n',
  })
  const read = (file: string) => readFileSync(join(directory, file), 'utf8')
  for (const commandLine of [
    // These keys are "BEGIN EC PRIVATE KEY", not PKCS #8 like ours.
    'ecparam -name prime256v1 -genkey -noout -out root.key',
    'ecparam -name secp521r1 -genkey -noout -out middle.key',
    `req -x509 -new -key root.key -subj /CN=root ${ofAuthority} -days 30 -out root.crt`,
    // A name of several parts, and of other string types than ours: it must be copied exactly.
    'req -new -key middle.key -subj /C=DE/O=Example/CN=middle -out middle.csr',
    'x509 -req -in middle.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile ca.ext -days 30 -out middle.crt',
  ]) {
    await openssl(directory, commandLine)
  }
  const key = read('middle.key')

  const authority = { cert: read('middle.crt') + read('root.crt'), key }
  const identity = await createIdentity({ authority, names, directory, file: 'leaf' })
  t.equal(identity.cert.match(/BEGIN CERTIFICATE/g)?.length, 2, 'the leaf and the middle')
  t.equal(identity.ca, read('root.crt'))
  const verify = 'verify -x509_strict -CAfile root.crt -untrusted middle.crt leaf.crt'
  t.equal(await openssl(directory, verify), 'leaf.crt: OK')
  t.equal(await handshake(identity, identity), 'hello')

  await t.rejects(
    createIdentity({ authority: { cert: read('middle.crt'), key }, names }),
    { code: 'EINVAL', message: /^authority.cert must end in a self-signed certificate/ },
    'without its root nobody could say what peers should trust',
  )
})

t.test('an authority whose kind of key TLS 1.3 does not know', { skip: noOpenssl }, async t => {
  const directory = t.testdir()
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k1.key'
  await openssl(directory, `req -x509 ${key} -subj /CN=k1 ${ofAuthority} -out k1.crt`)
  const [cert, k1] = ['k1.crt', 'k1.key'].map(file => readFileSync(join(directory, file)))
  const authority = { cert: cert as Buffer, key: k1 as Buffer }
  await t.rejects(createIdentity({ authority, names }), {
    code: 'EINVAL',
    message: /^the type of authority.key is "secp256k1": use an RSA, Ed25519, P-256/,
  })
})

t.test('node:tls accepts identities on both sides', async t => {
  for (const algorithm of algorithms) {
    const authority = await createAuthority({ algorithm })
    const server = await createIdentity({ authority, algorithm, names, usage: 'server' })
    const client = await createIdentity({
      authority,
      algorithm,
      names: ['client'],
      usage: 'client',
    })
    t.equal(await handshake(server, client), 'hello', algorithm)
  }
})

t.test('node:tls accepts a self-signed identity whose certificate is trusted', async t => {
  const self = await selfSignedIdentity(['db.example.com'])
  t.equal(await handshake(self, self), 'hello')
})

// Equal subjects could make a verifier take the identity for self-signed; the key identifiers differ.
t.test('an authority and its identity may have the same name', async t => {
  const authority = await createAuthority({ name: 'db.example.com' })
  const identity = await createIdentity({ authority, names: ['db.example.com'] })
  t.equal(await handshake(identity, identity), 'hello')
})

t.test('authorities of the same name can be trusted together', async t => {
  const [one, other] = await Promise.all([createAuthority(), createAuthority()])
  const ca = one.cert + other.cert
  const server = await createIdentity({ authority: other, names })
  const client = await createIdentity({ authority: one, names: ['client'] })
  t.equal(await handshake({ ...server, ca }, { ...client, ca }), 'hello')
})

t.test('every form of IPv6 address becomes the right bytes', async t => {
  const forms = ['::', '::1', '1::', '2001:db8::8:800:200c:417a', '1:2:3:4:5:6:7:8']
  const { cert } = await createIdentity({ names: [...forms, '::ffff:192.0.2.1'] })
  const certificate = new X509Certificate(cert)
  for (const address of forms) t.equal(certificate.checkIP(address), address, address)
  t.equal(certificate.checkIP('192.0.2.1'), '192.0.2.1', 'an IPv4-mapped address is the IPv4 one')
  t.equal(certificate.subjectAltName?.split(', ').length, forms.length + 1)
})

t.test('node:tls refuses what it should', async t => {
  const good = await testIdentity(names)
  const stranger = await strangerIdentity(names)
  const serverOnly = await testIdentity(['client'], { usage: 'server' })
  const otherName = await testIdentity(['other.example.com'])
  const { cert: ca } = await testAuthority()

  await t.rejects(handshake({ ...stranger, ca }, good), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  await t.rejects(handshake(otherName, good), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  t.equal(await handshake(good, serverOnly), 'INVALID_PURPOSE')
  t.equal(await handshake(good, { ...stranger, ca }), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

/**
 * A node:tls client and server on loopback, each with an identity, each asking for the other's. The
 * client checks the server as it does by default; the server's verdict is what it sends.
 */
async function handshake(
  serverIdentity: Pick<Identity, 'cert' | 'key' | 'ca'>,
  clientIdentity: Pick<Identity, 'cert' | 'key' | 'ca'>,
): Promise<string> {
  const settings = { ...serverIdentity, requestCert: true, rejectUnauthorized: false }
  const server = tls.createServer(settings, socket => {
    socket.on('error', () => {})
    socket.end(socket.authorized ? 'hello' : String(socket.authorizationError))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as { port: number }
    const socket = tls.connect({
      ...clientIdentity,
      port,
      host: '127.0.0.1',
      servername: 'db.example.com',
    })
    let heard = ''
    socket.setEncoding('utf8').on('data', text => {
      heard += text
    })
    await once(socket, 'end', { signal: AbortSignal.timeout(20_000) })
    return heard
  } finally {
    server.close()
  }
}

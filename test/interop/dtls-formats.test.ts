/** Credentials of datagram sockets in the forms that the openssl command writes, given to the settings as they are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../src/model/settings.js'
import { createEnd, handshake, say } from '../providers/dtls/pair.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { run } from '../support/program.js'
import { revocationList } from './authority.js'
import { ownDirectory } from './files.js'

const skip = !requireProgram(t, 'openssl')
const passphrase = 'correct horse'
const client = await identityOf(['client.example'])
const server = await identityOf(['localhost'])

async function identityOf(names: string[]) {
  const { cert, key, ca } = await testIdentity(names)
  return { cert, key, ca: ca as string }
}

/** The names that the two see of each other. */
function meet(client: DatagramSecuritySettings, server: DatagramSecuritySettings) {
  const pair = handshake({ client, server, targetName: 'localhost' })
  if (say(pair.client, pair.server, 'x') !== 'x') throw pair.client.failed[0] ?? pair.server.failed
  return [pair.client, pair.server].map(({ association }) => association.query().peer?.names)
}
const both = [['localhost'], ['client.example']]

t.test('PKCS#12', { skip }, async t => {
  const { ca } = client
  for (const form of [[], ['-certpbe', 'AES-256-CBC', '-keypbe', 'AES-256-CBC']]) {
    const [ofClient, ofServer] = [await archive(t, client, form), await archive(t, server, form)]
    t.same(meet({ pfx: ofClient, passphrase, ca }, { pfx: ofServer, passphrase, ca }), both)
    t.same(
      meet(
        { pfx: [{ buf: ofClient, passphrase }], ca },
        { pfx: { buf: ofServer, passphrase }, ca },
      ),
      both,
    )
    // As in node:tls, the authority that comes with our own identity is trusted.
    t.same(meet({ pfx: ofClient, passphrase }, { pfx: ofServer, passphrase, ca }), both)
  }
})

t.test('encrypted keys', { skip }, async t => {
  for (const how of [
    ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-passout', `pass:${passphrase}`],
    ['ec', '-aes256', '-passout', `pass:${passphrase}`],
  ]) {
    const directory = ownDirectory(t, { key: client.key })
    await run('openssl', [...how, '-in', 'key', '-out', 'encrypted'], { cwd: directory })
    const encrypted = readFileSync(join(directory, 'encrypted'))
    t.match(String(encrypted), /ENCRYPTED/)
    t.same(meet({ ...client, key: encrypted, passphrase }, server), both)
    t.same(meet({ ...client, key: { pem: encrypted, passphrase } }, server), both)
    t.throws(() => meet({ ...client, key: encrypted }, server), { code: 'EINVAL', message: /key/ })
  }
})

t.test('a wrong passphrase is EINVAL, and does not show itself', { skip }, async t => {
  const pfx = await archive(t, server, [])
  try {
    createEnd('server', { pfx, passphrase: 'wrong pony', ca: server.ca })
    t.fail('it was taken')
  } catch (error) {
    t.match(error, { code: 'EINVAL', message: /pfx/ })
    t.notMatch(`${(error as Error).stack}${JSON.stringify(error)}`, 'wrong pony')
  }
})

t.test('revocation lists', { skip }, async t => {
  const revoked = await revocationList(t, client.cert)
  const pair = handshake({ client, server: { ...server, crl: revoked }, targetName: 'localhost' })
  t.match(pair.server.failed, [{ code: 'CERT_REVOKED' }])
  t.match(pair.client.failed, [{ code: 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED' }])
  t.same(meet(client, { ...server, crl: await revocationList(t) }), both)
  t.same(meet({ ...client, crl: revoked }, server), both, 'the other one is not on it')
})

t.test('a chain through an intermediate authority', { skip }, async t => {
  const { leaf, key, intermediate, root } = await chain(t)
  const trusting = { ...client, ca: root }
  const whole = { ...server, cert: `${leaf}${intermediate}`, key }
  t.same(meet(trusting, whole), both)
  t.same(meet(trusting, { ...server, ca: [server.ca, intermediate], cert: leaf, key }), both)
  const missing = handshake({
    client: trusting,
    server: { ...server, cert: leaf, key },
    targetName: 'localhost',
  })
  t.match(missing.client.failed, [{ code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }])
  // The root is not sent: whoever trusts it has it.
  const withRoot = { ...server, ca: [server.ca, root], cert: leaf + intermediate + root, key }
  const sizes = [whole, withRoot].map(each => {
    const pair = handshake({ client: trusting, server: each, targetName: 'localhost' })
    return Buffer.concat(pair.server.sent).length
  })
  // Signatures differ by some bytes.
  t.ok(Math.abs((sizes[0] as number) - (sizes[1] as number)) < 20, `${sizes}`)
})

/** A root, an authority below it, and below that `localhost`. */
async function chain(t: Test) {
  const extensions = {
    authority: 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n',
    leaf: 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n',
  }
  const cwd = ownDirectory(t, extensions)
  const openssl = (command: string) => run('openssl', command.split(' '), { cwd })
  const newKey = 'req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
  for (const name of ['root', 'intermediate', 'localhost'])
    await openssl(`${newKey} -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`)
  const sign = 'x509 -req -days 2 -CAcreateserial'
  await openssl(`${sign} -in root.csr -key root.key -extfile authority -out root.crt`)
  const below = (name: string, issuer: string, extension: string) =>
    openssl(
      `${sign} -in ${name}.csr -CA ${issuer}.crt -CAkey ${issuer}.key -extfile ${extension} -out ${name}.crt`,
    )
  await below('intermediate', 'root', 'authority')
  await below('localhost', 'intermediate', 'leaf')
  const read = (name: string) => readFileSync(join(cwd, name), 'utf8')
  return {
    leaf: read('localhost.crt'),
    key: read('localhost.key'),
    intermediate: read('intermediate.crt'),
    root: read('root.crt'),
  }
}

async function archive(
  t: Test,
  { cert, key, ca }: { cert: string; key: string; ca: string },
  options: string[],
): Promise<Buffer> {
  const directory = ownDirectory(t, { cert, key, ca })
  const inputs = ['-export', '-in', 'cert', '-inkey', 'key', '-certfile', 'ca', '-out', 'pfx']
  await run('openssl', ['pkcs12', ...inputs, ...options, '-passout', `pass:${passphrase}`], {
    cwd: directory,
  })
  return readFileSync(join(directory, 'pfx'))
}

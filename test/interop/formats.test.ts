/** Credentials in the forms that the openssl command writes, given to the settings as they are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { SecuritySettings } from '../../src/model/settings.js'
import { createConnection } from '../../src/net.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { run } from '../support/program.js'
import { listening, trust } from '../support/secured.js'
import { ownDirectory } from './files.js'

const skip = !requireProgram(t, 'openssl')
const { ca } = await trust()
const passphrase = 'correct horse'

t.test('PKCS#12, of a client and of a server', { skip }, async t => {
  for (const legacy of [[], ['-certpbe', 'AES-256-CBC', '-keypbe', 'AES-256-CBC']]) {
    const client = await archive(t, ['client.example'], legacy)
    const server = await archive(t, ['localhost', '127.0.0.1'], legacy)
    t.same(await meet(t, { pfx: client, passphrase }, { pfx: server, passphrase }), [
      'client.example',
    ])
    t.same(
      await meet(t, { pfx: [{ buf: client, passphrase }] }, { pfx: { buf: server, passphrase } }),
      ['client.example'],
    )
  }
})

t.test('encrypted keys, PKCS #8 and the older form', { skip }, async t => {
  for (const how of [
    ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-passout', `pass:${passphrase}`],
    ['ec', '-aes256', '-passout', `pass:${passphrase}`],
  ]) {
    const { cert, key } = await testIdentity(['client.example'])
    const directory = ownDirectory(t, { key })
    await run('openssl', [...how, '-in', 'key', '-out', 'encrypted'], { cwd: directory })
    const encrypted = readFileSync(join(directory, 'encrypted'))
    t.match(String(encrypted), /ENCRYPTED/)
    const { cert: serverCert, key: serverKey } = await testIdentity()
    const server = { cert: serverCert, key: serverKey }
    t.same(await meet(t, { cert, key: encrypted, passphrase }, server), ['client.example'])
    t.same(await meet(t, { cert, key: { pem: encrypted, passphrase } }, server), ['client.example'])
  }
})

t.test(
  'a wrong passphrase is EINVAL, and does not show the right one or itself',
  { skip },
  async t => {
    const pfx = await archive(t, ['client.example'], [])
    const error = await refused({ pfx, passphrase: 'wrong pony', ca })
    t.match(error, { code: 'EINVAL', message: /pfx/ })
    t.notMatch(`${error.stack}${JSON.stringify(error)}`, 'wrong pony')
  },
)

t.test('DER, which node:tls does not take either, is EINVAL', { skip }, async t => {
  const { cert, key } = await testIdentity(['client.example'])
  const directory = ownDirectory(t, { cert })
  await run('openssl', 'x509 -in cert -outform DER -out der'.split(' '), { cwd: directory })
  const der = readFileSync(join(directory, 'der'))
  t.match(await refused({ cert: der, key, ca }), { code: 'EINVAL', message: /cert/ })
})

t.test('a ca without a certificate in it is EINVAL', async t => {
  for (const nothing of ['/etc/ssl/ca.pem', Buffer.from([0x30, 0x82, 0x01, 0x00])]) {
    t.match(await refused({ ca: nothing }), { code: 'EINVAL', message: /ca/ })
  }
})

/** The error of settings that cannot be used; nothing is dialled. */
function refused(security: SecuritySettings) {
  const socket = createConnection({ port: 1, host: '127.0.0.1', security })
  return failure(event(socket, 'connect'))
}

/** The names that the server sees of the client. */
async function meet(t: Test, client: SecuritySettings, server: SecuritySettings) {
  const own = { cert: undefined, key: undefined, ...server }
  const listens = await listening(t, { security: { ...own, ca, requestCert: true } } as never)
  const accepted = event(listens.server, 'connection')
  const security = { ca, ...client }
  const socket = createConnection({ port: listens.port, host: '127.0.0.1', security })
  t.teardown(() => socket.destroy())
  await socket.secured
  const [connection] = (await accepted) as [typeof socket]
  return (await connection.querySecurity()).peer?.names
}

async function archive(t: Test, names: string[], options: string[]): Promise<Buffer> {
  const { cert, key, ca } = await testIdentity(names)
  const directory = ownDirectory(t, { cert, key, ca })
  const inputs = ['-export', '-in', 'cert', '-inkey', 'key', '-certfile', 'ca', '-out', 'pfx']
  await run('openssl', ['pkcs12', ...inputs, ...options, '-passout', `pass:${passphrase}`], {
    cwd: directory,
  })
  return readFileSync(join(directory, 'pfx'))
}

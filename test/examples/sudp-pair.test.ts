/** The pair for datagrams, run as its users would: with the commands that the help names. */
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'
import { built } from './built.js'
import { examplePair, hasV6, inOrder } from './sdk-pairs.js'

const clientName = 'spiffe://example.com/sudpclient'
const directory = t.testdir()
const identities = join(directory, 'pki')
const { makeIdentities, startServer, runClient, run } = examplePair('sudp', identities)

t.before(async () => {
  await built()
  await makeIdentities(directory)
})

for (const { title, server, client, host, name, cipher } of [
  {
    title: 'by the default policy',
    server: [],
    client: [],
    host: 'localhost',
    name: 'host/localhost',
    cipher: 'TLS_ECDHE_ECDSA_WITH_',
  },
  {
    title: 'by settings of their own',
    server: ['--adv'],
    client: ['--adv'],
    host: '127.0.0.1',
    name: '127.0.0.1',
    cipher: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  },
  {
    title: 'over IPv6, one by settings of its own, spelled as in the SDK',
    server: ['-v6'],
    client: ['-v6', '-adv'],
    host: '::1',
    name: '::1',
    cipher: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  },
]) {
  const skip = host === '::1' && !hasV6 && 'no IPv6 on loopback'
  t.test(`secured ${title}`, { skip }, async t => {
    const sudpserver = await startServer(t, ...server)
    const { code, output } = await runClient(t, sudpserver.port, ...client, host)
    t.equal(code, 0, output)
    t.match(
      output,
      inOrder(
        `Sent 12345678 to ${name}`,
        `Received 91011121314 from ${name} at `,
        'Secured by DTLSv1.2',
        cipher,
        'The peer is localhost, 127.0.0.1, ::1',
      ),
    )
    await sudpserver.program.said(/Sent/)
    t.match(
      sudpserver.program.output,
      inOrder(
        'Secured a client at ',
        'Received 12345678',
        cipher,
        `The peer is ${clientName}`,
        `Access granted to ${clientName}`,
        'Sent 91011121314',
      ),
    )
  })
}

t.test('one socket and three servers, of which one is not who it should be', async t => {
  const other = await identitiesOf(t.testdir(), 'host/other.example.com')
  const servers = [
    await startServer(t),
    await startServer(t, '--identity', other),
    await startServer(t),
  ]
  const operands = servers.map(({ port }) => `localhost:${port}`)
  const { code, output } = await runClient(t, '1', ...operands)
  t.equal(code, 1, output)
  t.match(output, /^ERR_PEER_TARGET_NAME_MISMATCH: .*localhost.*other\.example\.com/m)
  t.equal(output.match(/^Received 91011121314 from host\/localhost/gm)?.length, 2, output)
  t.notMatch(servers[1]?.program.output, /Received/)
})

t.test('a client that may not is denied, although it has proved who it is', async t => {
  const { program, port } = await startServer(t, '--allow', 'spiffe://example.com/somebody')
  const client = runClient(t, port, 'localhost')
  await program.said(/Access denied to spiffe:\/\/example\.com\/sudpclient/)
  const { code, output } = await client
  t.equal(code, 1)
  t.match(output, 'host/localhost did not answer within')
  t.notMatch(program.output, /Sent/)
})

t.test('a client of another authority is refused', async t => {
  const strange = join(t.testdir(), 'pki')
  await createIdentity({
    authority: await createAuthority(),
    names: [clientName],
    directory: strange,
    file: 'sudpclient',
  })
  await copyFile(join(identities, 'authority.crt'), join(strange, 'authority.crt'))

  const { program, port } = await startServer(t)
  const { code, output } = await runClient(t, port, '--identity', strange, 'localhost')
  t.equal(code, 1)
  t.match(output, /^ERR_SSL_/)
  t.notMatch(program.output, /Received|Secured a client/)
})

for (const role of ['client', 'server'] as const) {
  t.test(`sudp${role} explains itself`, async t => {
    for (const asked of ['--help', '/?']) {
      const { code, output } = await run(t, role, asked)
      t.equal(code, 0)
      t.match(output, inOrder('Usage:', '--adv', '--v6', 'secure-socket identity authority'))
      t.notMatch(output, /.{101}/)
    }
    const { code, output } = await run(t, role, '--avd')
    t.equal(code, 2)
    t.match(output, inOrder('--avd', 'Usage:'))
  })
}

/** Those of a server that has the right authority, and a name of its own. */
async function identitiesOf(directory: string, name: string): Promise<string> {
  const other = join(directory, 'pki')
  await createIdentity({
    authority: { cert: await pem('authority.crt'), key: await pem('authority.key') },
    names: [name],
    directory: other,
    file: 'sudpserver',
  })
  await copyFile(join(identities, 'authority.crt'), join(other, 'authority.crt'))
  return other
}

function pem(file: string): Promise<string> {
  return readFile(join(identities, file), 'utf8')
}

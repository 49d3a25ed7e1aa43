/** The SDK's pair, run against each other as its users would: with the commands that the help names. */
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/identity/authority.js'
import { createIdentity } from '../../src/identity/identity.js'
import { built } from './built.js'
import { examplePair, hasV6, inOrder } from './sdk-pairs.js'

const clientName = 'spiffe://example.com/stcpclient'
const directory = t.testdir()
const identities = join(directory, 'pki')
const { makeIdentities, startServer, runClient, run } = examplePair('stcp', identities)

t.before(async () => {
  await built()
  await makeIdentities(directory)
})

for (const { title, server, client, host, cipher } of [
  {
    title: 'by the default policy',
    server: [],
    client: [],
    host: 'localhost',
    cipher: 'TLS_AES_256_GCM_SHA384',
  },
  {
    title: 'by settings of their own',
    server: ['--adv'],
    client: ['--adv'],
    host: 'localhost',
    cipher: 'TLS_AES_128_GCM_SHA256',
  },
  {
    title: 'one by settings of its own, spelled as in the SDK',
    server: ['-adv'],
    client: [],
    host: '127.0.0.1',
    cipher: 'TLS_AES_128_GCM_SHA256',
  },
  {
    title: 'over IPv6',
    server: ['--v6'],
    client: ['--v6'],
    host: '::1',
    cipher: 'TLS_AES_256_GCM_SHA384',
  },
  {
    title: 'over IPv6, by settings of their own',
    server: ['-v6', '-adv'],
    client: ['-v6', '-adv'],
    host: '::1',
    cipher: 'TLS_AES_128_GCM_SHA256',
  },
]) {
  const skip = host === '::1' && !hasV6 && 'no IPv6 on loopback'
  t.test(`secured ${title}`, { skip }, async t => {
    const stcpserver = await startServer(t, ...server)
    const { code, output } = await runClient(t, stcpserver.port, ...client, host)
    t.equal(code, 0, output)
    const name = host === 'localhost' ? 'host/localhost' : host
    t.match(output, inOrder(`Connected to ${name} at `, cipher, 'Sent 12345678', /91011121314/))
    t.match(output, /The peer is localhost, 127\.0\.0\.1, ::1/)

    await stcpserver.program.said(/Sent/)
    t.match(
      stcpserver.program.output,
      inOrder(
        'Accepted a client at ',
        cipher,
        `The peer is ${clientName}`,
        'Received 12345678',
        `Access granted to ${clientName}`,
        'Sent 91011121314',
      ),
    )
  })
}

t.test('a server with another name gets nothing', async t => {
  const other = join(t.testdir(), 'pki')
  await createIdentity({
    authority: { cert: await pem('authority.crt'), key: await pem('authority.key') },
    names: ['host/other.example.com'],
    directory: other,
    file: 'stcpserver',
  })
  await copyFile(join(identities, 'authority.crt'), join(other, 'authority.crt'))

  const { program, port } = await startServer(t, '--identity', other)
  const { code, output } = await runClient(t, port, 'localhost')
  t.equal(code, 1)
  t.match(output, /^ERR_PEER_TARGET_NAME_MISMATCH: .*localhost.*other\.example\.com/)
  // The server has seen the end of this client before it sees another.
  await program.said(/Refused a client|Lost a client/)
  t.notMatch(program.output, /Received/)
})

t.test('a client that may not is denied, although it has proved who it is', async t => {
  const { program, port } = await startServer(t, '--allow', 'spiffe://example.com/somebody')
  const { code, output } = await runClient(t, port, 'localhost')
  t.equal(code, 1)
  t.match(output, 'the server closed without an answer')
  await program.said(/Access denied to spiffe:\/\/example\.com\/stcpclient/)
  t.notMatch(program.output, /Sent/)
})

t.test('a client of another authority is refused', async t => {
  const strange = join(t.testdir(), 'pki')
  await createIdentity({
    authority: await createAuthority(),
    names: [clientName],
    directory: strange,
    file: 'stcpclient',
  })
  await copyFile(join(identities, 'authority.crt'), join(strange, 'authority.crt'))

  const { program, port } = await startServer(t)
  const { code } = await runClient(t, port, '--identity', strange, 'localhost')
  t.equal(code, 1)
  await program.said(/Refused a client/)
  t.notMatch(program.output, /Accepted/)
})

for (const role of ['client', 'server'] as const) {
  t.test(`stcp${role} explains itself`, async t => {
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

  t.test(`stcp${role} says how to make what is missing`, async t => {
    const host = role === 'client' ? ['localhost'] : []
    const { code, output } = await run(t, role, '--identity', join(directory, 'none'), ...host)
    t.equal(code, 1)
    t.match(output, inOrder('ENOENT', 'secure-socket identity create'))
  })
}

function pem(file: string): Promise<string> {
  return readFile(join(identities, file), 'utf8')
}

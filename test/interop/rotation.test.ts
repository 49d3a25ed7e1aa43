// Certificates that are replaced as cert-manager replaces them, seen by openssl: as a client and as a
// server, over TLS and over DTLS.
import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createConnection, createServer } from '../../src/net.js'
import { Folder, newIdentity } from '../policy/rotation.js'
import { event } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { type Program, run } from '../support/program.js'
import { listening, trust } from '../support/secured.js'
import { LOOPBACK, listening as listeningDatagrams, sent, speaking } from './dtls-sockets.js'
import { files } from './files.js'
import { sClient, sServer } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const { cert, key } = await testIdentity(['client.example'])
const checking = ['-CAfile', save({ ca }).ca, '-verify_return_error', '-showcerts']
const own = save({ cert, key })
const asClient = [...checking, '-cert', own.cert, '-key', own.key]

/** The serial number of the certificate that it was shown. */
async function serialShown(client: Program): Promise<string> {
  const [pem] = await client.said(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/)
  return new X509Certificate(pem).serialNumber
}

const serialOf = ({ cert }: { cert: string }) => new X509Certificate(cert).serialNumber

/** New clients until one is shown that certificate. */
async function untilShown(t: Test, serial: string, connect: () => Promise<string>): Promise<void> {
  const deadline = Date.now() + 30_000
  let shown = await connect()
  while (shown !== serial && Date.now() < deadline) {
    await setTimeout(100)
    shown = await connect()
  }
  t.equal(shown, serial, 'a new handshake shows the new certificate')
}

t.test('a server with an archive (PKCS #12) that openssl writes', { skip }, async t => {
  const folder = new Folder(t)
  const identities = [await newIdentity(), await newIdentity()] as const
  const write = async ({ cert, key }: { cert: string; key: string }) => {
    const paths = save({ cert, key })
    const out = join(folder.path, 'tls.p12')
    const names = ['-inkey', paths.key, '-in', paths.cert, '-out', out]
    await run('openssl', ['pkcs12', '-export', ...names, '-passout', 'pass:secret'])
  }
  await write(identities[0])
  folder.write('passphrase', 'secret\n')
  const server = createServer(
    { security: { pfx: folder.url('tls.p12'), passphrase: folder.url('passphrase') } },
    socket => socket.on('error', () => {}).resume(),
  )
  t.teardown(() => server.close())
  server.listen(0, LOOPBACK)
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connect = async () => {
    const client = sClient(t, port, ...checking)
    const serial = await serialShown(client)
    await client.stop()
    return serial
  }
  t.equal(await connect(), serialOf(identities[0]))
  await write(identities[1])
  await untilShown(t, serialOf(identities[1]), connect)
})

for (const [protocol, version] of [
  ['TLS', '-tls1_3'],
  ['DTLS', '-dtls1_2'],
] as const) {
  t.test(`a server of ${protocol}`, { skip }, async t => {
    const folder = new Folder(t)
    const identities = [await newIdentity(), await newIdentity(), await newIdentity()] as const
    folder.swap(identities[0])
    const security = { cert: folder.cert, key: folder.key, ca }
    const { port } =
      protocol === 'TLS'
        ? await listening(t, { security }, socket => {
            socket.on('error', () => {}).pipe(socket)
          })
        : await listeningDatagrams(t, security)
    const connect = async () => {
      const client = sClient(t, port, version, ...asClient)
      const serial = await serialShown(client)
      client.type('it works\n')
      await client.said(/^it works/m)
      await client.stop()
      return serial
    }
    const early = sClient(t, port, version, ...asClient)
    t.equal(await serialShown(early), serialOf(identities[0]))
    early.type('before\n')
    await early.said(/^before/m)
    for (const identity of identities.slice(1)) {
      folder.swap(identity)
      await untilShown(t, serialOf(identity), connect)
    }
    early.type('after\n')
    await early.said(/^after/m)
  })

  t.test(`a client of ${protocol}`, { skip }, async t => {
    const folder = new Folder(t)
    const identities = [await newIdentity(['one.example']), await newIdentity(['two.example'])]
    folder.swap(identities[0] as never)
    const server = await testIdentity()
    const paths = save({ cert: server.cert, key: server.key, ca })
    const { port, program } = await sServer(
      t,
      ...[version, '-cert', paths.cert, '-key', paths.key, '-CAfile', paths.ca],
      // It names a client in a full handshake only.
      ...['-Verify', '1', '-verify_return_error', '-no_ticket', '-no_cache'],
    )
    const security = { cert: folder.cert, key: folder.key, ca }
    const connect = async () => {
      const before = program.output.length
      if (protocol === 'TLS') {
        const socket = createConnection({ host: LOOPBACK, port, security })
        await event(socket, 'connect')
        socket.end('hello\n')
      } else {
        const socket = speaking(t, security)
        await sent(socket, 'hello\n', port)
        await program.said(new RegExp(`^[^]{${before}}[^]*hello`))
        socket.close()
      }
      const [, name] = await program.said(
        new RegExp(`^[^]{${before}}[^]*?depth=0 [^\\n]*?(one|two)\\.example`),
      )
      return name
    }
    t.equal(await connect(), 'one')
    folder.swap(identities[1] as never)
    const deadline = Date.now() + 30_000
    let name = await connect()
    while (name !== 'two' && Date.now() < deadline) name = await connect()
    t.equal(name, 'two')
  })
}

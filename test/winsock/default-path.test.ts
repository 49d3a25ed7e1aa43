/**
 * The providers that every platform has, tls and dtls, on Node for Windows: each end of ours with an
 * `openssl` that is not Node's and not on Windows, and beside Windows' own node:tls. The details are
 * in test/interop; this is what can differ on Windows: the OpenSSL that node.exe exports, and sockets.
 */
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import t from 'tap'
import { createConnection } from '../../src/net.js'
import { at, closed, hasSrtp, inbox, listening, sent, speaking } from '../interop/dtls-sockets.js'
import { files } from '../interop/files.js'
import { sClient, sServer } from '../interop/openssl.js'
import { event, failure } from '../support/events.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { type Listening, listening as serving } from '../support/secured.js'

const elsewhere = process.platform !== 'win32' && 'it is of Windows; test/interop is of all'
const skip = elsewhere || (!requireProgram(t, 'openssl') && 'openssl is not installed')
const save = files(t)
const { ca, cert, key } = await testIdentity()
const us = { ca, cert, key }
const { pin, ...them } = await testIdentity(['db.example', 'client.example'])
const theirs = save({ ca, cert: them.cert, key: them.key })
const shown = ['-cert', theirs.cert, '-key', theirs.key, '-CAfile', theirs.ca]
const secured = { secured: true, encrypted: true, peer: { pin } }

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(`a stream to s_server, and not to one of another name, ${version}`, { skip }, async t => {
    const { port, program } = await sServer(t, ...shown, '-Verify', '1', '-verify_return_error')
    const connect = (peerTargetName: string) =>
      createConnection({
        port,
        host: '127.0.0.1',
        peerTargetName,
        security: { ...us, maxVersion: version },
      } as never)
    const socket = connect('host/db.example')
    t.match(await socket.secured, { ...secured, protocol: 'tls', version })
    socket.write('from Windows\n')
    await program.said(/from Windows\n/)
    program.type('to Windows\n')
    t.equal(String((await event(socket, 'data'))[0]), 'to Windows\n')
    socket.end()
    await program.said(/DONE/)

    const wrong = connect('host/other.example').on('error', () => {})
    t.match(await failure(wrong.secured), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  })
}

t.test('a stream from s_client, and none from one that shows no certificate', { skip }, async t => {
  const { port, server, refused } = await echoing(t)
  const client = sClient(t, port, ...shown, '-verify_return_error', '-verify_hostname', 'localhost')
  const [socket] = await event(server, 'connection')
  t.match(await (socket as tls.TLSSocket & { secured: Promise<object> }).secured, secured)
  client.type('to Windows and back\n')
  await client.said(/to Windows and back\n/)
  t.equal((await client.finish()).code, 0)

  const stranger = sClient(t, port)
  t.match((await event(server, 'tlsClientError'))[0], { message: /certificate/ })
  await stranger.ended()
  t.equal(refused.length, 1)
})

t.test("streams from and to Windows' own node:tls", { skip: elsewhere }, async t => {
  const { port, server } = await echoing(t)
  const client = tls.connect({ port, host: 'localhost', ...them })
  client.write('from node:tls')
  t.equal(String((await event(client, 'data'))[0]), 'from node:tls')
  client.destroy()
  server.close()

  const plain = tls.createServer({ ...them, requestCert: true }, socket => socket.pipe(socket))
  plain.listen(0, '127.0.0.1')
  await event(plain, 'listening')
  t.teardown(() => plain.close())
  const socket = createConnection({
    port: (plain.address() as AddressInfo).port,
    host: '127.0.0.1',
    peerTargetName: 'db.example',
    security: us,
  })
  t.match(await socket.secured, secured)
  socket.write('to node:tls')
  t.equal(String((await event(socket, 'data'))[0]), 'to node:tls')
  socket.destroy()
})

t.test('datagrams to s_server, and none to one of another name', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...shown, '-Verify', '1')
  const socket = speaking(t, us)
  const heard = inbox(socket)
  await socket.setPeerTargetName({ ...at(port), targetName: 'host/db.example' })
  t.match(await socket.secure(at(port)), { ...secured, protocol: 'dtls', version: 'DTLSv1.2' })
  await sent(socket, 'from Windows\n', port)
  await program.said(/from Windows\n/)
  program.type('to Windows\n')
  t.match(await heard.next(), { text: 'to Windows\n', from: { peer: { pin } } })
  await closed(socket)
  await program.said(/DONE/)

  const wrong = speaking(t, us)
  await wrong.setPeerTargetName({ ...at(port), targetName: 'host/other.example' })
  t.match(await failure(sent(wrong, 'a secret\n', port)), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  t.notMatch(program.output, /a secret/)
})

t.test('datagrams from s_client', { skip }, async t => {
  const ours = await listening(t, us)
  const client = sClient(t, ours.port, '-dtls1_2', ...shown, '-verify_hostname', 'localhost')
  client.type('to Windows and back\n')
  t.match(await ours.heard.next(), { text: 'to Windows and back\n', from: { peer: { pin } } })
  await client.said(/to Windows and back\n/)
  t.match(client.output, /Verify return code: 0 \(ok\)/)
  t.match(ours.secured, [{ info: { ...secured, protocol: 'dtls' } }])
  await client.finish()
})

t.test('datagrams by pre-shared key, in both roles', { skip }, async t => {
  const psk = { identity: 'me', key: Buffer.from('thirty-two bytes that both know.') }
  const flags = ['-dtls1_2', '-psk_identity', 'me', '-psk', psk.key.toString('hex')]
  const { port, program } = await sServer(t, ...flags, '-nocert', '-cipher', 'PSK')
  const socket = speaking(t, { psk })
  await sent(socket, 'by key\n', port)
  await program.said(/by key\n/)

  const ours = await listening(t, { psk: { me: psk.key } })
  const client = sClient(t, ours.port, ...flags, '-cipher', 'PSK')
  client.type('by key too\n')
  t.match(await ours.heard.next(), { text: 'by key too\n', from: { peer: { pskIdentity: 'me' } } })
  await client.finish()
})

// A program that waited for a profile would wait for ever.
t.test('SRTP, of which node.exe exports nothing, is refused', { skip: elsewhere }, async t => {
  t.equal(hasSrtp(), false, 'if this has come, docs/api.md says otherwise')
  const socket = speaking(t, { ...us, srtp: ['SRTP_AEAD_AES_128_GCM'] })
  t.match(await failure(socket.secure(at(9))), { code: 'EOPNOTSUPP', message: /srtp/ })
})

/** A server that asks for certificates and sends back what it hears. */
function echoing(t: Parameters<typeof serving>[0]): Promise<Listening> {
  return serving(t, { security: { ...us, requestCert: true } }, socket => {
    socket.on('error', () => {})
    socket.on('data', data => socket.write(data))
  })
}

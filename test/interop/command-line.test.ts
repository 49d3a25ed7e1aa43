/** `secure-socket connect` and `listen` with openssl at the other end. */
import t from 'tap'
import type { Identity } from '../../src/identity/identity.js'
import { begin, options, trusting } from '../cli/netcat/session.js'
import { requireProgram } from '../support/foreign-program.js'
import { testIdentity } from '../support/identities.js'
import { files } from './files.js'
import { sClient, sServer } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const server = await testIdentity()
const client = await testIdentity(['spiffe://example.com/client'])
/** The options of openssl for an identity. */
function theirs(identity: Identity): string[] {
  const { cert, key, ca } = save({ cert: identity.cert, key: identity.key, ca: identity.ca })
  return ['-cert', cert, '-key', key, '-CAfile', ca]
}

t.test('connect talks to its server', { skip }, async t => {
  const { port, program } = await sServer(t, ...theirs(server))
  const connected = begin(['connect', ...trusting(t, server), '127.0.0.1', String(port)])
  t.match(await connected.told('secured'), { version: 'TLSv1.3', identity: { pin: server.pin } })
  connected.stdin.write('to the stranger\n')
  await program.said(/to the stranger\n/)
  program.type('to us\n')
  await connected.wrote('to us\n')
  connected.stdin.end()
  t.equal(await connected.code, 0)
})

t.test('listen is talked to by its client, which proves who it is', { skip }, async t => {
  const args = ['listen', '--host', '127.0.0.1', ...options(t, 'server', server), '0']
  const listening = begin(args)
  const { port } = await listening.told('listening')
  const refused = sClient(t, port, ...theirs(server).slice(4))
  await refused.ended()
  t.match(await listening.told('refused'), { message: /certificate/ })
  const program = sClient(t, port, ...theirs(client))
  t.match(await listening.told('secured'), { identity: { pin: client.pin } })
  listening.stdin.write('to the stranger\n')
  await program.said(/to the stranger\n/)
  program.type('to us\n')
  await listening.wrote('to us\n')
  listening.stdin.end()
  await program.finish()
  t.equal(await listening.code, 0)
})

t.test('datagrams: connect talks to its server, listen to its client', { skip }, async t => {
  const { port, program } = await sServer(t, '-dtls1_2', ...theirs(server))
  const ours = ['--udp', ...options(t, 'client', client)]
  const connected = begin(['connect', ...ours, '--idle', '3', '127.0.0.1', String(port)])
  connected.stdin.write('to the stranger\n')
  await program.said(/to the stranger\n/)
  program.type('to us\n')
  await connected.wrote('to us\n')
  connected.stdin.end()
  t.equal(await connected.code, 0)

  const args = ['listen', '--udp', '--host', '127.0.0.1', ...options(t, 'server', server), '0']
  const listening = begin(args)
  const { port: own } = await listening.told('listening')
  const peer = sClient(t, own, '-dtls1_2', ...theirs(client))
  await listening.told('secured')
  peer.type('to us\n')
  await listening.wrote('to us\n')
  listening.stdin.write('to the stranger\n')
  await peer.said(/to the stranger\n/)
  await peer.finish()
  t.equal(await listening.code, 0, 'it ends with its peer')
})

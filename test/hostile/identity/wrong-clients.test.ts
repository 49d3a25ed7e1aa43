/**
 * The wrong peer as a client: `openssl s_client` shows what is not the right peer's, and speaks at once,
 * somebody reads along, and our server has something to say to whom it lets in. The client is refused with
 * the code of its way, hears nothing, nothing of what it says is delivered, and whoever reads along sees nothing.
 */
import { createHash, X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { PeerIdentity } from '../../../src/model/peer-identity.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import type { SecureSocket } from '../../../src/sockets/secure-socket.js'
import { sClient } from '../../interop/openssl.js'
import { event } from '../../support/events.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { shower, triedProtocols } from './foreign-ends.js'
import { guarded } from './our-ends.js'
import { isWithoutData, OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { PEER_NAME, wrongPeers, wrongPurpose } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const shows = shower(t)
const { cert, key, ca } = await testIdentity()

for (const wrong of skip ? [] : [...(await wrongPeers(t)), await wrongPurpose('client')])
  for (const { name, transport, flag, showsTypes } of triedProtocols) {
    if (wrong.byNameAlone && transport === 'tcp') {
      t.test(`${wrong.way}, to an application that reads it: ${name}`, async t => {
        const wanted = wrong.name ?? PEER_NAME
        const { identity, output, between } = await readByTheApplication(t, flag, wanted, wrong)
        t.same(identity.names, provedNames(wrong))
        t.equal(identity.pin, pinOf(wrong.cert))
        t.not(identity.pin, wanted)
        t.equal(identity.targetName, undefined, 'nothing was compared for it')
        t.notMatch(output, OUR_SECRET)
        readsNothing(t, between)
      })
      continue
    }
    t.test(`${wrong.way}: ${name}`, async t => {
      const target = wrong.name ?? PEER_NAME
      const us = await guarded(t, transport, target, { cert, key, ca, ...wrong.ours })
      const between = await reader(t, transport, us.port)
      const client = sClient(t, between.port, flag, ...shows(wrong))
      client.type(`${THEIR_SECRET}\n`)
      t.match(await us.refusal(), { code: wrong.code, peer: /^127\.0\.0\.1:\d+$/ })
      await client.ended()
      t.notMatch(client.output, OUR_SECRET)
      readsNothing(t, between)
      if (showsTypes) isWithoutData(t, between.toClient(), transport)
    })
  }

for (const { name, transport, flag } of skip ? [] : triedProtocols)
  if (transport === 'tcp')
    t.test(`the right one, to an application that reads it: ${name}`, async t => {
      const right = await testIdentity([PEER_NAME])
      for (const wanted of [PEER_NAME, pinOf(right.cert)]) {
        const { identity, output } = await readByTheApplication(t, flag, wanted, right)
        t.same(identity.names, [PEER_NAME])
        t.match(output, OUR_SECRET)
      }
    })

/**
 * A server of streams has no name for those who come: whoever the authority vouches for is let in, and the
 * application tells its secret to who is the wanted one by `querySecurity()`, to nobody else.
 */
async function readByTheApplication(
  t: Test,
  flag: string,
  wanted: string,
  shown: { cert: string; key: string },
) {
  const server = new SecureServer({ security: { cert, key, ca, requestCert: true } })
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  server.on('tlsClientError', error => t.fail(`it was not let in: ${error.message}`))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const between = await reader(t, 'tcp', (server.address() as AddressInfo).port)
  const comes = event(server, 'connection')
  const client = sClient(t, between.port, flag, ...shows(shown))
  client.type(`${THEIR_SECRET}\n`)
  const [socket] = (await comes) as [SecureSocket]
  t.teardown(() => socket.destroy())
  const identity = (await socket.querySecurity()).peer as PeerIdentity
  const isWanted = identity.names.includes(wanted) || identity.pin === wanted
  // It is heard: whoever does not look is talking to somebody else.
  t.equal(`${(await event(socket, 'data'))[0]}`, `${THEIR_SECRET}\n`)
  socket.end(isWanted ? `${OUR_SECRET}\n` : '')
  await client.ended()
  return { identity, output: client.output, between }
}

/** What stands in its certificate as an alternative name, by Node's reading of it. */
function provedNames({ cert }: { cert: string }): string[] {
  const { subjectAltName = '' } = new X509Certificate(cert)
  return subjectAltName.split(', ').flatMap(name => name.match(/^DNS:(.*)/)?.[1] ?? [])
}

function pinOf(certificate: string): string {
  const { publicKey } = new X509Certificate(certificate)
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return `sha256/${createHash('sha256').update(spki).digest('base64')}`
}

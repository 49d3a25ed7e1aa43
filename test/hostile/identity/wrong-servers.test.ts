/**
 * The wrong peer as a server: `openssl s_server` shows what is not the right peer's, somebody reads
 * along, and our client has something to say. It is refused with the code of its way, hears nothing,
 * and whoever reads along sees nothing of it.
 */
import t from 'tap'
import { sServer } from '../../interop/openssl.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { shower, triedProtocols } from './foreign-ends.js'
import { refusedAsServer } from './our-ends.js'
import { isWithoutData, OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { PEER_NAME, wrongPeers, wrongPurpose } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const shows = shower(t)
const { cert, key, ca } = await testIdentity(['client.example'])

for (const wrong of skip ? [] : [...(await wrongPeers(t)), await wrongPurpose('server')])
  for (const { name, transport, flag, showsTypes } of triedProtocols)
    t.test(`${wrong.way}: ${name}`, async t => {
      const { port, program } = await sServer(t, flag, ...shows(wrong))
      program.type(`${THEIR_SECRET}\n`)
      const between = await reader(t, transport, port)
      const target = wrong.name ?? PEER_NAME
      const security = { cert, key, ca, ...wrong.ours }
      const error = await refusedAsServer(t, transport, between.port, target, security)
      t.match(error, { code: wrong.code, peer: `127.0.0.1:${between.port}` })
      if (wrong.message) t.match(error.message, wrong.message)
      await program.said(/^(ERROR|DONE|shutting down)/m)
      t.notMatch(program.output, OUR_SECRET)
      readsNothing(t, between)
      if (showsTypes) isWithoutData(t, between.toServer(), transport)
    })

/**
 * The wrong peer as a client: `openssl s_client` shows what is not the right peer's, and speaks at once,
 * somebody reads along, and our server has something to say to whom it lets in. The client is refused with
 * the code of its way, hears nothing, nothing of what it says is delivered, and whoever reads along sees nothing.
 */
import t from 'tap'
import { sClient } from '../../interop/openssl.js'
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
    if (wrong.byNameAlone && transport === 'tcp') continue
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

/** What a program may that is nobody, and only in the group that the VICI socket belongs to. */
import t from 'tap'
import { until } from '../support/until.js'
import { addressOf, nameOf, needsGuest } from './support/hosts.js'
import { startPeer } from './support/peer.js'
import { inClear, inWords, watchWire } from './support/wire.js'

const [b, c] = [addressOf('b', 4), addressOf('c', 4)]

t.test('a program without any rights has secured sockets, of every kind', async t => {
  if (!needsGuest(t)) return
  const wire = await watchWire(t)
  const [here, there] = [startPeer(t, 'c', 'nobody'), startPeer(t, 'b', 'nobody')]
  // Nobody may read the hosts' keys.
  const proof = 'psk'

  await t.test('datagrams', async t => {
    const port = 5000
    await there.datagrams({ proof, address: b, port })
    const names = [{ address: b, port, targetName: nameOf('b') }]
    await here.datagrams({ proof, address: c, port, names })
    wire.forget()
    await here.send({ fromPort: port, text: 'as nobody', address: b, port })
    const arrived = async () => (await there.received(port)).includes('as nobody')
    await until('it arrives', arrived)
    t.same(inWords(inClear(await wire.packets(), port)), [])
    // Each answers the other for ever.
    await there.close(port)
    await here.close(port)
  })

  await t.test('streams', async t => {
    const port = 6000
    await there.listen({ proof, address: b, port })
    const order = { proof, address: b, port, targetName: nameOf('b'), text: 'as nobody' } as const
    t.equal(await here.connect(order), 'as nobody')
    t.same(inWords(inClear(await wire.packets(), port)), [])
  })
})

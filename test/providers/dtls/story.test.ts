/** What happens to each peer, told to whoever wants to know by diagnostics_channel. */
import { channel } from 'node:diagnostics_channel'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { seededRandom } from '../../model/random.js'
import { testIdentity } from '../../support/identities.js'
import { Network } from './network.js'

const { cert, key, ca } = await testIdentity(['a.example'])

interface Dropped {
  readonly peer: { readonly port: number }
}

t.test('diagnostics_channel: secured, closed, failed, dropped', async t => {
  const heard: [string, unknown][] = []
  for (const name of ['secured', 'closed', 'failed', 'dropped']) {
    const listener = (message: unknown) => {
      heard.push([name, message])
    }
    const events = channel(`secure-socket:dtls:${name}`)
    events.subscribe(listener)
    t.teardown(() => events.unsubscribe(listener))
  }
  const network = new Network(seededRandom(t))
  const a = network.station({ cert, key, ca })
  const b = network.station({ cert, key, ca })
  a.send('x', b, 'a.example')
  t.ok(network.until(() => b.messages.length === 1))
  b.endpoint.receive(Buffer.from('hello'), '203.0.113.9', 9)
  a.endpoint.closePeer(b.address, b.port)
  network.pass(10)
  a.send('y', b, 'wrong.example')
  network.pass(5000)
  await setImmediate()
  const about = (name: string) => heard.filter(([each]) => each === name).map(([, what]) => what)
  t.match(about('secured'), [
    { peer: { address: a.address, port: a.port }, info: { secured: true } },
    { peer: { address: b.address, port: b.port }, info: { secured: true } },
  ])
  t.match(about('closed'), [{ peer: { address: b.address } }, { peer: { address: a.address } }])
  t.match(about('failed')[0], {
    peer: { address: b.address },
    error: { code: 'ERR_PEER_TARGET_NAME_MISMATCH' },
  })
  // The network may double a flight, and what comes twice is dropped too.
  const ofStranger = about('dropped').filter(each => (each as Dropped).peer.port === 9)
  t.match(ofStranger, [{ peer: { address: '203.0.113.9' }, reason: 'malformed' }])
})

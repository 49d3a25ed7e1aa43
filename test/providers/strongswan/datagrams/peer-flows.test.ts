/** The flows of one peer follow each other, whatever is asked for meanwhile. */
import t from 'tap'
import { PeerFlows } from '../../../../src/providers/strongswan/datagrams/peer-flows.js'
import { FakeDaemon, planTo } from './datagram-daemon.js'

const KEY = '192.0.2.2:5000'
const [b, c] = [planTo(5000, 'fqdn:b.example'), planTo(5000, 'fqdn:c.example')]

t.test('one flow for one peer, however often it is asked for', async t => {
  const daemon = new FakeDaemon()
  const flows = new PeerFlows(daemon)
  const [one, two] = await Promise.all([flows.get(KEY, b), flows.get(KEY, b)])
  t.equal(one, two)
  t.equal(await flows.get(KEY, b), one)
  t.same(daemon.log, ['add 192.0.2.2:5000 fqdn:b.example'])
  await flows.get('192.0.2.2:5001', planTo(5001, 'fqdn:b.example'))
  t.equal(daemon.log.length, 2)
})

t.test('another name is another flow, once the first has gone', async t => {
  const daemon = new FakeDaemon()
  const flows = new PeerFlows(daemon)
  await flows.get(KEY, b)
  await flows.get(KEY, c)
  t.same(daemon.log, [
    'add 192.0.2.2:5000 fqdn:b.example',
    'remove 192.0.2.2:5000 fqdn:b.example',
    'removed 192.0.2.2:5000 fqdn:b.example',
    'add 192.0.2.2:5000 fqdn:c.example',
  ])
})

t.test(
  'what could not be made is made again, and what is removed while it is made goes',
  async t => {
    const daemon = new FakeDaemon()
    const flows = new PeerFlows(daemon)
    daemon.adding = () => Promise.reject(new Error('no'))
    await t.rejects(flows.get(KEY, b), { message: 'no' })
    daemon.adding = async () => {}
    const adding = flows.get(KEY, b)
    flows.remove(KEY)
    await adding
    await flows.get(KEY, b)
    t.same(daemon.log.slice(1), [
      'add 192.0.2.2:5000 fqdn:b.example',
      'remove 192.0.2.2:5000 fqdn:b.example',
      'removed 192.0.2.2:5000 fqdn:b.example',
      'add 192.0.2.2:5000 fqdn:b.example',
    ])
  },
)

t.test('closed when all have gone, also those that were going', async t => {
  const daemon = new FakeDaemon()
  const flows = new PeerFlows(daemon)
  await flows.get(KEY, b)
  await flows.get('192.0.2.2:5001', planTo(5001, 'fqdn:b.example'))
  flows.remove(KEY)
  await flows.close()
  t.equal(daemon.log.filter(each => each.startsWith('removed')).length, 2)
})

/** Whoever comes from the address of a peer with keys of its own is not taken for it. */
import t from 'tap'
import { Proofs, wrongAssociation } from '../../../../src/providers/strongswan/datagrams/proofs.js'
import type { Association } from '../../../../src/providers/strongswan/plans/plans.js'
import { associationOf, planTo } from './datagram-daemon.js'

const peer = { address: '192.0.2.2', port: 5000 }
const KEY = '192.0.2.2:5000'
const flow = planTo(5000, 'fqdn:b.example')

function world() {
  const log: string[] = []
  const daemon = { association: associationOf('b.example') as Association | null | Error }
  const proofs = new Proofs({
    async find() {
      if (daemon.association instanceof Error) throw daemon.association
      return daemon.association
    },
    lost: (error, { address, port }) =>
      log.push(`${address}:${port} ${(error as { code?: string } | undefined)?.code ?? 'ended'}`),
  })
  proofs.set(KEY, peer, associationOf('b.example'))
  return { proofs, log, daemon }
}

async function settled(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

t.test('keys of the same peer change nothing; those of another end it at once', t => {
  const { proofs, log } = world()
  proofs.changed({ flow, remoteId: 'b.example', up: true })
  t.same(log, [])
  proofs.changed({ flow, remoteId: 'c.example', up: true })
  t.same(log, ['192.0.2.2:5000 ERR_PEER_TARGET_NAME_MISMATCH'])
  t.equal(proofs.get(KEY), undefined)
  proofs.changed({ flow, remoteId: 'c.example', up: true })
  t.equal(log.length, 1, 'once')
  t.end()
})

t.test('keys that go are the end, unless there are others', async t => {
  const { proofs, log, daemon } = world()
  proofs.changed({ flow, remoteId: 'b.example', up: false })
  await settled()
  t.same(log, [])
  daemon.association = null
  proofs.changed({ flow, remoteId: 'b.example', up: false })
  await settled()
  t.same(log, ['192.0.2.2:5000 ended'])
})

t.test(
  'where those that are left are another’s, or nobody can say whose, it is the end',
  async t => {
    const other = world()
    other.daemon.association = associationOf('c.example')
    other.proofs.changed({ flow, remoteId: 'b.example', up: false })
    const unknown = world()
    unknown.daemon.association = Object.assign(new Error(), { code: 'EPROTO' })
    unknown.proofs.changed({ flow, remoteId: 'b.example', up: false })
    await settled()
    t.same(other.log, ['192.0.2.2:5000 ERR_PEER_TARGET_NAME_MISMATCH'])
    t.same(unknown.log, ['192.0.2.2:5000 EPROTO'])
  },
)

t.test('in doubt all are looked at: what has gone unseen is the end', async t => {
  const { proofs, log, daemon } = world()
  proofs.doubt()
  await settled()
  t.same(log, [])
  daemon.association = null
  proofs.doubt()
  await settled()
  t.same(log, ['192.0.2.2:5000 ended'])
})

t.test('keys for all ports concern each peer of the address, with whatever zone', t => {
  const { proofs, log } = world()
  proofs.set('[fe80::2%eth0]:7', { address: 'fe80::2%eth0', port: 7 }, associationOf('b.example'))
  const all = { ...flow, remotePort: 0 }
  proofs.changed({ flow: { ...all, remoteAddress: '192.0.2.3' }, remoteId: 'x', up: true })
  t.same(log, [])
  proofs.changed({ flow: all, remoteId: 'x', up: true })
  proofs.changed({
    flow: { ...flow, remoteAddress: 'fe80::2', remotePort: 7 },
    remoteId: 'x',
    up: true,
  })
  t.same(log, [
    '192.0.2.2:5000 ERR_PEER_TARGET_NAME_MISMATCH',
    'fe80::2%eth0:7 ERR_PEER_TARGET_NAME_MISMATCH',
  ])
  t.end()
})

t.test('what the daemon was told to demand is proof; else its text must say so', t => {
  const wrong = { code: 'ERR_PEER_TARGET_NAME_MISMATCH' }
  t.equal(wrongAssociation(associationOf('b.example'), 'fqdn:b.example', KEY), undefined)
  t.equal(wrongAssociation(associationOf('b.example', '%any'), 'fqdn:b.example', KEY), undefined)
  t.match(wrongAssociation(associationOf('c.example', '%any'), 'fqdn:b.example', KEY), wrong)
  t.match(wrongAssociation(associationOf('c.example'), 'fqdn:b.example', KEY), wrong)
  t.equal(wrongAssociation(associationOf('b.example', '%any'), '%any', KEY), undefined)
  t.match(wrongAssociation(associationOf('*.example', '%any'), '%any', KEY), wrong)
  t.end()
})

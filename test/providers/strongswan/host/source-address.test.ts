/** The source address of a flow must be the one that the kernel takes: the policy is for just that. */
import t from 'tap'
import { sourceAddress } from '../../../../src/providers/strongswan/host/source-address.js'

if (process.platform !== 'linux') {
  t.plan(0, 'routes are asked for by Linux calls')
  process.exit()
}

t.test('the loopback addresses are their own sources', async t => {
  t.equal(sourceAddress('127.0.0.1'), '127.0.0.1')
  t.equal(sourceAddress('127.0.0.9'), '127.0.0.1', 'the address that the route prefers')
  t.equal(sourceAddress('::1'), '::1')
})

t.test('what no route leads to, or is no address, is an error of the system', async t => {
  t.throws(() => sourceAddress('nonsense'), { code: 'EINVAL', syscall: 'connect' })
  t.throws(() => sourceAddress('255.255.255.255'), { code: /^(EACCES|ENETUNREACH)$/ })
})

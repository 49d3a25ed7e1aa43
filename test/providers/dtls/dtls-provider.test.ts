/**
 * What a socket cannot be secured with is found out when its endpoint is made, so that bind(), connect()
 * and send() fail with it: a server that finds it out at its first peer would be silent for ever.
 */
import t from 'tap'
import { parseSettings } from '../../../src/model/settings.js'
import type { EndpointObserver, Outbox } from '../../../src/providers/datagram-provider.js'
import { dtlsProvider } from '../../../src/providers/dtls/dtls-provider.js'
import { testIdentity } from '../../support/identities.js'

const clock = { now: () => 0, wallTime: () => Date.now() }
const create = (security: object) => () =>
  dtlsProvider.createEndpoint(
    { current: () => parseSettings(security, 'datagram'), clock },
    {} as EndpointObserver & Outbox,
  )

t.test('settings that OpenSSL cannot use', async t => {
  const { cert, key, ca } = await testIdentity(['a.example'])
  const other = await testIdentity(['b.example'])
  for (const [title, security, code] of [
    ['the key of another certificate', { cert, key: other.key, ca }, 'EINVAL'],
    ['a key that is none', { cert, key: 'x', ca }, 'EINVAL'],
    ['an authority that is none', { ca: 'x' }, 'EINVAL'],
    ['suites that nobody knows', { cert, key, ca, ciphers: 'NEVER-HEARD-OF' }, 'EPROTO'],
    ['only suites without authenticated encryption', { ca, ciphers: 'AES128-SHA' }, 'EPROTO'],
    ['a version that this OpenSSL does not have', { ca, minVersion: 'DTLSv1.3' }, 'EINVAL'],
  ] as const) {
    t.throws(create(security), { code }, title)
  }
})

t.test('settings that it can use', async t => {
  const { cert, key, ca } = await testIdentity(['a.example'])
  const psk = { identity: 'me', key: Buffer.alloc(16, 1) }
  for (const security of [{ cert, key, ca }, { ca }, { psk }, { psk: { me: psk.key } }]) {
    t.doesNotThrow(create(security), Object.keys(security).join(', '))
  }
})

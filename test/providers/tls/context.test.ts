/** What OpenSSL is given: keys in every form, versions, and suites of which none is without encryption. */
import { createPrivateKey } from 'node:crypto'
import tls from 'node:tls'
import t from 'tap'
import { parseSettings, type SecuritySettings } from '../../../src/model/settings.js'
import { clientContext, contextOptions, encrypts } from '../../../src/providers/tls/context.js'
import { testIdentity } from '../../support/identities.js'

const { cert, key } = await testIdentity()
const locked = createPrivateKey(key).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'open',
})

t.test('a key with a passphrase, in every form', async t => {
  const forms: Record<string, SecuritySettings> = {
    'its own passphrase': { cert, key: { pem: locked, passphrase: 'open' } },
    'in an array': { cert, key: [{ pem: locked, passphrase: 'open' }] },
    'the common passphrase': { cert, key: locked, passphrase: 'open' },
    'none needed': { cert, key: { pem: key } },
  }
  for (const [name, settings] of Object.entries(forms)) {
    t.ok(clientContext(parseSettings(settings)), name)
  }
  t.throws(() => clientContext(parseSettings({ cert, key: locked, passphrase: 'wrong' })), {
    code: 'EINVAL',
    message: /cert, key/,
  })
})

t.test('equal settings share one context', async t => {
  const context = clientContext(parseSettings({ cert, key }))
  t.equal(clientContext(parseSettings({ key, cert })), context)
  t.not(clientContext(parseSettings({ cert, key, alpn: ['x'] })), context)
})

t.test('no suite without encryption, and none without authentication', async t => {
  const suites = (ciphers: string, more: SecuritySettings = {}) =>
    contextOptions(parseSettings({ ciphers, ...more })).ciphers
  t.equal(suites('NULL-SHA256:AES128-SHA256'), 'AES128-SHA256:!aNULL:!eNULL')
  t.equal(suites('ALL'), 'ALL:!aNULL:!eNULL')
  t.equal(suites('TLS_AES_128_GCM_SHA256'), 'TLS_AES_128_GCM_SHA256')
  t.equal(suites('TLS_SHA256_SHA256:TLS_AES_128_GCM_SHA256'), 'TLS_AES_128_GCM_SHA256')
  t.equal(suites('NULL-SHA256', { guaranteeEncryption: false }), 'NULL-SHA256:!aNULL')
  for (const ciphers of ['NULL-SHA256', 'eNULL', 'TLS_SHA256_SHA256', '!ALL']) {
    t.throws(() => suites(ciphers), { code: 'EPROTO', message: /nothing is sent/ }, ciphers)
  }
  t.throws(() => clientContext(parseSettings({ ciphers: 'no-such-suite' })), { code: 'EPROTO' })
  t.equal(encrypts('TLS_AES_256_GCM_SHA384'), true)
  t.equal(encrypts('TLS_SHA384_SHA384'), false)
  t.equal(encrypts('ECDHE-ECDSA-NULL-SHA'), false)
})

t.test('versions: never below 1.2; pre-shared keys only in 1.3', async t => {
  const psk = { identity: 'me', key: Buffer.alloc(16, 1) }
  t.equal(contextOptions(parseSettings({})).minVersion, 'TLSv1.2')
  t.equal(contextOptions(parseSettings({ psk })).minVersion, 'TLSv1.3')
  t.match(contextOptions(parseSettings({ psk })).ciphers, /^TLS_AES_128_GCM_SHA256:/)
  t.throws(() => contextOptions(parseSettings({ psk, maxVersion: 'TLSv1.2' })), { code: 'EINVAL' })
  const { DEFAULT_MIN_VERSION } = tls
  t.teardown(() => {
    tls.DEFAULT_MIN_VERSION = DEFAULT_MIN_VERSION
  })
  tls.DEFAULT_MIN_VERSION = 'TLSv1'
  t.equal(
    contextOptions(parseSettings({})).minVersion,
    'TLSv1.2',
    "whatever the process's default is",
  )
})

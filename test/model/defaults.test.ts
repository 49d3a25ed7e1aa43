import t from 'tap'
import {
  allowClearTimeout,
  defaultPolicy,
  fullHandshakeInterval,
} from '../../src/model/defaults.js'

// Whoever changes one of these changes what every application that says nothing gets.
t.test('the default is encrypted, authenticated, and the same on every platform', async t => {
  t.strictSame(defaultPolicy, {
    protocol: 'tls',
    guaranteeEncryption: true,
    allowInsecure: false,
    minVersion: 'TLSv1.2',
    handshakeTimeout: 60_000,
    requestCert: false,
    rejectUnauthorized: true,
  })
  t.ok(Object.isFrozen(defaultPolicy), 'no module can change it for the others')
})

t.test('the lifetimes are those of the default policy that Winsock documents', async t => {
  t.equal(allowClearTimeout, 10_000, 'ndAllowClearTimeoutSeconds = 10')
  t.equal(fullHandshakeInterval, 2 * 60 * 60 * 1000, 'main mode lifetime = 2 hrs')
})

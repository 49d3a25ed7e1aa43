/** One policy serves every protocol and system: each takes what it knows, and no credential is lost in silence. */
import t from 'tap'
import { ofProtocol } from '../../../src/model/policy/protocol-settings.js'

const policy = {
  protocol: 'tls',
  cert: 'c',
  key: 'k',
  ca: 'a',
  crl: 'r',
  psk: 'p',
  ticketKeys: 't',
  minVersion: 'TLSv1.3',
  handshakeTimeout: 5,
  rekeyAfter: 7,
  ipsec: { rawPeerName: true },
}

t.test('TLS takes all but what is IPsec’s', async t => {
  const { ipsec: _, ...others } = policy
  for (const asked of [undefined, 'default', 'tls'])
    t.strictSame(ofProtocol(policy, asked, 'linux'), others)
})

t.test('on Windows the credentials of IPsec are the system’s', async t => {
  t.strictSame(ofProtocol(policy, 'ipsec', 'win32'), {
    protocol: 'tls',
    handshakeTimeout: 5,
    ipsec: { rawPeerName: true },
  })
})

t.test('on Linux they are those of the policy, also what will be refused', async t => {
  const { ticketKeys: _, minVersion: __, ...others } = policy
  t.strictSame(ofProtocol(policy, 'ipsec', 'linux'), others)
  t.strictSame(ofProtocol({ ...policy, protocol: 'ipsec' }, undefined, 'linux'), {
    ...others,
    protocol: 'ipsec',
  })
})

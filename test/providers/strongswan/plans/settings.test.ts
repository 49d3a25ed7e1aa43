/** What IPsec on Linux cannot honour is refused with what to do instead; none is ignored in silence. */
import t from 'tap'
import {
  type DatagramSecuritySettings,
  parseSettings,
  type SecuritySettings,
} from '../../../../src/model/settings.js'
import {
  checkStrongswanSettings,
  viciSocketOf,
} from '../../../../src/providers/strongswan/plans/settings.js'
import { selfSignedIdentity, testAuthority, testIdentity } from '../../../support/identities.js'

const stream = (settings: SecuritySettings = {}) =>
  parseSettings({ protocol: 'ipsec', ...settings })
const datagram = (settings: DatagramSecuritySettings = {}) =>
  parseSettings({ protocol: 'ipsec', ...settings }, 'datagram')
const key = Buffer.alloc(16, 1)

t.test('what strongSwan honours passes, for streams and datagrams', async t => {
  const ca = (await testAuthority()).cert
  const { cert, key: privateKey } = await testIdentity(['a.example.com'])
  const shared = {
    cert,
    key: privateKey,
    ca,
    psk: [{ identity: 'a', key }, { b: key }],
    requestCert: true,
    handshakeTimeout: 5,
    alpn: [],
    ipsec: {
      rawPeerName: true,
      viciSocket: '/run/a/charon.vici',
      localIdentity: 'user@example.com',
      ikeProposals: ['aes256gcm16-prfsha384-ecp384'],
      espProposals: ['aes256gcm16-ecp384'],
    },
  } as const
  t.doesNotThrow(() => checkStrongswanSettings(stream()))
  t.doesNotThrow(() => checkStrongswanSettings(datagram()))
  t.doesNotThrow(() => checkStrongswanSettings(stream(shared)))
  t.doesNotThrow(() =>
    checkStrongswanSettings(
      datagram({
        ...shared,
        rekeyAfter: 5,
        rekeyAfterBytes: 5,
        fullHandshakeAfter: 5,
        idleTimeout: 5,
        maxSessions: 5,
        maxSessionsPerHost: 5,
        maxQueuedDatagrams: 5,
        maxQueuedBytes: 5,
      }),
    ),
  )
  t.doesNotThrow(() =>
    checkStrongswanSettings(
      stream({ guaranteeEncryption: false, ipsec: { espProposals: ['null-sha256'] } }),
    ),
  )
})

t.test('what belongs to TLS, to Windows or to another way of authentication', async t => {
  const refused = (parsed: ReturnType<typeof stream>, of: string, remedy: RegExp) => {
    const error = {
      code: 'EOPNOTSUPP',
      syscall: 'WSASetSocketSecurity',
      message: new RegExp(`^security\\.${of}.* on Linux: .*${remedy.source}`),
    }
    t.throws(() => checkStrongswanSettings(parsed), error, of)
  }
  const both = (settings: object, of: string, remedy: RegExp) => {
    refused(stream(settings), of, remedy)
    refused(datagram(settings), of, remedy)
  }
  const tls = /TLS.*espProposals/
  both({ ciphers: 'ECDHE' }, 'ciphers', tls)
  both({ sigalgs: 'ed25519' }, 'sigalgs', tls)
  both({ ecdhCurve: 'X25519' }, 'ecdhCurve', tls)
  both({ servername: 'a.example' }, 'servername', tls)
  both({ alpn: ['h2'] }, 'alpn', tls)
  both({ ticketKeys: Buffer.alloc(48) }, 'ticketKeys', tls)
  both({ keylog: true }, 'keylog', tls)
  both({ pskIdentityHint: 'h' }, 'pskIdentityHint', tls)
  refused(stream({ minVersion: 'TLSv1.3' }), 'minVersion', tls)
  refused(stream({ maxVersion: 'TLSv1.3' }), 'maxVersion', tls)
  refused(datagram({ minVersion: 'DTLSv1.3' }), 'minVersion', tls)
  refused(datagram({ mtu: 1280 }), 'mtu', tls)
  refused(datagram({ srtp: ['SRTP_AEAD_AES_128_GCM'] }), 'srtp', tls)
  refused(datagram({ resumeAfter: 0 }), 'resumeAfter', tls)
  refused(datagram({ requestCert: false }), 'requestCert: false', /always authenticate/)
  both({ rejectUnauthorized: false }, 'rejectUnauthorized: false', /always authenticate/)
  both({ sharePort: true }, 'sharePort', /one socket/)
  both({ pfx: 'p' }, 'pfx', /cert and key/)
  both({ crl: 'c' }, 'crl', /x509crl/)
  both({ psk: () => null }, 'psk as a function', /object/)
  for (const ipsec of [
    { mainModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789' },
    { quickModePolicy: '0a1b2c3d-4e5f-6789-abcd-ef0123456789' },
    { userName: 'u', password: 'p' },
    { optionalPeerNameVerification: true },
  ])
    both({ ipsec }, `ipsec\\.${Object.keys(ipsec)[0]}`, /Windows/)
  refused(
    stream({ ipsec: { skipFilterInstantiation: true } }),
    'ipsec\\.skipFilterInstantiation',
    /Windows/,
  )
})

t.test('what cannot be right', async t => {
  const { cert, key: privateKey } = await testIdentity(['a.example.com'])
  const another = await testIdentity(['b.example.com'])
  const leaf = await selfSignedIdentity()
  for (const [settings, message, code = 'EINVAL'] of [
    [{ cert, key: another.key }, /not the private key/],
    [{ cert: 'x', key: 'y' }, /no certificate/],
    [{ cert, key: 'y' }, /security\.key cannot be read/],
    [{ cert: [cert, another.cert], key: [privateKey, another.key] }, /several/, 'EOPNOTSUPP'],
    [{ ca: 'x' }, /security\.ca contains no certificate/],
    [{ ca: [] }, /nobody is trusted/, 'ENOCREDENTIAL'],
    [{ ca: leaf.cert }, /no authority/],
    [{ psk: { identity: '%any', key } }, /psk is "%any".*anybody/],
    [{ psk: { '*': key } }, /psk is "\*".*anybody/],
    [{ psk: { ['x'.repeat(256)]: key } }, /longer than 255/],
    [{ ipsec: { localIdentity: '%any' } }, /localIdentity is "%any".*anybody/],
    [{ ipsec: { ikeProposals: ['default'] } }, /ikeProposals/],
    [{ ipsec: { espProposals: ['null-sha256'] } }, /does not encrypt/],
    [{ psk: { a: key }, ipsec: { authentication: 'psk' } }, /authentication is for/],
    [{ cert, key: privateKey, ipsec: { authentication: 'psk' } }, /authentication is for/],
  ] as [SecuritySettings, RegExp, string?][])
    t.throws(() => checkStrongswanSettings(stream(settings)), { code, message }, String(message))
  // With keys, nobody else need be trusted.
  t.doesNotThrow(() => checkStrongswanSettings(stream({ ca: [], psk: { a: key } })))
})

t.test('the daemon is where the packages put it, or where the settings say', async t => {
  t.equal(viciSocketOf(stream()), '/run/charon.vici')
  t.equal(viciSocketOf(stream({ ipsec: { viciSocket: '/run/b.vici' } })), '/run/b.vici')
})

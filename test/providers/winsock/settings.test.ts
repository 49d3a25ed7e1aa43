/** What Windows' IPsec cannot honour is refused with what to do instead; none is ignored in silence. */
import t from 'tap'
import {
  type DatagramSecuritySettings,
  parseSettings,
  type SecuritySettings,
} from '../../../src/model/settings.js'
import { parseTargetName, parseTargetNameFor } from '../../../src/model/target-name.js'
import { checkWinsockSettings, winsockPeerName } from '../../../src/providers/winsock/settings.js'

const stream = (settings: SecuritySettings = {}) =>
  parseSettings({ protocol: 'ipsec', ...settings })
const datagram = (settings: DatagramSecuritySettings = {}) =>
  parseSettings({ protocol: 'ipsec', ...settings }, 'datagram')

const key = Buffer.alloc(16, 1)

t.test('what Windows honours passes, for streams and datagrams', async t => {
  t.doesNotThrow(() => checkWinsockSettings(stream()))
  t.doesNotThrow(() => checkWinsockSettings(datagram()))
  t.doesNotThrow(() =>
    checkWinsockSettings(
      stream({
        guaranteeEncryption: false,
        handshakeTimeout: 5,
        alpn: [],
        sharePort: false,
        keylog: false,
        requestCert: false,
        ipsec: { userName: 'u', password: 'p', skipFilterInstantiation: true, rawPeerName: true },
      }),
    ),
  )
  t.doesNotThrow(() =>
    checkWinsockSettings(
      datagram({
        requestCert: true,
        mtu: 1200,
        maxSessions: 5,
        maxSessionsPerHost: 5,
        idleTimeout: 5,
        maxQueuedDatagrams: 5,
        maxQueuedBytes: 5,
      }),
    ),
  )
})

t.test('credentials are the system’s', async t => {
  for (const settings of [
    { cert: 'c', key: 'k' },
    { pfx: 'p' },
    { passphrase: 'p' },
    { ca: 'c' },
    { ca: [] },
    { crl: 'c' },
    { psk: { identity: 'a', key } },
    { psk: { a: key } },
    { psk: () => null },
    { pskIdentityHint: 'h' },
  ] as SecuritySettings[])
    for (const parsed of [stream(settings), datagram(settings as DatagramSecuritySettings)])
      t.throws(() => checkWinsockSettings(parsed), {
        code: 'EOPNOTSUPP',
        winsock: 'WSAEOPNOTSUPP',
        syscall: 'WSASetSocketSecurity',
        message: new RegExp(`^security\\.${Object.keys(settings)[0]} cannot .*domain account`),
      })
})

t.test('how packets are protected is the policy’s', async t => {
  const refused = (parsed: ReturnType<typeof stream>, key: string) =>
    t.throws(() => checkWinsockSettings(parsed), {
      code: 'EOPNOTSUPP',
      message: new RegExp(`^security\\.${key} cannot .*IPsec policy`),
    })
  for (const settings of [
    { ciphers: 'ECDHE' },
    { minVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.3' },
    { sigalgs: 'ed25519' },
    { ecdhCurve: 'X25519' },
    { servername: 'a.example' },
    { alpn: ['h2'] },
    { requestCert: true },
    { rejectUnauthorized: false },
    { ticketKeys: Buffer.alloc(48) },
    { keylog: true },
  ] as SecuritySettings[])
    refused(stream(settings), Object.keys(settings)[0] as string)
  for (const settings of [
    { minVersion: 'DTLSv1.3' },
    { requestCert: false },
    { mtu: 1280 },
    { srtp: ['SRTP_AEAD_AES_128_GCM'] },
    { resumeAfter: 0 },
    { rekeyAfter: 5 },
    { rekeyAfterBytes: 5 },
    { fullHandshakeAfter: 5 },
  ] as DatagramSecuritySettings[])
    refused(datagram(settings), Object.keys(settings)[0] as string)
})

t.test('what is said to the IKE daemon of Linux is nothing here', async t => {
  for (const ipsec of [
    { viciSocket: '/run/charon.vici' },
    { localIdentity: 'a' },
    { authentication: 'psk' },
    { ikeProposals: ['aes128gcm16-prfsha256-ecp256'] },
    { espProposals: ['aes128gcm16'] },
  ] as const)
    t.throws(() => checkWinsockSettings(stream({ ipsec })), {
      code: 'EOPNOTSUPP',
      message: new RegExp(`^security\\.ipsec\\.${Object.keys(ipsec)[0]} .*a setting of Linux`),
    })
})

// WSASetSocketSecurity sets SO_EXCLUSIVEADDRUSE itself.
t.test('a port is not shared', async t => {
  for (const parsed of [stream({ sharePort: true }), datagram({ sharePort: true })])
    t.throws(() => checkWinsockSettings(parsed), {
      code: 'EOPNOTSUPP',
      message: /sharePort .*exclusively/,
    })
})

t.test('a peer is called by a service principal name', async t => {
  for (const [text, expected] of [
    ['MSSQLSvc/db.example.com:1433', 'MSSQLSvc/db.example.com:1433'],
    ['ldap/dc1.example.com/example.com', 'ldap/dc1.example.com/example.com'],
    ['db.example.com', 'host/db.example.com'],
    ['10.0.0.5', 'host/10.0.0.5'],
    ['2001:DB8::1', 'host/[2001:db8::1]'],
  ] as const)
    for (const set of [true, false])
      t.equal(winsockPeerName(parseTargetName(text), set, stream()), expected)
  for (const text of ['spiffe://example.com/db', `sha256/${'A'.repeat(43)}=`])
    t.throws(() => winsockPeerName(parseTargetName(text), true, stream()), {
      code: 'EINVAL',
      syscall: 'WSASetSocketPeerTargetName',
      message: /host\/db\.example\.com.*rawPeerName/,
    })
})

t.test('a raw name is sent as it is written, or not at all', async t => {
  const settings = stream({ ipsec: { rawPeerName: true } })
  const raw = parseTargetNameFor(settings, 'CN=DB 1, O=Example')
  t.equal(winsockPeerName(raw, true, settings), 'CN=DB 1, O=Example')
  // Written one way and sent another, it would name somebody else.
  t.throws(() => winsockPeerName(parseTargetName('Db.example.com'), true, settings), {
    code: 'EINVAL',
    message: /set after the settings/,
  })
  t.throws(() => winsockPeerName(parseTargetName('db.example.com'), false, settings), {
    code: 'EINVAL',
    message: /a name must be set/,
  })
  t.throws(() => winsockPeerName(raw, true, stream()), {
    code: 'EINVAL',
    message: /settings with ipsec\.rawPeerName before it/,
  })
})

// R20: a name that was set is proved, or nothing is sent.
t.test('a name that need not be proved is not set', async t => {
  for (const rawPeerName of [true, false]) {
    const settings = stream({ ipsec: { optionalPeerNameVerification: true, rawPeerName } })
    const name = parseTargetNameFor(settings, 'db.example.com')
    t.equal(winsockPeerName(parseTargetName('db.example.com'), false, settings), null)
    t.throws(() => winsockPeerName(name, true, settings), {
      code: 'EINVAL',
      message: /optionalPeerNameVerification.*leave one/,
    })
  }
})

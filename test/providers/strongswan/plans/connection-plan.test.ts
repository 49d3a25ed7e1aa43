/** As whom and with whom IKE negotiates, from settings and names. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import t from 'tap'
import {
  type DatagramSecuritySettings,
  parseSettings,
  type SecuritySettings,
} from '../../../../src/model/settings.js'
import { parseTargetName } from '../../../../src/model/target-name.js'
import {
  canListen,
  flowConnection,
  listenerConnections,
} from '../../../../src/providers/strongswan/plans/connection-plan.js'
import type { Credential } from '../../../../src/providers/strongswan/plans/plans.js'
import { testAuthority, testIdentity } from '../../../support/identities.js'

const stream = (settings: SecuritySettings = {}) =>
  parseSettings({ protocol: 'ipsec', ...settings })
const name = parseTargetName('b.example.com')
const keyOf = (number: number) => Buffer.alloc(16, number)
const secretOf = (credential: Credential) =>
  credential.kind === 'psk' ? credential.secret() : Buffer.alloc(0)

t.test('a certificate: its first name, its chain, its key, and who is trusted', async t => {
  const [identity, authority] = [
    await testIdentity(['A.example.com', '10.9.0.1', '*.example.com', 'fd09::1']),
    await testAuthority(),
  ]
  const { cert, key } = identity
  const plan = flowConnection(stream({ cert, key, ca: authority.cert }), name, true)
  t.equal(plan.localId, 'fqdn:a.example.com')
  t.equal(plan.remoteId, 'fqdn:b.example.com')
  t.strictSame(plan.trust, [new X509Certificate(authority.cert).raw])
  const { credential } = plan
  if (credential.kind !== 'certificate') return t.fail('it is a certificate')
  t.strictSame(credential.chain[0], new X509Certificate(cert).raw)
  const given = createPrivateKey({ key: credential.key(), format: 'der', type: 'pkcs8' })
  t.ok(given.equals(createPrivateKey(key)))
  t.not(credential.key(), credential.key(), 'a copy each time, to be overwritten')

  const listening = listenerConnections(stream({ cert, key, ca: authority.cert }))
  t.strictSame(
    listening.map(each => [each.localId, each.remoteId]),
    // A wildcard is no identity.
    [
      ['fqdn:a.example.com', '%any'],
      ['10.9.0.1', '%any'],
      ['fd09::1', '%any'],
    ],
  )
  const named = stream({ cert, key, ipsec: { localIdentity: 'C=CH, CN=a' } })
  t.equal(flowConnection(named, name, false).localId, 'C=CH, CN=a')
  t.strictSame(
    listenerConnections(named).map(each => each.localId),
    ['C=CH, CN=a'],
  )
  t.equal(flowConnection(named, name, false).trust, null, 'whom the daemon trusts')
})

t.test('a certificate that only has a wildcard must be told what it is', async t => {
  const { cert, key } = await testIdentity(['*.example.com'])
  const error = { code: 'ENOCREDENTIAL', message: /localIdentity/ }
  t.throws(() => flowConnection(stream({ cert, key }), name, true), error)
  t.throws(() => listenerConnections(stream({ cert, key })), error)
  const named = stream({ cert, key, ipsec: { localIdentity: 'www.example.com' } })
  t.equal(flowConnection(named, name, true).localId, 'fqdn:www.example.com')
})

t.test('our own key: to whomever we speak, but not to a name that was set', async t => {
  const psk = { identity: 'Sensor-17', key: keyOf(1) }
  const settings = stream({ psk })
  const plan = flowConnection(settings, name, false)
  t.match(plan, { localId: 'fqdn:sensor-17', remoteId: 'fqdn:b.example.com', trust: null })
  t.strictSame(secretOf(plan.credential), keyOf(1))
  t.not(secretOf(plan.credential).buffer, psk.key.buffer)
  // R20: whoever has that key could be anybody who has it.
  t.throws(() => flowConnection(settings, name, true), {
    code: 'EINVAL',
    message: /cannot prove the target name "b\.example\.com"/,
  })
  t.throws(() => listenerConnections(settings), { code: 'ENOCREDENTIAL', message: /accepted/ })
  t.notOk(canListen(settings))
})

t.test('keys that are accepted: one connection each, and they prove their name', async t => {
  const psk = { 'b.example.com': keyOf(2), 'user@example.com': keyOf(3), '10.9.0.3': keyOf(4) }
  const settings = stream({ psk, ipsec: { localIdentity: 'a.example.com' } })
  t.ok(canListen(settings))
  t.strictSame(
    listenerConnections(settings).map(each => [
      each.localId,
      each.remoteId,
      secretOf(each.credential)[0],
    ]),
    [
      ['fqdn:a.example.com', 'fqdn:b.example.com', 2],
      ['fqdn:a.example.com', 'email:user@example.com', 3],
      ['fqdn:a.example.com', '10.9.0.3', 4],
    ],
  )
  for (const isSet of [true, false]) {
    for (const [text, key] of [
      ['b.example.com', 2],
      ['HTTP/B.example.com:80', 2],
      ['10.9.0.3', 4],
    ] as const) {
      const { credential } = flowConnection(settings, parseTargetName(text), isSet)
      t.equal(secretOf(credential)[0], key, text)
    }
  }
  // Nobody else is proved by one of these, and there is no other credential.
  t.match(flowConnection(settings, parseTargetName('c.example.com'), true), {
    credential: { kind: 'daemon' },
  })
})

t.test('keys that are accepted, and no name of our own', async t => {
  const settings = stream({ psk: { 'b.example.com': keyOf(2) } })
  // It answers by the name that the peer asks for.
  t.equal(listenerConnections(settings)[0]?.localId, '%any')
  t.throws(() => flowConnection(settings, name, true), {
    code: 'ENOCREDENTIAL',
    message: /who we are.*localIdentity/,
  })
})

t.test('both keys: our own says who we are, theirs prove them', async t => {
  const own = { identity: 'a.example.com', key: keyOf(1) }
  const settings = stream({ psk: [own, { 'b.example.com': keyOf(2) }] })
  const plan = flowConnection(settings, name, true)
  t.equal(plan.localId, 'fqdn:a.example.com')
  t.equal(secretOf(plan.credential)[0], 2)
  const other = parseTargetName('c.example.com')
  t.equal(secretOf(flowConnection(settings, other, false).credential)[0], 1)
  t.throws(() => flowConnection(settings, other, true), { code: 'EINVAL' })
  t.strictSame(
    listenerConnections(settings).map(each => each.remoteId),
    ['fqdn:b.example.com'],
  )
  // Whoever shows us our own identity reflects what we say.
  const reflecting = stream({ psk: [own, { 'A.example.com': keyOf(2) }] })
  t.throws(() => listenerConnections(reflecting), { code: 'EINVAL', message: /our own identity/ })
})

t.test('a certificate and keys: a listener takes both', async t => {
  const { cert, key } = await testIdentity(['a.example.com'])
  const settings = stream({ cert, key, psk: { 'b.example.com': keyOf(2) } })
  t.strictSame(
    listenerConnections(settings).map(each => [each.credential.kind, each.localId, each.remoteId]),
    [
      ['psk', '%any', 'fqdn:b.example.com'],
      ['certificate', 'fqdn:a.example.com', '%any'],
    ],
  )
})

t.test('nothing of our own: the daemon’s, by a name', async t => {
  for (const [ipsec, auth] of [
    [{ localIdentity: 'a.example.com' }, 'pubkey'],
    [{ localIdentity: 'a.example.com', authentication: 'psk' }, 'psk'],
  ] as const) {
    const settings = stream({ ipsec })
    t.ok(canListen(settings))
    const plan = flowConnection(settings, name, true)
    t.match(plan, { localId: 'fqdn:a.example.com', credential: { kind: 'daemon', auth } })
    t.match(listenerConnections(settings), [{ remoteId: '%any', credential: { auth } }])
  }
  const error = {
    code: 'ENOCREDENTIAL',
    message: /cert and security\.key, or psk, or ipsec\.local/,
  }
  t.throws(() => flowConnection(stream(), name, true), error)
  t.throws(() => listenerConnections(stream()), error)
  t.notOk(canListen(stream()))
})

t.test('lifetimes: those of the default policy, in seconds', async t => {
  const of = (settings: ReturnType<typeof stream>) => flowConnection(settings, name, true).lifetimes
  const ipsec = { localIdentity: 'a' }
  const datagram = (settings: DatagramSecuritySettings) =>
    parseSettings({ protocol: 'ipsec', ipsec, ...settings }, 'datagram')
  const common = { rekeySeconds: 3600, rekeyBytes: 55e9, ikeRekeySeconds: 7200 }
  t.strictSame(of(stream({ ipsec })), common)
  t.strictSame(of(datagram({})), { ...common, inactivitySeconds: 300 })
  t.strictSame(
    of(
      datagram({
        rekeyAfter: 1,
        rekeyAfterBytes: 10,
        idleTimeout: 1500,
        fullHandshakeAfter: 60_000,
      }),
    ),
    {
      rekeySeconds: 1,
      rekeyBytes: 10,
      ikeRekeySeconds: 7200,
      reauthenticationSeconds: 60,
      inactivitySeconds: 2,
    },
  )
})

t.test('algorithms: ours, or those of the settings', async t => {
  const ipsec = { localIdentity: 'a' }
  t.match(flowConnection(stream({ ipsec }), name, true), {
    ikeProposals: [/^aes128gcm16-/],
    espProposals: [/^aes128gcm16-/],
  })
  const chosen = { ikeProposals: ['aes256gcm16-prfsha384-ecp384'], espProposals: ['aes256gcm16'] }
  t.match(flowConnection(stream({ ipsec: { ...ipsec, ...chosen } }), name, true), chosen)
})

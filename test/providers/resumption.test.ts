/** Which servers accept each other's tickets: those that authenticate equally, under equal names. */
import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto'
import t from 'tap'
import { makeCertificate } from '../../src/identity/x509.js'
import { parseSettings } from '../../src/model/settings.js'
import { resumptionContext } from '../../src/providers/resumption.js'
import { strangerAuthority, testAuthority, testIdentity } from '../support/identities.js'

const { cert, key, ca } = await testIdentity(['a.example', '127.0.0.1'])
const usual = { cert, key, ca }

function contextOf(security: object, kind: 'stream' | 'datagram' = 'datagram'): string {
  return resumptionContext(parseSettings(security, kind as 'stream')).toString('hex')
}

t.test('it has the 32 bytes that OpenSSL takes', async t => {
  t.equal(contextOf(usual).length, 64)
  t.equal(contextOf(usual, 'stream').length, 64)
})

t.test('another certificate and key of the same names are the same server', async t => {
  const another = await testIdentity(['127.0.0.1', 'a.example'], { days: 3 })
  t.not(another.cert, cert)
  t.not(another.key, key)
  for (const kind of ['stream', 'datagram'] as const) {
    t.equal(
      contextOf({ ...usual, cert: another.cert, key: another.key }, kind),
      contextOf(usual, kind),
    )
  }
})

t.test('other names are another server, also where some are the same', async t => {
  const seen = new Set([contextOf(usual)])
  const others = [['a.example'], ['a.example', '127.0.0.1', 'b.example'], ['spiffe://a.example/x']]
  for (const names of others) {
    const other = await testIdentity(names)
    seen.add(contextOf({ ...usual, cert: other.cert, key: other.key }))
  }
  t.equal(seen.size, 4)
})

t.test('a certificate without a name is known by its key', async t => {
  const nameless = async (keys: KeyPairKeyObjectResult, hours: number) => {
    const validity = { notBefore: new Date(), notAfter: new Date(Date.now() + hours * 3_600_000) }
    const { privateKey, publicKey } = keys
    const contents = { role: 'both', commonName: 'x', names: [], validity } as const
    const certificate = await makeCertificate(contents, publicKey, { privateKey })
    return contextOf({ ...usual, cert: certificate.toString() })
  }
  const one = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const two = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  t.not(await nameless(one, 1), await nameless(two, 1))
  t.equal(await nameless(one, 1), await nameless(one, 2))
})

t.test('what is in the files of trust counts, and not how they are written', async t => {
  const { cert: other } = await strangerAuthority()
  const { cert: authority } = await testAuthority()
  const both = contextOf({ ...usual, ca: [authority, other] })
  t.not(both, contextOf(usual))
  for (const same of [
    [other, authority],
    `# ours\n${other}\n\n${authority}`,
    Buffer.from(`${authority.replaceAll('\n', '\r\n')}${other}`),
    [authority, other, authority],
  ]) {
    t.equal(contextOf({ ...usual, ca: same }), both)
  }
  t.not(contextOf({ cert, key }), contextOf(usual), 'and none is not the same as one')
})

t.test('so does everything that a handshake authenticates or agrees on', async t => {
  const differences: object[] = [
    { requestCert: false },
    { rejectUnauthorized: false },
    { alpn: ['x'] },
    { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
    { sigalgs: 'ed25519' },
    { ecdhCurve: 'P-256' },
    { maxVersion: 'DTLSv1.2' },
    { guaranteeEncryption: false },
    { fullHandshakeAfter: 60_000 },
    { srtp: ['SRTP_AEAD_AES_128_GCM'] },
    { crl: 'a list' },
    { pfx: 'an archive' },
  ]
  const seen = new Set([contextOf(usual), contextOf(usual, 'stream')])
  for (const more of differences) seen.add(contextOf({ ...usual, ...more }))
  t.equal(seen.size, differences.length + 2)
})

t.test('limits and times of the process do not', async t => {
  for (const more of [
    { ticketKeys: Buffer.alloc(48) },
    { handshakeTimeout: 5 },
    { keylog: true },
    { sharePort: true },
    { mtu: 1000 },
    { maxSessions: 7 },
    { maxSessionsPerHost: 7 },
    { resumeAfter: 7 },
    { rekeyAfter: 7 },
    { rekeyAfterBytes: 7 },
    { idleTimeout: 7 },
    { maxQueuedDatagrams: 7 },
    { maxQueuedBytes: 7 },
    { servername: 'x.example' },
  ]) {
    t.equal(contextOf({ ...usual, ...more }), contextOf(usual), JSON.stringify(more))
  }
})

t.test('what OpenSSL cannot read is left to OpenSSL to refuse', async t => {
  t.doesNotThrow(() => contextOf({ cert: 'no certificate', key, ca }))
})

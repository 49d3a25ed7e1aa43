/** The ways to be the wrong peer of a datagram socket: each is refused, with its own code, before anything is sent or delivered. */
import t, { type Test } from 'tap'
import type { Pointer } from '../../../lib/memory.js'
import {
  X509_V_ERR_HOSTNAME_MISMATCH,
  X509_V_ERR_IP_ADDRESS_MISMATCH,
} from '../../../lib/openssl.js'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { openssl } from '../../../src/providers/dtls/openssl.js'
import {
  expiredIdentity,
  futureIdentity,
  selfSignedIdentity,
  strangerIdentity,
  testIdentity,
} from '../../support/identities.js'
import { handshake, type Pair, protect } from './pair.js'

type Identity = Pick<DatagramSecuritySettings, 'cert' | 'key'>

const identityOf = async (identity: Promise<{ cert: string; key: string }>): Promise<Identity> => {
  const { cert, key } = await identity
  return { cert, key }
}
const { ca } = (await testIdentity()) as { ca: string }
const own = await identityOf(testIdentity())
const client = { ...(await identityOf(testIdentity(['client.example']))), ca }
const server = { ...own, ca }
const { pin: anotherPin } = await selfSignedIdentity(['another'])

/** What each makes of it: our code, and what the other end is told. */
interface Wrong {
  readonly identity: Identity
  readonly name?: string
  readonly code: string | RegExp
  readonly alert: string | RegExp
}

/** The code that node:tls has for it. */
const untrusted = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

const wrong: Record<string, Wrong> = {
  expired: {
    identity: await identityOf(expiredIdentity()),
    code: 'CERT_HAS_EXPIRED',
    alert: 'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
  },
  'not yet valid': {
    identity: await identityOf(futureIdentity()),
    code: 'CERT_NOT_YET_VALID',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'another name': {
    identity: await identityOf(testIdentity(['other.example'])),
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'another address': {
    identity: await identityOf(testIdentity(['127.0.0.2'])),
    name: '127.0.0.1',
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'another URI': {
    identity: await identityOf(testIdentity(['spiffe://example/a', 'localhost'])),
    name: 'spiffe://example/b',
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'a DNS name where a URI is wanted': {
    identity: await identityOf(testIdentity(['localhost'])),
    name: 'spiffe://localhost',
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'another key than the pinned one': {
    identity: own,
    name: anotherPin,
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    alert: 'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
  },
  'another authority': {
    identity: await identityOf(strangerIdentity()),
    code: untrusted,
    alert: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  },
  'self-signed': {
    identity: await identityOf(selfSignedIdentity(['localhost'])),
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    alert: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  },
}

function nothingPassed(t: Test, { client, server }: Pair, who: 'client' | 'server') {
  const judge = who === 'client' ? client : server
  t.equal(judge.secured, 0)
  t.same(judge.sessions, [], 'nothing to resume')
  t.equal(judge.association.state, 'ended')
  t.throws(() => protect(judge.association, Buffer.from('x')), { code: 'ENOTCONN' })
}

t.test('a wrong server is refused by the client', t => {
  for (const [what, { identity, name = 'localhost', code, alert }] of Object.entries(wrong)) {
    const pair = handshake({
      client,
      server: { ...identity, ca, requestCert: true },
      targetName: name,
    })
    t.match(pair.client.failed, [{ code, peer: '127.0.0.1:5684' }], what)
    nothingPassed(t, pair, 'client')
    t.match(pair.server.failed, [{ code: alert }], `${what}: the server hears why`)
    t.equal(pair.server.secured, 0, 'and was shown nothing of the client')
  }
  t.end()
})

t.test('a wrong client with a name is refused by the server', t => {
  for (const [what, { identity, name = 'localhost', code, alert }] of Object.entries(wrong)) {
    const pair = handshake({
      client: { ...identity, ca },
      server,
      targetName: 'localhost',
      clientName: name,
    })
    t.match(pair.server.failed, [{ code, peer: '127.0.0.1:40000' }], what)
    nothingPassed(t, pair, 'server')
    t.match(pair.client.failed, [{ code: alert }], `${what}: the client hears why`)
    t.equal(pair.client.secured, 0)
  }
  t.end()
})

t.test('a stranger without a trusted certificate is refused by the server', async t => {
  const cases: [string, Identity, string | RegExp, string | RegExp][] = [
    [
      'no certificate',
      {},
      'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
      'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
    ],
    ...['expired', 'another authority', 'self-signed'].map(what => {
      const { identity, code, alert } = wrong[what] as Wrong
      return [what, identity, code, alert] as [string, Identity, string, string]
    }),
  ]
  for (const [what, identity, code, alert] of cases) {
    const pair = handshake({ client: { ...identity, ca }, server, targetName: 'localhost' })
    t.match(pair.server.failed, [{ code }], what)
    nothingPassed(t, pair, 'server')
    t.match(pair.client.failed, [{ code: alert }])
    if (what === 'no certificate') t.match(pair.client.failed, [{ message: /asked for a certif/ }])
  }
})

t.test('a certificate for clients is none for servers, and the reverse', async t => {
  const forClients = await identityOf(testIdentity(['localhost'], { usage: 'client' }))
  const forServers = await identityOf(testIdentity(['localhost'], { usage: 'server' }))
  const pairs = [
    [handshake({ client, server: { ...forClients, ca }, targetName: 'localhost' }), 'client'],
    [handshake({ client: { ...forServers, ca }, server, targetName: 'localhost' }), 'server'],
  ] as const
  for (const [pair, who] of pairs) {
    t.match(pair[who].failed, [{ code: 'INVALID_PURPOSE' }])
    nothingPassed(t, pair, who)
  }
})

t.test('the error names both names', async t => {
  const { identity } = wrong['another name'] as Wrong
  const pair = handshake({ client, server: { ...identity, ca }, targetName: 'host/localhost' })
  t.match(
    pair.client.failed[0]?.message,
    /^127\.0\.0\.1:5684 is not host\/localhost.*other\.example/,
  )
})

t.test('OpenSSL compares the name, too, and is the first to object', t => {
  const lib = openssl().lib as Record<'X509_STORE_CTX_get_error', (context: Pointer) => number>
  const verdicts: number[] = []
  const { X509_STORE_CTX_get_error } = lib
  lib.X509_STORE_CTX_get_error = context => {
    const verdict = X509_STORE_CTX_get_error(context)
    verdicts.push(verdict)
    return verdict
  }
  t.teardown(() => Object.assign(lib, { X509_STORE_CTX_get_error }))
  for (const [what, verdict] of [
    ['another name', X509_V_ERR_HOSTNAME_MISMATCH],
    ['another address', X509_V_ERR_IP_ADDRESS_MISMATCH],
  ] as const) {
    const { identity, name = 'localhost' } = wrong[what] as Wrong
    verdicts.length = 0
    handshake({ client, server: { ...identity, ca }, targetName: name })
    t.equal(verdicts.at(-1), verdict, what)
  }
  t.end()
})

t.test('a server without an authority trusts the named, and no stranger', t => {
  const lonely = { ...own, psk: { someone: Buffer.alloc(16) } }
  const pair = handshake({ client, server: lonely, targetName: 'localhost' })
  t.match(pair.server.failed, [{ code: /SELF_SIGNED|UNABLE|ERR_PEER_NOT_AUTHENTICATED/ }])
  nothingPassed(t, pair, 'server')
  t.end()
})

t.test('no protocol in common', t => {
  const pair = handshake({
    client: { ...client, alpn: ['a'] },
    server: { ...server, alpn: ['b'] },
    targetName: 'localhost',
  })
  t.match(pair.client.failed, [{ code: 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL' }])
  t.match(pair.server.failed, [{ code: 'ERR_SSL_NO_APPLICATION_PROTOCOL', message: /alpn/ }])
  t.end()
})

t.test('no cipher suite in common', t => {
  const pair = handshake({
    client: { ...client, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
    server: { ...server, ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
    targetName: 'localhost',
  })
  t.match(pair.server.failed, [{ code: 'ERR_SSL_NO_SHARED_CIPHER' }])
  t.match(pair.client.failed, [{ code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' }])
  t.end()
})

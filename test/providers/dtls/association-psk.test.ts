/** Pre-shared keys between two associations: whose they are, and what a wrong one does. */
import t from 'tap'
import { derOf, openssl } from '../../../src/providers/dtls/openssl.js'
import { testIdentity } from '../../support/identities.js'
import { createPair, deliver, handshake, say } from './pair.js'

const key = Buffer.alloc(16, 7)
const psk = { identity: 'device', key }
const { cert, key: privateKey, ca } = await testIdentity()
const identity = { cert, key: privateKey, ca } as { cert: string; key: string; ca: string }

t.test('by a map and by a function', t => {
  for (const accepted of [{ device: key }, (name: string) => (name === 'device' ? key : null)]) {
    const pair = handshake({ client: { psk }, server: { psk: accepted } })
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.match(pair.client.association.query(), {
      cipher: 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
      peer: { names: [], pskIdentity: 'device' },
    })
    t.match(pair.server.association.query(), { peer: { names: [], pskIdentity: 'device' } })
    t.same(pair.client.sessions, [], 'what has no certificate is not resumed')
  }
  t.end()
})

t.test('identities and keys of every length that OpenSSL takes', t => {
  for (const [identity, bytes] of [
    ['é', 1],
    ['i'.repeat(128), 256],
  ] as const) {
    const key = Buffer.alloc(bytes, 3)
    const pair = handshake({
      client: { psk: { identity, key } },
      server: { psk: { [identity]: key }, pskIdentityHint: 'who are you?' },
    })
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.equal(pair.server.association.query().peer?.pskIdentity, identity)
  }
  t.end()
})

t.test('a server has certificates and keys, and each client what it has', t => {
  const server = { ...identity, psk: { device: key } }
  const byKey = handshake({ client: { psk }, server })
  t.equal(byKey.server.association.query().peer?.pskIdentity, 'device')
  const byCertificate = handshake({ client: identity, server, targetName: 'localhost' })
  t.ok(byCertificate.server.association.query().peer?.certificate)
  t.equal(byCertificate.server.association.query().peer?.pskIdentity, undefined)
  t.end()
})

t.test('a wrong key is silence: neither is secured, neither fails', t => {
  const pair = handshake({ client: { psk }, server: { psk: { device: Buffer.alloc(16, 8) } } })
  t.same([pair.client.secured, pair.server.secured], [0, 0])
  t.same(
    [pair.client.association.state, pair.server.association.state],
    Array(2).fill('handshaking'),
  )
  t.end()
})

t.test('whatever the look-up does, it fails one handshake', t => {
  const thrown = new Error('no database')
  const cases: [string, (identity: string) => unknown, RegExp][] = [
    ['unknown', () => undefined, /device.*not known/],
    ['null', () => null, /device.*not known/],
    [
      'throws',
      () => {
        throw thrown
      },
      /threw.*no database/,
    ],
    ['a promise', async () => key, /promise.*at once/],
    ['a string', () => 'secret text', /a string of 11 characters/],
    ['empty', () => Buffer.alloc(0), /must give a Buffer/],
  ]
  const good = handshake({ client: { psk }, server: { psk: { device: key } } })
  for (const [what, lookUp, message] of cases) {
    const pair = handshake({ client: { psk }, server: { psk: lookUp as never } })
    t.match(pair.server.failed, [{ code: 'ERR_PEER_NOT_AUTHENTICATED', message }], what)
    t.notMatch(pair.server.failed[0]?.message, /secret/, 'a key is never shown')
    t.match(pair.client.failed, [{ code: /UNKNOWN_PSK_IDENTITY/ }])
    t.equal(say(good.client, good.server, what), what, 'another association does not notice')
  }
  t.equal(
    handshake({
      client: { psk },
      server: {
        psk: () => {
          throw thrown
        },
      },
    }).server.failed[0]?.cause,
    thrown,
  )
  t.end()
})

t.test('our own identity coming back is a reflection, not a peer', t => {
  const both = [psk, { device: key, other: key }] as const
  const pair = handshake({ client: { psk }, server: { psk: both as never } })
  t.match(pair.server.failed, [{ code: 'ERR_PEER_NOT_AUTHENTICATED', message: /reflect/ }])
  t.equal(pair.server.secured, 0)
  t.end()
})

t.test('a target name is proved by a key of that name, and no other', t => {
  const keys = { 'sensor.example': key, device: key }
  const named = { identity: 'sensor.example', key }
  const right = handshake({
    client: { psk: named },
    server: { psk: keys },
    clientName: 'sensor.example',
  })
  t.match(right.server.association.query().peer, {
    targetName: 'sensor.example',
    pskIdentity: 'sensor.example',
  })
  const wrong = handshake({ client: { psk }, server: { psk: keys }, clientName: 'sensor.example' })
  t.match(wrong.server.failed, [
    { code: 'ERR_PEER_TARGET_NAME_MISMATCH', message: /sensor\.example.*device/ },
  ])
  t.equal(wrong.server.secured, 0)
  t.end()
})

t.test(
  'a client with a key does not take a certificate in its place, unless it names an authority',
  t => {
    const server = { ...identity, requestCert: false }
    const without = handshake({ client: { psk }, server })
    t.match(without.client.failed, [{ code: 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE' }])
    const withAuthority = handshake({
      client: { psk, ca: identity.ca },
      server,
      targetName: 'localhost',
      targetNameSet: false,
    })
    t.equal(withAuthority.client.association.query().peer?.targetName, 'localhost')
    t.end()
  },
)

t.test('other associations are used from inside a look-up', t => {
  const other = handshake({ client: { psk }, server: { psk: { device: key } } })
  const heard: (string | undefined)[] = []
  const pair = createPair({
    client: { psk },
    server: {
      psk: () => {
        heard.push(say(other.client, other.server, 'from inside'))
        // A whole handshake inside a handshake.
        const inner = handshake({ client: { psk }, server: { psk: { device: key } } })
        heard.push(say(inner.server, inner.client, 'and deeper'))
        other.client.association.close()
        deliver(other)
        return key
      },
    },
  })
  deliver(pair)
  t.same(heard, ['from inside', 'and deeper'])
  t.equal(other.server.closed, 1)
  t.equal(say(pair.client, pair.server, 'x'), 'x', 'and the outer one is not disturbed')
  t.end()
})

t.test('the association itself is closed from inside its look-up', t => {
  for (const end of ['close', 'destroy'] as const) {
    const pair = createPair({
      client: { psk },
      server: {
        psk: () => {
          pair.server.association[end]()
          pair.server.association.receive(Buffer.alloc(50))
          pair.server.association.tick()
          return key
        },
      },
    })
    const before = pair.server.sent.length
    deliver(pair)
    t.equal(pair.server.association.state, 'ended')
    t.same([pair.server.secured, pair.server.failed, pair.server.closed], [0, [], 0], 'no events')
    t.equal(pair.server.sent.length, before)
  }
  const after = handshake({ client: { psk }, server: { psk: { device: key } } })
  t.equal(say(after.client, after.server, 'x'), 'x', 'nothing of it is left in what all share')
  t.end()
})

t.test('whoever accepts keys gives no tickets, which would outlive the key', t => {
  const client = { psk, ca: identity.ca, ciphers: 'PSK-AES128-GCM-SHA256' }
  const server = { ...identity, psk: { device: key } }
  const full = handshake({ client, server })
  const { lib } = openssl()
  const { handle } = full.client.association
  const session = derOf(at => lib.i2d_SSL_SESSION(lib.SSL_get_session(handle), at))
  const again = handshake({ client, server, session })
  t.equal(say(again.client, again.server, 'x'), 'x')
  t.notOk(again.server.association.query().resumed)

  const changed = { ...identity, psk: { device: Buffer.alloc(16, 9) } }
  const refused = handshake({ client, server: changed, session })
  t.same([refused.client.secured, refused.server.secured], [0, 0])
  t.end()
})

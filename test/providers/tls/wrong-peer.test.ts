/** The ways to be the wrong peer: each is refused, with its own code, and learns nothing. */
import tls from 'node:tls'
import t from 'tap'
import type { SecuritySettings } from '../../../src/model/settings.js'
import { createConnection } from '../../../src/net.js'
import { closed, event } from '../../support/events.js'
import {
  expiredIdentity,
  futureIdentity,
  selfSignedIdentity,
  strangerIdentity,
  testIdentity,
} from '../../support/identities.js'
import { listening, trust } from '../../support/secured.js'

const { ca } = await trust()
const psk = { identity: 'me', key: Buffer.alloc(16, 1) }

interface Case {
  server: SecuritySettings
  client?: SecuritySettings
  peerTargetName?: string
  code: string | RegExp
}

const identityOf = async (identity: Promise<{ cert: string; key: string }>) => {
  const { cert, key } = await identity
  return { cert, key }
}

const wrongServers: Record<string, Case> = {
  expired: { server: await identityOf(expiredIdentity()), code: 'CERT_HAS_EXPIRED' },
  'not yet valid': { server: await identityOf(futureIdentity()), code: 'CERT_NOT_YET_VALID' },
  'another name': {
    server: await identityOf(testIdentity(['other.example'])),
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  },
  'another address': {
    server: await identityOf(testIdentity(['127.0.0.2'])),
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  },
  'another URI': {
    server: await identityOf(testIdentity(['spiffe://example/a', 'localhost'])),
    peerTargetName: 'spiffe://example/b',
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  },
  'a DNS name where a URI is wanted': {
    server: await identityOf(testIdentity(['localhost'])),
    peerTargetName: 'spiffe://localhost',
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  },
  'another authority': {
    server: await identityOf(strangerIdentity()),
    code: /UNABLE_TO_(GET_ISSUER_CERT_LOCALLY|VERIFY_LEAF_SIGNATURE)|SELF_SIGNED_CERT_IN_CHAIN/,
  },
  'self-signed': {
    server: await identityOf(selfSignedIdentity(['127.0.0.1'])),
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  },
  'a client certificate as server': {
    server: await identityOf(testIdentity(undefined, { usage: 'client' })),
    code: 'INVALID_PURPOSE',
  },
  'another pinned key': {
    server: await identityOf(selfSignedIdentity(['a.example'])),
    client: {},
    peerTargetName: (await selfSignedIdentity(['b.example'])).pin,
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
  },
  'the pinned key, expired': {
    server: await identityOf(expiredIdentity()),
    client: {},
    peerTargetName: (await expiredIdentity()).pin,
    code: 'CERT_HAS_EXPIRED',
  },
  'the pinned key, but not of the authority that is given too': {
    server: await identityOf(strangerIdentity()),
    peerTargetName: (await strangerIdentity()).pin,
    code: /UNABLE_TO|SELF_SIGNED/,
  },
  'a certificate where only our key is known': {
    server: await identityOf(testIdentity()),
    client: { psk },
    code: /ERR_PEER_NOT_AUTHENTICATED/,
  },
  'another pre-shared key': {
    server: { psk: { me: Buffer.alloc(16, 2) } },
    client: { psk },
    code: /ERR_SSL_/,
  },
  'our own key with another identity': {
    server: { psk: { somebody: psk.key } },
    client: { psk },
    code: /ERR_SSL_/,
  },
  'only TLS 1.2 where 1.3 is wanted': {
    server: { ...(await identityOf(testIdentity())), maxVersion: 'TLSv1.2' },
    client: { ca, minVersion: 'TLSv1.3' },
    code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
  },
}

for (const [name, { server, client, peerTargetName, code }] of Object.entries(wrongServers)) {
  t.test(`a wrong server: ${name}`, async t => {
    const { SecureServer } = await import('../../../src/sockets/secure-server.js')
    const listener = new SecureServer({ security: server }, socket => {
      socket.on('error', () => {})
      socket.on('data', () => t.fail('it learns nothing'))
    })
    listener.listen(0, '127.0.0.1')
    await event(listener, 'listening')
    const { port } = listener.address() as { port: number }
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      security: client ?? { ca },
      ...(peerTargetName === undefined ? {} : { peerTargetName }),
    })
    socket.on('connect', () => t.fail('not connected'))
    socket.write('secret')
    const [error] = await event(socket, 'error')
    t.match(error, { name: 'SocketSecurityError', code, peer: `127.0.0.1:${port}` })
    await closed(socket)
    await new Promise(resolve => listener.close(resolve))
  })
}

t.test('wrong clients', async t => {
  const wrong: Record<string, [SecuritySettings, RegExp]> = {
    expired: [await identityOf(expiredIdentity()), /CERT_HAS_EXPIRED/],
    'not yet valid': [await identityOf(futureIdentity()), /CERT_NOT_YET_VALID/],
    'another authority': [await identityOf(strangerIdentity()), /UNABLE_TO|SELF_SIGNED/],
    'self-signed': [await identityOf(selfSignedIdentity()), /DEPTH_ZERO_SELF_SIGNED_CERT/],
    'a server certificate as client': [
      await identityOf(testIdentity(undefined, { usage: 'server' })),
      /INVALID_PURPOSE/,
    ],
    'no certificate': [{}, /PEER_DID_NOT_RETURN_A_CERTIFICATE/],
  }
  for (const [name, [identity, code]] of Object.entries(wrong)) {
    const { port, refused } = await listening(t, { security: { ca, requestCert: true } }, () =>
      t.fail(`${name}: not let in`),
    )
    const socket = createConnection({ port, host: '127.0.0.1', security: { ...identity, ca } })
    await event(socket.resume(), 'error')
    await closed(socket)
    t.match(refused, [{ name: 'SocketSecurityError', code, peer: /^127\.0\.0\.1:\d+$/ }], name)
  }
})

t.test('a client always authenticates its server', async t => {
  const { port } = await listening(t, {})
  for (const [security, peerTargetName, code] of [
    [{ rejectUnauthorized: false }, undefined, 'EINVAL'],
    [{ ca: [] }, undefined, 'ENOCREDENTIAL'],
    [{ psk }, 'host/a.example', 'EINVAL'],
  ] as [SecuritySettings, string | undefined, string][]) {
    const socket = createConnection({
      port,
      host: '127.0.0.1',
      security,
      ...(peerTargetName === undefined ? {} : { peerTargetName }),
    })
    t.match(await event(socket, 'error'), [{ code }])
  }
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  t.teardown(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
  })
  const socket = createConnection({ port, host: '127.0.0.1' })
  t.match(
    await event(socket, 'error'),
    [{ code: /UNABLE_TO|SELF_SIGNED/ }],
    "Node's own switch opens nothing",
  )
})

t.test('a pre-shared key that was looked up is not yet one that was proved', async t => {
  // A peer that names a victim's identity but offers a suite which does not fit the key makes
  // OpenSSL look the key up, drop it, and go on with the certificate. It must not become the victim.
  const { cert, key } = await testIdentity()
  const asked: string[] = []
  const { port, server } = await listening(t, {
    security: {
      cert,
      key,
      ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
      psk: identity => {
        asked.push(identity)
        return Buffer.alloc(16, 1)
      },
    },
  })
  const connected = event(server, 'connection')
  const attacker = tls.connect({
    port,
    host: '127.0.0.1',
    ca,
    ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
    pskCallback: () => ({ identity: 'victim', psk: Buffer.alloc(16, 9) }),
    checkServerIdentity: () => undefined,
  })
  attacker.on('error', () => {})
  const outcome = await Promise.race([connected, closed(attacker).then(() => null)])
  if (outcome) {
    t.same(asked, ['victim'], 'the key was looked up')
    const [socket] = outcome as [{ authorized: boolean; secured: Promise<{ peer?: object }> }]
    t.equal(socket.authorized, false)
    t.equal((await socket.secured).peer, undefined, 'nobody, and not the victim')
  } else {
    t.pass('refused')
  }
  attacker.destroy()
})

t.test(
  'a look-up of pre-shared keys that throws or gives nonsense fails one handshake',
  async t => {
    for (const answer of [
      () => {
        throw new Error('database is down')
      },
      () => 'text' as never,
      async () => Buffer.alloc(16, 1) as never,
      () => Buffer.alloc(0),
      () => null,
    ]) {
      const { SecureServer } = await import('../../../src/sockets/secure-server.js')
      const server = new SecureServer({ security: { psk: answer as never } }, () =>
        t.fail('not let in'),
      )
      server.listen(0, '127.0.0.1')
      await event(server, 'listening')
      const { port } = server.address() as { port: number }
      const refused = event(server, 'tlsClientError')
      const socket = createConnection({ port, host: '127.0.0.1', security: { psk } })
      t.match(await event(socket, 'error'), [{ code: /ERR_SSL_|ECONNRESET/ }])
      await refused
      await new Promise(resolve => server.close(resolve))
    }
  },
)

t.test('a look-up that throws is told to the server, with what it threw', async t => {
  const { SecureServer } = await import('../../../src/sockets/secure-server.js')
  const broken = () => {
    throw new Error('database is down')
  }
  const server = new SecureServer({ security: { psk: broken } })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as { port: number }
  const refused = event(server, 'tlsClientError')
  createConnection({ port, host: '127.0.0.1', security: { psk } }).on('error', () => {})
  t.match(await refused, [
    {
      code: 'ERR_PEER_NOT_AUTHENTICATED',
      message: /database is down/,
      cause: { message: 'database is down' },
    },
  ])
  await new Promise(resolve => server.close(resolve))
})

t.test(
  'the server is told that it was the pre-shared key, and not what OpenSSL missed then',
  async t => {
    for (const [answer, message] of [
      [() => null, /its pre-shared key identity "me" is not known here/],
      [() => 'text', /security\.psk gave a string of 4 characters/],
      [async () => psk.key, /security\.psk gave a promise/],
    ] as const) {
      const bare = { cert: undefined, key: undefined }
      const { port, refused, server } = await listening(t, {
        security: { ...bare, psk: answer as never },
      })
      const told = event(server, 'tlsClientError')
      createConnection({ port, host: '127.0.0.1', security: { psk } }).on('error', () => {})
      await told
      t.match(refused, [
        { code: 'ERR_PEER_NOT_AUTHENTICATED', message, peer: /^127\.0\.0\.1:\d+$/ },
      ])
    }
  },
)

t.test('a server refuses its own pre-shared identity: a reflection', async t => {
  const { SecureServer } = await import('../../../src/sockets/secure-server.js')
  const both = [psk, { me: psk.key, you: Buffer.alloc(16, 3) }] as const
  const server = new SecureServer({ security: { psk: both } }, () => t.fail('not let in'))
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as { port: number }
  const told = event(server, 'tlsClientError')
  const socket = createConnection({ port, host: '127.0.0.1', security: { psk } })
  t.match(await event(socket, 'error'), [{ code: /ERR_SSL_/ }])
  t.match(await told, [{ code: 'ERR_PEER_NOT_AUTHENTICATED', message: /reflects/ }])
  await new Promise(resolve => server.close(resolve))
})

t.test('a pre-shared key authenticates both ends', async t => {
  const { SecureServer } = await import('../../../src/sockets/secure-server.js')
  const server = new SecureServer({ security: { psk: { me: psk.key } } })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const { port } = server.address() as { port: number }
  for (let i = 0; i < 2; i++) {
    const connected = event(server, 'connection') as Promise<
      [{ secured: Promise<object>; destroy(): void }]
    >
    const socket = createConnection({ port, host: '127.0.0.1', security: { psk } })
    t.match(await socket.secured, { secured: true, resumed: false, peer: { pskIdentity: 'me' } })
    const [accepted] = await connected
    t.match(await accepted.secured, {
      secured: true,
      resumed: false,
      peer: { pskIdentity: 'me', names: [] },
    })
    accepted.destroy()
    socket.destroy()
  }
  await new Promise(resolve => server.close(resolve))
})

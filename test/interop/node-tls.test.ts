/** node:tls as it is, at the other end: mutual authentication, half-open ends, bulk, renegotiation. */
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import tls, { type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { createConnection, type SecureConnectOptions } from '../../src/net.js'
import type { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event, text } from '../support/events.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { clientIdentity, listening, trust } from '../support/secured.js'

const { ca } = await trust()
const server = await testIdentity()
const client = await clientIdentity()
const versions = ['TLSv1.3', 'TLSv1.2'] as const

for (const maxVersion of versions) {
  t.test(`its client and our server know each other, ${maxVersion}`, async t => {
    const security = { ca, requestCert: true, alpn: ['h2'] }
    const { port, server } = await listening(t, { security }, echo)
    const socket = tlsClient(t, port, { ...client, maxVersion, ALPNProtocols: ['h2'] })
    const [accepted] = (await event(server, 'connection')) as [SecureSocket]
    t.match(await accepted.querySecurity(), {
      version: maxVersion,
      alpn: 'h2',
      peer: { names: ['client.example'] },
    })
    t.equal(accepted.getPeerCertificate()?.subjectaltname, 'DNS:client.example')
    socket.write('there and back')
    const [data] = await event(socket, 'data')
    t.equal(String(data), 'there and back')
    t.equal(socket.authorized, true)
    t.equal(socket.alpnProtocol, 'h2')
  })

  t.test(`our client and its server know each other, ${maxVersion}`, async t => {
    const accepted: TLSSocket[] = []
    const { port } = await tlsServer(t, { maxVersion, ALPNProtocols: ['h2'] }, socket => {
      accepted.push(socket)
      socket.pipe(socket)
    })
    const socket = secureClient(t, { port, security: { ...client, alpn: ['h2'] } })
    t.match(await socket.secured, { version: maxVersion, alpn: 'h2', peer: { pin: server.pin } })
    socket.write('there and back')
    const [data] = await event(socket, 'data')
    t.equal(String(data), 'there and back')
    t.match(accepted, [{ authorized: true, alpnProtocol: 'h2' }])
    t.equal(accepted[0]?.getPeerCertificate().subjectaltname, 'DNS:client.example')
  })

  t.test(`its client resumes, and is still the one that it was, ${maxVersion}`, async t => {
    const security = { ca, requestCert: true }
    const { port, server } = await listening(t, { security }, socket => {
      socket.on('error', () => {}).write('hello')
    })
    const first = tlsClient(t, port, { ...client, maxVersion })
    const session = once(first, 'session')
    await event(first, 'data')
    const [kept] = (await session) as [Buffer]
    first.destroy()

    const again = tlsClient(t, port, { ...client, maxVersion, session: kept })
    const [accepted] = (await event(server, 'connection')) as [SecureSocket]
    t.match(await accepted.querySecurity(), { resumed: true, peer: { names: ['client.example'] } })
    await event(again, 'data')
    t.equal(again.isSessionReused(), true)
  })

  for (const [first, second] of [
    ['its client', 'our server'],
    ['our server', 'its client'],
    ['our client', 'its server'],
    ['its server', 'our client'],
  ] as const) {
    t.test(`half-open: ${first} ends, ${second} goes on, ${maxVersion}`, async t => {
      const ends = await pair(t, first.includes('our client') || second.includes('our client'), {
        maxVersion,
      })
      const one = ends[first.endsWith('client') ? 'client' : 'server']
      const other = ends[second.endsWith('client') ? 'client' : 'server']
      one.end('that was all')
      t.equal(await text(other.setEncoding('utf8')), 'that was all')
      t.equal(other.writable, true, 'the end of one direction is not that of the other')
      t.equal(one.readable, true)
      other.write('a late ')
      other.end('answer')
      t.equal(await text(one.setEncoding('utf8')), 'a late answer')
    })
  }

  for (const ours of ['client', 'server'] as const) {
    t.test(`bulk in both directions at once, our ${ours}, ${maxVersion}`, async t => {
      const { client, server } = await pair(t, ours === 'client', { maxVersion })
      const [up, down] = await Promise.all([
        transfer('up', client, server),
        transfer('down', server, client),
      ])
      t.equal(up.received, up.sent)
      t.equal(down.received, down.sent)
      const [own, foreign] = ours === 'client' ? [client, server] : [server, client]
      t.equal(own.bytesWritten, bulk.length * bulk.size, 'plaintext bytes are counted')
      t.equal(own.bytesRead, foreign.bytesWritten)
    })
  }
}

t.test('records of any size are put together again', async t => {
  const { port } = await listening(t, {}, echo)
  const socket = tlsClient(t, port, { ca })
  await event(socket, 'secureConnect')
  // 512 bytes is the smallest that OpenSSL lets one ask for.
  t.equal(socket.setMaxSendFragment(512), true)
  const sent = Buffer.alloc(100_000, 'in many small records ')
  const heard: Buffer[] = []
  socket.on('data', chunk => heard.push(chunk))
  socket.end(sent)
  await event(socket, 'end')
  t.ok(Buffer.concat(heard).equals(sent))
})

t.test('SNI chooses its certificate, by the host of our target name', async t => {
  const asked: string[] = []
  const other = await testIdentity(['db.example.com'])
  const { port } = await tlsServer(t, {
    SNICallback: (name, done) => {
      asked.push(name)
      done(null, tls.createSecureContext({ cert: other.cert, key: other.key, ca }))
    },
  })
  const socket = secureClient(t, {
    port,
    peerTargetName: 'postgres/db.example.com:5432',
    security: client,
  })
  t.same((await socket.secured).peer?.names, ['db.example.com'])
  t.same(asked, ['db.example.com'])
})

t.test('neither may renegotiate', async t => {
  await t.test('its client', async t => {
    const { port, server } = await listening(t, {})
    const socket = tlsClient(t, port, { ca, maxVersion: 'TLSv1.2' })
    const [[accepted]] = (await Promise.all([
      event(server, 'connection'),
      event(socket, 'secureConnect'),
    ])) as [[SecureSocket], unknown]
    const over = once(accepted, 'error')
    socket.on('error', () => {})
    socket.renegotiate({}, () => {})
    const [error] = await over
    t.match(error, { code: 'ERR_TLS_RENEGOTIATION_DISABLED' })
    t.equal(accepted.destroyed, true)
  })
  await t.test('its server', async t => {
    const { port, accepted } = await tlsServer(t, { maxVersion: 'TLSv1.2', requestCert: false })
    const socket = secureClient(t, { port, security: { ca } })
    const [, foreign] = await Promise.all([socket.secured, accepted])
    socket.resume()
    const over = once(socket, 'error')
    const answer = once(foreign, 'error')
    foreign.renegotiate({ requestCert: true, rejectUnauthorized: false }, () => {})
    const [declined] = await answer
    t.match(declined, { code: 'ERR_SSL_NO_RENEGOTIATION' })
    await over
    t.equal(socket.destroyed, true)
  })
})

t.test('a name that its certificate does not prove, and a stranger’s certificate', async t => {
  const { port, errors } = await tlsServer(t, { requestCert: false }, () => {})
  const wrongName = secureClient(t, { port, peerTargetName: 'other.example', security: { ca } })
  const [mismatch] = await event(wrongName, 'error')
  t.match(mismatch, { code: 'ERR_PEER_TARGET_NAME_MISMATCH', message: /other\.example/ })

  const { ca: otherCa } = await strangerIdentity()
  const untrusting = secureClient(t, { port, security: { ca: otherCa } })
  const [untrusted] = await event(untrusting, 'error')
  t.match(untrusted, { code: 'SELF_SIGNED_CERT_IN_CHAIN', message: /give it as ca/ })
  t.ok(errors.length <= 1, 'its side sees no more than the alert')
})

// The two ends.

type End = SecureSocket | TLSSocket

/** A connection of ours and node:tls's, each half open when the other ends. */
async function pair(
  t: Test,
  ourClient: boolean,
  { maxVersion }: { maxVersion: 'TLSv1.2' | 'TLSv1.3' },
): Promise<{ client: End; server: End }> {
  if (ourClient) {
    const { port, accepted } = await tlsServer(t, { maxVersion, allowHalfOpen: true })
    const client_ = secureClient(t, { port, allowHalfOpen: true, security: client })
    const [server] = await Promise.all([accepted, client_.secured])
    return { client: client_, server }
  }
  const security = { ca, requestCert: true }
  const { port, server } = await listening(t, { allowHalfOpen: true, security }, () => {})
  const client_ = tlsClient(t, port, { ...client, maxVersion, allowHalfOpen: true })
  const [[accepted]] = await Promise.all([
    event(server, 'connection'),
    event(client_, 'secureConnect'),
  ])
  return { client: client_, server: accepted as SecureSocket }
}

function secureClient(t: Test, options: SecureConnectOptions & { port: number }): SecureSocket {
  const socket = createConnection({ host: '127.0.0.1', ...options } as SecureConnectOptions)
  t.teardown(() => socket.destroy())
  return socket
}

function tlsClient(t: Test, port: number, options: ConnectionOptions | object): TLSSocket {
  const socket = tls.connect({ port, host: '127.0.0.1', ...options })
  t.teardown(() => socket.destroy())
  return socket
}

async function tlsServer(t: Test, options: TlsOptions, listener?: (socket: TLSSocket) => void) {
  const errors: Error[] = []
  const { cert, key } = server
  const listens = tls.createServer({ cert, key, ca, requestCert: true, ...options }, socket => {
    socket.on('error', error => errors.push(error))
    t.teardown(() => socket.destroy())
    listener?.(socket)
  })
  listens.on('tlsClientError', error => errors.push(error))
  const accepted = new Promise<TLSSocket>(resolve => listens.once('secureConnection', resolve))
  listens.listen(0, '127.0.0.1')
  t.teardown(() => listens.close())
  await event(listens, 'listening')
  return { port: (listens.address() as AddressInfo).port, accepted, errors }
}

// Bulk.

const bulk = { length: 256, size: 65_521 }

/** Sends 16 MB and gives the digests of what went in and what came out. */
async function transfer(seed: string, from: End, to: End) {
  const sent = createHash('sha256')
  const received = createHash('sha256')
  // Not `for await`: its end would destroy the other direction too.
  to.on('data', chunk => received.update(chunk))
  await Promise.all([
    pipeline(Readable.from(chunks(seed, sent)), from as Socket),
    event(to, 'end', 60_000),
  ])
  return { sent: sent.digest('hex'), received: received.digest('hex') }
}

/** Every chunk is different, and of a prime size, so that none lost or exchanged goes unseen. */
function* chunks(seed: string, hash: Hash): Generator<Buffer> {
  for (let index = 0; index < bulk.length; index += 1) {
    const chunk = Buffer.alloc(
      bulk.size,
      createHash('sha512')
        .update(seed + index)
        .digest(),
    )
    hash.update(chunk)
    yield chunk
  }
}

function echo(socket: SecureSocket): void {
  socket.on('error', () => {}).pipe(socket)
}

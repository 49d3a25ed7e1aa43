/**
 * The client resumes by itself, and only against the identity that the session was authenticated
 * for. OpenSSL does not check the name of a resumed session again: a wrong name would pass.
 */
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import type { Identity } from '../../../src/identity/identity.js'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import type { SecuritySettings } from '../../../src/model/settings.js'
import { createConnection } from '../../../src/net.js'
import { SecureServer } from '../../../src/sockets/secure-server.js'
import { event, failure, text } from '../../support/events.js'
import { selfSignedIdentity, testIdentity } from '../../support/identities.js'
import { clientIdentity, listening, serverIdentity, trust } from '../../support/secured.js'
import { until } from '../../support/until.js'

/** Connects, hears the server out (its tickets come with its answer), and gives the security. */
async function visit(port: number, options: object): Promise<SecurityInfo> {
  const socket = createConnection({ port, host: '127.0.0.1', ...options })
  socket.on('error', () => {})
  const info = await socket.secured
  await text(socket)
  return info
}

for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
  t.test(
    `${maxVersion}: the second connection resumes, and knows its peer as the first did`,
    async t => {
      const { ca } = await trust()
      for (const security of [{ maxVersion }, { maxVersion, ca, requestCert: true }]) {
        const identities: unknown[] = []
        const { port } = await listening(t, { security }, async socket => {
          identities.push((await socket.secured).peer?.names)
          socket.end('answer')
        })
        const options = { security: { ...(await clientIdentity()), maxVersion } }
        const infos = []
        for (let i = 0; i < 4; i++) infos.push(await visit(port, options))
        t.same(
          infos.map(info => info.resumed),
          [false, true, true, true],
        )
        for (const { peer } of infos) {
          t.equal(peer?.targetName, '127.0.0.1')
          t.equal(peer?.pin, infos[0]?.peer?.pin)
          t.ok(peer?.certificate)
        }
        t.equal(new Set(identities.map(String)).size, 1, 'and so does the server')
      }
    },
  )
}

t.test('another name, other settings, or another port: no session of theirs is used', async t => {
  const { cert, key } = await testIdentity(['127.0.0.1', 'a.example', 'b.example'])
  const { port } = await listening(t, { security: { cert, key } }, socket => socket.end('answer'))
  const { port: otherPort } = await listening(t, { security: { cert, key } }, socket =>
    socket.end('answer'),
  )
  const security = await trust()
  t.equal((await visit(port, { security })).resumed, false)
  t.equal((await visit(port, { security })).resumed, true)
  t.equal((await visit(port, { security, peerTargetName: 'host/a.example' })).resumed, false)
  t.equal((await visit(port, { security, peerTargetName: 'host/b.example' })).resumed, false)
  t.equal((await visit(port, { security: { ...security, alpn: ['x'] } })).resumed, false)
  t.equal((await visit(otherPort, { security })).resumed, false)
  t.match(
    await failure(visit(port, { security, peerTargetName: 'host/c.example' })),
    { code: 'ERR_PEER_TARGET_NAME_MISMATCH' },
    'and a wrong name does not pass because a session exists',
  )
})

t.test('a server that has forgotten its keys is authenticated anew', async t => {
  const security = await trust()
  const first = await listening(t, {}, socket => socket.end('answer'))
  await visit(first.port, { security })
  for (const socket of [first.server]) await new Promise(resolve => socket.close(resolve))
  const identity = await serverIdentity()
  const second = tls.createServer(identity as tls.TlsOptions, socket => socket.end('other'))
  second.listen(first.port, '127.0.0.1')
  await event(second, 'listening')
  t.teardown(() => second.close())
  const info = await visit(first.port, { security })
  t.equal(info.resumed, false)
  t.ok(info.peer?.certificate)
})

t.test('ticketKeys: several processes give and take the same tickets', async t => {
  const ticketKeys = Buffer.alloc(48, 7)
  const first = await listening(t, { security: { ticketKeys } }, socket => socket.end('answer'))
  const security = await trust()
  await visit(first.port, { security })
  const { port } = first
  await new Promise(resolve => first.server.close(resolve))
  // The same port, as a restarted process of the same settings.
  const again = new SecureServer(
    { security: { ...(await serverIdentity()), ticketKeys } },
    socket => socket.end('answer'),
  )
  again.listen(port, '127.0.0.1')
  await event(again, 'listening')
  t.equal((await visit(port, { security })).resumed, true)
  await new Promise(resolve => again.close(resolve))
})

t.test('servers of a fleet: certificates of their own, keys that rotate', async t => {
  const { ca } = await trust()
  const requested = { ca, requestCert: true }
  let keys = [randomBytes(48)]
  const ticketKeys = () => keys
  const fleet = new Fleet(t)
  const options = { security: await clientIdentity() }
  const one = await testIdentity(['127.0.0.1'], { days: 3 })
  const two = await testIdentity(['127.0.0.1'], { days: 4 })
  const other = await testIdentity(['127.0.0.1', 'b.example'])
  const resumed = async (identity: Identity, more: object = requested) => {
    const { cert, key } = identity
    await fleet.serve({ cert, key, ticketKeys, ...more })
    return (await visit(fleet.port, options)).resumed
  }
  t.equal(await resumed(one), false)
  t.equal(await resumed(two), true, 'another certificate of the same names')
  t.equal(await resumed(other), false, 'other names')
  t.equal(await resumed(other), true)
  t.equal(await resumed(one), false)
  t.equal(await resumed(one, {}), false, 'no client is asked for there')
  t.equal(await resumed(one), false, 'so its tickets are worth nothing here')
  t.equal(await resumed(one), true)

  keys = [randomBytes(48), ...keys]
  await until('a new key is asked for', async () => !(await visit(fleet.port, options)).resumed)
  t.equal((await visit(fleet.port, options)).resumed, true, 'and its tickets are good')
  t.equal(await resumed(two), true)
})

/** One port, and a server after another that has it. */
class Fleet {
  port = 0
  #server: InstanceType<typeof SecureServer> | undefined

  constructor(t: Test) {
    t.teardown(() => this.#server?.close())
  }

  async serve(security: SecuritySettings): Promise<void> {
    const before = this.#server
    if (before) await new Promise(resolve => before.close(resolve))
    this.#server = new SecureServer({ security }, socket => socket.end('answer'))
    this.#server.listen(this.port, '127.0.0.1')
    await event(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }
}

t.test('a client without a certificate cannot resume itself into being authorized', async t => {
  // Node 20 and 22 call such a session authorized: it is a pre-shared key to them.
  const { ca } = await trust()
  const seen: boolean[] = []
  const { port } = await listening(
    t,
    { security: { ca, requestCert: true, rejectUnauthorized: false } },
    socket => {
      seen.push(socket.authorized)
      socket.end('answer')
    },
  )
  const connect = (session?: Buffer) =>
    new Promise<Buffer | undefined>((resolve, reject) => {
      let ticket: Buffer | undefined
      const socket = tls.connect({ port, host: '127.0.0.1', ca, ...(session ? { session } : {}) })
      socket.on('session', data => {
        ticket = data
      })
      socket.on('error', reject)
      socket.on('close', () => resolve(ticket))
      socket.resume()
    })
  const ticket = await connect()
  t.ok(ticket, 'it has a ticket')
  await connect(ticket)
  t.same(seen, [false, false])
})

t.test('a pinned key is checked in resumed sessions too', async t => {
  const { cert, key, pin } = await selfSignedIdentity()
  const { port } = await listening(t, { security: { cert, key } }, socket => socket.end('answer'))
  t.equal((await visit(port, { peerTargetName: pin })).resumed, false)
  const info = await visit(port, { peerTargetName: pin })
  t.equal(info.resumed, true)
  t.equal(info.peer?.pin, pin)
})

t.test('a name with several addresses: the session goes to the one that connects', async t => {
  // Every address that autoSelectFamily tries has a handle of its own.
  const { port } = await listening(t, {}, socket => socket.end('answer'))
  const lookup = (_host: string, _options: object, callback: (...args: unknown[]) => void) => {
    setImmediate(callback, null, [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ])
  }
  const options = { host: 'localhost', autoSelectFamily: true, lookup, security: await trust() }
  t.equal((await visit(port, options)).resumed, false)
  t.equal((await visit(port, options)).resumed, true)
})

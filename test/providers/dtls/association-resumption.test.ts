/** Resumed handshakes: shorter, and with every check of a full one. */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { strangerAuthority, testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { handshake, type PairOptions, protect, say } from './pair.js'

const { cert, key, ca } = (await testIdentity()) as { cert: string; key: string; ca: string }
const peer = (await testIdentity(['client.example'])) as { cert: string; key: string }
const client: DatagramSecuritySettings = { cert: peer.cert, key: peer.key, ca }
const server: DatagramSecuritySettings = { cert, key, ca }
const usual: PairOptions = { client, server, targetName: 'localhost' }

function sessionOf(options: PairOptions): Buffer {
  const { sessions } = handshake(options).client
  if (sessions.length !== 1 || sessions[0] === undefined) throw new Error('no session')
  return sessions[0]
}

t.test('a resumed handshake knows both ends as the full one did', t => {
  const session = sessionOf(usual)
  for (let count = 0; count < 3; count += 1) {
    const pair = handshake({ ...usual, session })
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.match(pair.client.association.query(), {
      resumed: true,
      peer: { targetName: 'localhost', names: ['localhost', '127.0.0.1', '::1'] },
    })
    t.match(pair.server.association.query(), { resumed: true, peer: { names: ['client.example'] } })
    t.same(pair.client.sessions, [], 'resuming does not make it last longer')
    t.ok(pair.server.sent.length <= 1, 'one flight')
  }
  t.end()
})

t.test('a session is given after the peer has been judged', t => {
  const pair = handshake({ ...usual, targetName: 'other.example' })
  t.equal(pair.client.failed.length, 1)
  t.same(pair.client.sessions, [])
  t.end()
})

t.test('a resumed peer must prove the name that is wanted now', t => {
  const session = sessionOf(usual)
  for (const targetName of ['other.example', '10.0.0.1', 'spiffe://example/x']) {
    const pair = handshake({ ...usual, session, targetName })
    t.match(pair.client.failed, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }], targetName)
    t.equal(pair.client.secured, 0)
    t.throws(() => protect(pair.client.association, Buffer.from('x')), { code: 'ENOTCONN' })
    t.equal(pair.server.closed + pair.server.failed.length, 1, 'the server is told')
  }
  const pair = handshake({ ...usual, session, clientName: 'another.example' })
  t.match(pair.server.failed, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }])
  t.equal(pair.server.secured, 0)
  t.end()
})

t.test('ticketKeys let another process resume', t => {
  const ticketKeys = randomBytes(48)
  const session = sessionOf({ ...usual, server: { ...server, ticketKeys } })
  // Other contents, so another context: what another process has.
  const another = { ...server, ticketKeys: Buffer.from(ticketKeys) }
  t.ok(handshake({ ...usual, server: another, session }).server.association.query().resumed)
  const others = { ...server, ticketKeys: randomBytes(48) }
  const pair = handshake({ ...usual, server: others, session })
  t.equal(say(pair.client, pair.server, 'x'), 'x', 'where the keys differ it is a full handshake')
  t.notOk(pair.server.association.query().resumed)
  t.end()
})

/** Does a client with a session of the one server resume at the other? Both talk in any case. */
function resumes(t: Test, one: DatagramSecuritySettings, two: DatagramSecuritySettings): boolean {
  const session = sessionOf({ ...usual, server: one })
  const pair = handshake({ ...usual, server: two, session })
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  const { resumed } = pair.server.association.query()
  t.equal(pair.client.association.query().resumed, resumed)
  return resumed
}

t.test('a server with another certificate of the same names resumes', async t => {
  const ticketKeys = randomBytes(48)
  const another = await testIdentity(['::1', '127.0.0.1', 'localhost'], { days: 2 })
  const fleet = { ...server, ticketKeys }
  t.ok(resumes(t, fleet, { ...fleet, cert: another.cert, key: another.key }))
  const elsewhere = await testIdentity(['localhost', 'other.example'])
  t.notOk(resumes(t, fleet, { ...fleet, cert: elsewhere.cert, key: elsewhere.key }), 'other names')
})

t.test('servers that would authenticate otherwise do not', async t => {
  const fleet = { ...server, ticketKeys: randomBytes(48) }
  const { cert: other } = await strangerAuthority()
  for (const more of [
    { ca: [ca, other] },
    { requestCert: false },
    { rejectUnauthorized: false },
    { alpn: ['x'] },
    // A ticket of the one would be too old at the other, or live too long.
    { fullHandshakeAfter: 60_000 },
  ]) {
    t.notOk(resumes(t, { ...fleet, ...more }, fleet), JSON.stringify(Object.keys(more)))
    t.notOk(resumes(t, fleet, { ...fleet, ...more }))
  }
  t.ok(resumes(t, { ...fleet, mtu: 1000, maxSessions: 3, idleTimeout: 9 }, fleet))
})

t.test('the peer that resumes at another process must prove its name there', async t => {
  const ticketKeys = randomBytes(48)
  const session = sessionOf({ ...usual, server: { ...server, ticketKeys } })
  const fleet = { ...server, ticketKeys: [ticketKeys] }
  const named = handshake({ ...usual, server: fleet, session, clientName: 'client.example' })
  t.match(named.server.association.query(), {
    resumed: true,
    peer: { targetName: 'client.example' },
  })
  const wrong = handshake({ ...usual, server: fleet, session, clientName: 'another.example' })
  t.match(wrong.server.failed, [{ code: 'ERR_PEER_TARGET_NAME_MISMATCH' }])
  t.equal(wrong.server.secured, 0)
})

t.test('keys rotate: the one before still opens its tickets, and seals none', async t => {
  const [old, current, next] = [randomBytes(48), randomBytes(48), randomBytes(48)]
  t.ok(resumes(t, { ...server, ticketKeys: old }, { ...server, ticketKeys: [current, old] }))
  t.ok(resumes(t, { ...server, ticketKeys: [current, old] }, { ...server, ticketKeys: current }))
  t.notOk(resumes(t, { ...server, ticketKeys: [current, old] }, { ...server, ticketKeys: old }))
  t.notOk(resumes(t, { ...server, ticketKeys: old }, { ...server, ticketKeys: [next, current] }))
})

t.test(
  'keys of a function rotate while the server runs, and tickets of before are taken',
  async t => {
    let keys: Buffer[] = [randomBytes(48)]
    const live = { ...server, ticketKeys: () => keys }
    const session = sessionOf({ ...usual, server: live })
    const resumed = (from: Buffer) =>
      handshake({ ...usual, server: live, session: from }).server.association.query().resumed
    t.ok(resumed(session))
    const fixed = (ticketKeys: Buffer) => ({ ...server, ticketKeys })
    const [before] = keys as [Buffer]
    keys = [randomBytes(48), before]
    const current = keys[0] as Buffer
    // It is asked once a second: then its tickets are by the new key.
    let fresh: Buffer = session
    await until('the new key is in use', () => {
      fresh = sessionOf({ ...usual, server: live })
      return handshake({
        ...usual,
        server: fixed(current),
        session: fresh,
      }).server.association.query().resumed
    })
    t.ok(resumed(fresh))
    t.ok(resumed(session), 'by the key before')
    keys = [current]
    await until('the old key is gone', () => !resumed(session))
    t.ok(resumed(fresh))
  },
)

t.test('tickets of other keys, and forged ones, are left out', async t => {
  const fleet = { ...server, ticketKeys: randomBytes(48) }
  const session = sessionOf({ ...usual, server: fleet })
  for (let times = 0; times < 50; times += 1) {
    const forged = Buffer.from(session)
    // Somewhere in its ticket, which is about in the middle; or what the client keeps is spoilt.
    const at = Math.floor((session.length * (times + 25)) / 100)
    forged[at] = (forged[at] as number) ^ (1 << (times & 7))
    const pair = handshake({ ...usual, server: fleet, session: forged })
    const [failed] = [...pair.client.failed, ...pair.server.failed]
    if (failed === undefined && say(pair.client, pair.server, 'x') !== 'x') t.fail(`byte ${at}`)
  }
  t.ok(handshake({ ...usual, server: fleet, session }).server.association.query().resumed)
})

t.test('tickets of other settings are not accepted', t => {
  const ticketKeys = randomBytes(48)
  const session = sessionOf({ ...usual, server: { ...server, ticketKeys } })
  const stricter = { ...server, ticketKeys, alpn: ['x'] }
  const pair = handshake({ ...usual, server: stricter, session })
  t.equal(say(pair.client, pair.server, 'x'), 'x')
  t.notOk(pair.server.association.query().resumed)
  t.end()
})

t.test('a session that is garbage is left out', t => {
  for (const session of [Buffer.alloc(0), randomBytes(500)]) {
    const pair = handshake({ ...usual, session })
    t.equal(say(pair.client, pair.server, 'x'), 'x')
    t.notOk(pair.client.association.query().resumed)
  }
  t.end()
})

t.test('a ticket ends with fullHandshakeAfter', async t => {
  const short = { ...server, fullHandshakeAfter: 1000 }
  const session = sessionOf({ ...usual, server: short })
  t.ok(handshake({ ...usual, server: short, session }).server.association.query().resumed)
  // OpenSSL counts in seconds of its own clock.
  await new Promise(resolve => setTimeout(resolve, 2100))
  t.notOk(handshake({ ...usual, server: short, session }).server.association.query().resumed)
})

t.test('a client that a server does not ask for its certificate resumes too', t => {
  const open = { ...server, requestCert: false }
  const session = sessionOf({ ...usual, server: open })
  const pair = handshake({ ...usual, server: open, session })
  t.ok(pair.server.association.query().resumed)
  t.equal(pair.server.association.query().peer, undefined)
  t.end()
})

/** Resumed handshakes: shorter, and with every check of a full one. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import { testIdentity } from '../../support/identities.js'
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

/** The client's sessions, without network: bounded, used up in order, never beyond their end. */
import { X509Certificate } from 'node:crypto'
import t from 'tap'
import {
  dropSessions,
  keepSession,
  sessionEnd,
  sessionKey,
  takeSession,
} from '../../../src/providers/tls/session-cache.js'
import { expiredIdentity, testIdentity } from '../../support/identities.js'

const certificate = new X509Certificate((await testIdentity()).cert)
const other = new X509Certificate((await testIdentity(['other.example'])).cert)
const session = (name: string, more = {}) => ({
  data: Buffer.from(name),
  reusable: false,
  end: { wall: Date.now() + 60_000, steady: performance.now() + 60_000 },
  ...more,
})
const taken = (key: string) => takeSession(key)?.session.data.toString()

t.test('a ticket is used once while there is another; the last one stays', async t => {
  const key = sessionKey('f', 'host', 1, 'name')
  for (const name of ['a', 'b', 'c']) keepSession(key, certificate, session(name))
  t.same([taken(key), taken(key), taken(key), taken(key)], ['c', 'b', 'a', 'a'])
  t.equal(takeSession(key)?.certificate, certificate)
  dropSessions(key)
  t.equal(taken(key), undefined)
})

t.test('a TLS 1.2 session replaces what was there, and stays', async t => {
  const key = sessionKey('f', 'host', 2, 'name')
  keepSession(key, certificate, session('old', { reusable: true }))
  keepSession(key, certificate, session('new', { reusable: true }))
  t.same([taken(key), taken(key)], ['new', 'new'])
})

t.test('never beyond the end', async t => {
  const key = sessionKey('f', 'host', 3, 'name')
  const [wall, steady] = [Date.now() + 60_000, performance.now() + 60_000]
  for (const end of [
    { wall: Date.now() - 1, steady },
    // The clock has been set back.
    { wall: wall + 5 * 60 * 60 * 1000, steady: performance.now() - 1 },
  ]) {
    keepSession(key, certificate, session('over', { end }))
    t.equal(taken(key), undefined)
  }
  keepSession(key, certificate, session('not over', { end: { wall, steady } }))
  t.equal(taken(key), 'not over')
  const expired = new X509Certificate((await expiredIdentity()).cert)
  t.ok(sessionEnd(expired).wall < Date.now(), 'of the certificate')
  t.ok(sessionEnd(expired).steady < performance.now())
  t.ok(sessionEnd(certificate).wall <= Date.now() + 2 * 60 * 60 * 1000, 'of two hours')
  t.ok(sessionEnd(certificate).steady <= performance.now() + 2 * 60 * 60 * 1000)
})

t.test('another certificate of the same peer begins anew', async t => {
  const key = sessionKey('f', 'host', 4, 'name')
  keepSession(key, certificate, session('of the old one'))
  keepSession(key, other, session('of the new one'))
  t.equal(takeSession(key)?.certificate, other)
  t.equal(taken(key), 'of the new one')
})

t.test('keys are told apart in every part', async t => {
  const parts: [string, string, number | string, string][] = [
    ['f', 'h', 1, 'n'],
    ['g', 'h', 1, 'n'],
    ['f', 'i', 1, 'n'],
    ['f', 'h', 2, 'n'],
    ['f', 'h', 1, 'm'],
    ['f', 'h","1', 1, 'n'],
  ]
  t.equal(new Set(parts.map(each => sessionKey(...each))).size, parts.length)
  t.equal(sessionKey('f', 'h', '1', 'n'), sessionKey('f', 'h', 1, 'n'), 'a port is a port')
})

t.test('bounded: 500 peers, 4 tickets each, the least recently used go first', async t => {
  const key = (i: number) => sessionKey('bound', 'host', i, 'name')
  for (let i = 0; i < 501; i++) keepSession(key(i), certificate, session('x'))
  t.equal(taken(key(0)), undefined, 'the first is gone')
  t.equal(taken(key(1)), 'x')
  for (let i = 0; i < 6; i++) keepSession(key(1), certificate, session(`t${i}`))
  const taking = Array.from({ length: 5 }, () => taken(key(1)))
  t.same(taking, ['t5', 't4', 't3', 't2', 't2'], 'the last one stays, and there were four')
})

/** What can be resumed: by whom, until when, and how much is kept. */
import t from 'tap'
import { parseTargetName } from '../../../src/model/target-name.js'
import {
  dropSession,
  findSession,
  keepSession,
  sessionKey,
} from '../../../src/providers/dtls/sessions.js'

const data = (name: string) => Buffer.from(name)
const at = (time: number) => ({ now: () => time, wallTime: () => time })

t.test('until its end, and as often as wanted', async t => {
  const key = sessionKey('f', '192.0.2.1', 1, undefined)
  keepSession(key, { data: data('one'), expires: 1000, ends: 1000 })
  t.equal(findSession(key, at(999))?.data.toString(), 'one')
  t.equal(findSession(key, at(999))?.data.toString(), 'one')
  t.equal(findSession(key, at(1000)), undefined)
  t.equal(findSession(key, at(999)), undefined, 'and it is gone')
  keepSession(key, { data: data('two'), expires: 1000, ends: 1000 })
  dropSession(key)
  t.equal(findSession(key, at(0)), undefined)
})

t.test('by either clock: that of the wall can be set', async t => {
  const key = sessionKey('f', '192.0.2.2', 1, undefined)
  for (const clock of [
    { now: () => 999, wallTime: () => 2000 },
    { now: () => 1000, wallTime: () => 500 },
  ]) {
    keepSession(key, { data: data('x'), expires: 2000, ends: 1000 })
    t.equal(findSession(key, clock), undefined)
  }
})

t.test('settings, address, port and name: each tells sessions apart', async t => {
  const name = parseTargetName('a.example')
  const keys = [
    sessionKey('f', 'h', 1, name),
    sessionKey('g', 'h', 1, name),
    sessionKey('f', 'i', 1, name),
    sessionKey('f', 'h', 2, name),
    sessionKey('f', 'h', 1, parseTargetName('b.example')),
    sessionKey('f', 'h', 1, undefined),
    sessionKey('f', 'h","1', 1, name),
  ]
  t.equal(new Set(keys).size, keys.length)
  t.equal(sessionKey('f', 'h', 1, parseTargetName('A.example.')), keys[0])
})

t.test('bounded: what was used longest ago goes first', async t => {
  const key = (i: number) => sessionKey('bound', 'h', i, undefined)
  for (let i = 0; i < 2000; i++) keepSession(key(i), { data: data('x'), expires: 1, ends: 1 })
  findSession(key(0), at(0))
  keepSession(key(2000), { data: data('x'), expires: 1, ends: 1 })
  t.ok(findSession(key(0), at(0)))
  t.equal(findSession(key(1), at(0)), undefined)
})

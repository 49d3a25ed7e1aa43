// New settings must never leave a socket with less security than the old ones demanded, and new
// credentials that cannot be used must not end a service that the old ones keep alive.
import t from 'tap'
import { type ParsedSettings, parseSettings } from '../../src/model/settings.js'
import { following } from '../../src/providers/live-settings.js'
import { warningsAreHeard, warningsOf } from '../support/warnings.js'

t.test('made once for each settings', async t => {
  let settings = parseSettings({ ca: 'a' })
  const made: string[] = []
  const now = following(
    () => settings,
    ({ ca }) => {
      made.push(String(ca))
      return ca
    },
  )
  t.equal(now(), 'a')
  t.equal(now(), 'a')
  settings = parseSettings({ ca: 'b' })
  t.equal(now(), 'b')
  t.equal(now(), 'b')
  t.same(made, ['a', 'b'])
})

t.test('what cannot be used at first is told at first', async t => {
  const failing = () => {
    throw new Error('no such thing')
  }
  t.throws(() => following(() => parseSettings(null), failing), { message: 'no such thing' })
})

t.test('credentials that cannot be used leave the old ones, and are told of once', async t => {
  const heard = warningsOf(t, 'SECURE_SOCKET_CREDENTIALS_REFUSED')
  let settings = parseSettings({ ca: 'good' })
  const now = following(
    () => settings,
    ({ ca }) => {
      if (ca === 'bad') throw new Error('bad')
      return ca
    },
  )
  settings = parseSettings({ ca: 'bad' })
  t.equal(now(), 'good')
  t.equal(now(), 'good')
  await warningsAreHeard()
  t.match(heard, [{ message: /bad/ }])
  settings = parseSettings({ ca: 'better' })
  t.equal(now(), 'better')
})

t.test('so do those that come together with new ticket keys, which rotate as well', async t => {
  const heard = warningsOf(t, 'SECURE_SOCKET_CREDENTIALS_REFUSED')
  const rotating = (ca: string, key: number) =>
    parseSettings({ ca, ticketKeys: Buffer.alloc(48, key) })
  const first = rotating('good', 1)
  let settings = first
  const now = following(
    () => settings,
    each => {
      if (each.ca === 'bad') throw new Error('bad')
      return each
    },
  )
  settings = rotating('bad', 2)
  t.equal(now(), first, 'the old ones stay, all of them')
  await warningsAreHeard()
  t.equal(heard.length, 1)
  settings = rotating('good', 2)
  t.equal(now(), settings)
})

t.test('whatever else a policy demands is done, or nothing is', async t => {
  const cases: [string, ParsedSettings][] = [
    ['a version', parseSettings({ ca: 'a', minVersion: 'TLSv1.3' })],
    ['a client’s certificate', parseSettings({ ca: 'a', requestCert: true })],
    ['trust at all', parseSettings({})],
    ['an identity', parseSettings({ ca: 'a', cert: 'c', key: 'k' })],
  ]
  for (const [what, stricter] of cases) {
    let settings = parseSettings({ ca: 'a' })
    const first = settings
    const now = following(
      () => settings,
      each => {
        if (each !== first) throw new Error('cannot be used')
        return each
      },
    )
    settings = stricter
    t.throws(() => now(), { message: 'cannot be used' }, what)
    settings = first
    t.equal(now(), first, 'until the policy is taken back')
  }
})

t.test('a socket of one protocol is none of another', async t => {
  let settings = parseSettings(null)
  const now = following(
    () => settings,
    each => each,
  )
  settings = parseSettings({ protocol: 'ipsec' })
  t.throws(() => now(), { code: 'ERR_POLICY_FORBIDS', message: /'ipsec'.*'tls'/ })
})

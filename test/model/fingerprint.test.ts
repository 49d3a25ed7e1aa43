/** A provider keeps a context, and a session, for each fingerprint: a collision would mix up two trusts. */
import { inspect } from 'node:util'
import t from 'tap'
import { fingerprintOf, standsFor } from '../../src/model/fingerprint.js'

t.test('contents that differ only in kind or in framing have different fingerprints', async t => {
  const different: unknown[] = [
    '1',
    1,
    true,
    'true',
    null,
    'null',
    [1],
    ['1'],
    [1, []],
    [[1], []],
    [[1, []]],
    { 0: 1 },
    {},
    [],
    { a: { b: 1 } },
    { a: {}, b: 1 },
    Buffer.from('1'),
    () => 1,
    () => 1,
  ]
  const seen = new Map<string, unknown>()
  for (const value of different) {
    const fingerprint = fingerprintOf({ value })
    t.notOk(seen.has(fingerprint), `${inspect(value)} is not ${inspect(seen.get(fingerprint))}`)
    seen.set(fingerprint, value)
  }
})

t.test('a function that gives a secret is what its digest says, whoever made it', async t => {
  const [one, same, other] = [() => 'secret', () => 'secret', () => 'other']
  standsFor(one, 'digest of secret')
  standsFor(same, 'digest of secret')
  standsFor(other, 'digest of other')
  t.equal(fingerprintOf({ one }), fingerprintOf({ one: same }))
  t.not(fingerprintOf({ one }), fingerprintOf({ one: other }))
  t.not(fingerprintOf({ one }), fingerprintOf({ one: 'digest of secret' }), 'nor its text')
})

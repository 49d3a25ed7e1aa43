// One negotiation of a connection at a time, and few altogether: the daemon has few threads.
import t from 'tap'
import { takeTurn } from '../../../../src/providers/strongswan/daemon/turns.js'

const timeout = 20_000

t.test('one after the other for one connection, side by side for others', async t => {
  const end = await takeTurn('one', { timeout })
  let second = false
  const waiting = takeTurn('one', { timeout }).then(endSecond => {
    second = true
    return endSecond
  })
  const endOther = await takeTurn('other', { timeout })
  t.equal(second, false)
  end()
  const endSecond = await waiting
  endSecond()
  endOther()
})

t.test('no more than the daemon has threads for, and whoever waits long enough goes', async t => {
  const ends = await Promise.all(
    ['a', 'b', 'c', 'd', 'e', 'f'].map(name => takeTurn(name, { timeout })),
  )
  await t.rejects(takeTurn('g', { timeout: 20 }), { code: 'ETIMEDOUT' })
  const seventh = takeTurn('g', { timeout })
  ends[3]?.()
  const end = await seventh
  end()
  for (const each of ends) each()
})

t.test('whoever is given up does not wait', async t => {
  const end = await takeTurn('one', { timeout })
  const controller = new AbortController()
  const given = takeTurn('one', { timeout, signal: controller.signal })
  controller.abort()
  await t.rejects(given, { code: 'ECANCELED' })
  await t.rejects(takeTurn('one', { timeout, signal: AbortSignal.abort() }), { code: 'ECANCELED' })
  end()
  const next = await takeTurn('one', { timeout })
  next()
})

/** The ticket keys in force: asked for now and then, kept where the answer fails. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { TicketKeySource } from '../../src/model/ticket-keys.js'
import { derivedKey, ticketKeysOf } from '../../src/providers/ticket-keys.js'
import { until } from '../support/until.js'

t.test('without the setting there are none', async t => {
  t.equal(ticketKeysOf({}), undefined)
})

t.test('they are asked for once a second at most, and change', async t => {
  let asked = 0
  let keys = [randomBytes(48)]
  const ticketKeys: TicketKeySource = () => {
    asked += 1
    return keys
  }
  const first = ticketKeysOf({ ticketKeys })
  t.same(first, keys)
  for (let times = 0; times < 100; times += 1) t.equal(ticketKeysOf({ ticketKeys }), first)
  t.equal(asked, 1)
  keys = [Buffer.from(keys[0] as Buffer)]
  await until(
    'they are asked for again',
    () => ticketKeysOf({ ticketKeys }) !== undefined && asked === 2,
  )
  t.equal(ticketKeysOf({ ticketKeys }), first, 'the same keys are the same list')
  keys = [randomBytes(48), ...keys]
  await until('the new ones are in force', () => ticketKeysOf({ ticketKeys }) !== first)
  t.same(ticketKeysOf({ ticketKeys }), keys)
})

t.test('where the answer fails the last keys stay, and one warning says so', async t => {
  const warnings: string[] = []
  const onWarning = (warning: Error) => warnings.push(warning.message)
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const key = randomBytes(48)
  let failure: Error | undefined
  let asked = 0
  const ticketKeys: TicketKeySource = () => {
    asked += 1
    if (failure) throw failure
    return [key]
  }
  t.same(ticketKeysOf({ ticketKeys }), [key])
  failure = new Error('the store is sealed')
  await until(
    'it has failed twice',
    () => ticketKeysOf({ ticketKeys }) !== undefined && asked === 3,
  )
  t.same(ticketKeysOf({ ticketKeys }), [key])
  await new Promise(setImmediate)
  t.same(warnings, [
    'security.ticketKeys cannot be had now, so they stay what they were: the store is sealed',
  ])
})

t.test('where no answer has come yet the keys are nobody else’s', async t => {
  process.on('warning', () => {})
  const ticketKeys: TicketKeySource = () => {
    throw 'not yet'
  }
  const another: TicketKeySource = () => {
    throw 'not yet'
  }
  const keys = ticketKeysOf({ ticketKeys }) as readonly Buffer[]
  t.equal(keys.length, 1)
  t.equal(keys[0]?.length, 48)
  t.notSame(keys, ticketKeysOf({ ticketKeys: another }))
})

t.test('each use has a key of its own', async t => {
  const key = randomBytes(48)
  const uses = ['TLS ticket keys', 'DTLS ticket keys', 'DTLS cookies']
  const derived = uses.map(use => derivedKey(key, use, 32).toString('hex'))
  t.equal(new Set([...derived, key.toString('hex', 0, 32)]).size, 4)
  t.same(
    derived,
    uses.map(use => derivedKey(Buffer.from(key), use, 32).toString('hex')),
    'the same in every process',
  )
})

/** Handshake work goes in portions: what is over waits for its turn, in order, and not without bound. */
import t from 'tap'
import { HANDSHAKE_BUDGET, WorkBudget } from '../../../src/providers/dtls/work-budget.js'

t.test('a portion, then the rest by and by', async t => {
  let now = 0
  const done: number[] = []
  const budget = new WorkBudget(() => now)
  const piece = (number: number) => () => {
    now += 1
    done.push(number)
  }
  t.ok(budget.open)
  budget.spend(piece(0))
  t.ok(budget.open)
  budget.spend(piece(1))
  t.notOk(budget.open, `${HANDSHAKE_BUDGET} ms are spent`)
  for (let i = 2; i < 7; i++) t.ok(budget.defer('a', piece(i)))
  t.ok(budget.waiting)
  budget.work()
  t.same(done, [0, 1, 2, 3])
  now += 100
  t.notOk(budget.open, 'not before what waits already')
  budget.work()
  budget.work()
  t.same(done, [0, 1, 2, 3, 4, 5, 6])
  t.notOk(budget.waiting)
  now += 2 * HANDSHAKE_BUDGET
  t.ok(budget.open, 'time passes by itself')
})

t.test('strangers fill it to a bound, and the application beyond it', async t => {
  const budget = new WorkBudget(() => 0)
  let accepted = 0
  while (accepted < 5000 && budget.defer(`${accepted}`, () => {})) accepted += 1
  t.equal(accepted, 1024)
  let own = 0
  budget.deferOwn(() => {
    own += 1
  })
  budget.work()
  t.equal(own, 1)
})

t.test('work that fails is done once, and the rest stays', async t => {
  const budget = new WorkBudget(() => 0)
  let done = 0
  budget.defer('a', () => {
    throw new Error('this one')
  })
  budget.defer('a', () => {
    done += 1
  })
  t.throws(() => budget.work(), { message: 'this one' })
  budget.work()
  t.equal(done, 1)
  budget.defer('a', () => {
    budget.clear()
  })
  budget.defer('a', () => {
    done += 1
  })
  budget.work()
  t.equal(done, 1, 'cleared by the work itself')
})

t.test('one that asks for much does not keep the others out', async t => {
  const budget = new WorkBudget(() => 0)
  const done: string[] = []
  let accepted = 0
  for (let i = 0; i < 2000; i++) if (budget.defer('busy', () => done.push('busy'))) accepted += 1
  t.ok(accepted >= 200 && accepted < 256, `${accepted}: a gateway has many peers`)
  for (let i = 0; i < 7; i++) {
    for (let j = 0; j < 2000; j++) budget.defer(`busy ${i}`, () => done.push('busy'))
    t.ok(
      budget.defer(`other ${i}`, () => done.push('other')),
      'others have their turn',
    )
  }
  budget.work()
  t.equal(done.filter(each => each === 'other').length, 7)
  t.ok(
    budget.defer('busy', () => {}),
    'and then it may ask again',
  )
})

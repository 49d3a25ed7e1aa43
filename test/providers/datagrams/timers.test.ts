/** The heap of deadlines, against a list that is searched. */
import t from 'tap'
import { type Sleeper, Timers } from '../../../src/providers/datagrams/timers.js'
import { seededRandom } from '../../model/random.js'

const sleeper = (): Sleeper => ({ wakeAt: Number.POSITIVE_INFINITY, heapIndex: -1 })

t.test('whoever is due first comes first; an earlier time wins, a later one does not', async t => {
  const timers = new Timers<Sleeper>()
  t.equal(timers.deadline, Number.POSITIVE_INFINITY)
  const [a, b] = [sleeper(), sleeper()]
  timers.wake(a, 20)
  timers.wake(b, 10)
  timers.wake(b, 30)
  t.equal(timers.deadline, 10)
  t.equal(timers.take(9), undefined)
  t.equal(timers.take(10), b)
  timers.wake(a, 5)
  t.equal(timers.deadline, 5)
  timers.remove(a)
  timers.remove(a)
  t.equal(timers.deadline, Number.POSITIVE_INFINITY)
  timers.wake(a, Number.POSITIVE_INFINITY)
  t.equal(timers.take(1e9), undefined)
})

t.test('as a list would do it', async t => {
  const random = seededRandom(t)
  const timers = new Timers<Sleeper>()
  const all = Array.from({ length: 60 }, sleeper)
  const expected = new Map<Sleeper, number>()
  let now = 0
  for (let i = 0; i < 20_000; i++) {
    const each = random.of(all)
    const what = random.below(4)
    if (what < 2) {
      const at = now + random.below(100)
      timers.wake(each, at)
      expected.set(each, Math.min(at, expected.get(each) ?? at))
    } else if (what === 2) {
      timers.remove(each)
      expected.delete(each)
    } else {
      now += random.below(20)
      const due = timers.take(now)
      const first = Math.min(...expected.values())
      if (due === undefined ? first <= now : expected.get(due) !== first) {
        t.fail(`step ${i}: took ${due && expected.get(due)}, due was ${first} at ${now}`)
        return
      }
      if (due !== undefined) expected.delete(due)
    }
  }
})

/** The time of what is sent together is read once, and never kept for longer than until it has left. */
import t from 'tap'
import { forgetTime, keepTime, tickTime } from '../../src/channels/tick-time.js'
import { commit, destination, sending, tickOver } from './batch/sending.js'

/** The clock has gone on. */
function later(): void {
  const before = performance.now()
  while (performance.now() === before);
}

t.test('it goes on, unless it is kept', async t => {
  const first = tickTime()
  later()
  t.ok(tickTime() > first)
  keepTime()
  const kept = tickTime()
  t.ok(kept > first, 'what is kept is not older than the keeping')
  later()
  t.equal(tickTime(), kept)
  forgetTime()
  t.ok(tickTime() > kept)
  keepTime()
  t.ok(tickTime() > kept, 'nothing of before')
  forgetTime()
})

t.test('a channel keeps it while something stands there to leave', async t => {
  if (process.platform !== 'linux') return t.pass('only Linux sends like this')
  const { outgoing } = sending()
  const before = tickTime()
  commit(outgoing, 'one', destination(1))
  const kept = tickTime()
  later()
  t.ok(kept >= before)
  t.equal(tickTime(), kept)
  outgoing.flush()
  later()
  t.ok(tickTime() > kept, 'it has left')
  commit(outgoing, 'two', destination(1))
  const next = tickTime()
  await tickOver()
  later()
  t.ok(tickTime() > next, 'the tick is over')
})

/** Nothing may be sent while the kernel does not keep clear packets back; who waits is told when it is over. */
import t from 'tap'
import { Stillness } from '../../../../src/providers/strongswan/datagrams/stillness.js'
import { failure } from '../../../support/events.js'
import { FakeDaemon } from './datagram-daemon.js'

const gone = new Error('the daemon was stopped')
const { signal } = new AbortController()

async function world() {
  const daemon = new FakeDaemon()
  const log: string[] = []
  const ends = { fails: false }
  const stillness = new Stillness(daemon, {
    began: error => log.push(`began ${error.message}`),
    ends() {
      log.push('ends')
      if (ends.fails) throw new Error('not drained')
    },
  })
  stillness.watch(await daemon.guard('udp', 6000))
  return { daemon, stillness, log, ends }
}

t.test(
  'from the interruption to the restoration, and not before what it takes is done',
  async t => {
    const { daemon, stillness, log, ends } = await world()
    t.equal(stillness.reason(), undefined)
    daemon.interrupt(gone)
    t.equal(stillness.reason(), gone)
    const over = stillness.over(10_000, signal)
    ends.fails = true
    daemon.restore()
    t.match(stillness.reason(), { message: 'not drained' })
    ends.fails = false
    daemon.restore()
    await over
    t.equal(stillness.reason(), undefined)
    t.same(log, ['began the daemon was stopped', 'ends', 'ends'])
  },
)

t.test('the kernel is believed where the daemon has said nothing yet', async t => {
  const { daemon, stillness } = await world()
  daemon.isHolding = false
  t.match(stillness.reason('192.0.2.2'), { code: 'ECONNRESET' })
  const over = stillness.over(10_000, signal)
  daemon.isHolding = true
  await over
})

t.test(
  'not longer than somebody waits; and nobody waits for a daemon that does not come back',
  async t => {
    const { daemon, stillness } = await world()
    daemon.interrupt(gone)
    t.equal(await failure(stillness.over(20, signal)), gone)
    const abort = new AbortController()
    const aborted = failure(stillness.over(10_000, abort.signal))
    abort.abort()
    t.match(await aborted, { code: 'ECANCELED' })
    const waiting = failure(stillness.over(10_000, signal))
    const lost = new Error('not back within 15 s')
    daemon.lose(lost)
    t.equal(await waiting, lost)
    t.equal(await failure(stillness.over(10_000, signal)), lost)
    daemon.restore()
    t.equal(stillness.reason(), undefined, 'late, but back')
  },
)

t.test('closed, it is still, and watches nobody', async t => {
  const { daemon, stillness } = await world()
  stillness.close()
  t.match(stillness.reason(), { code: 'ENOTSOCK' })
  t.equal(daemon.watchers.size, 0)
})

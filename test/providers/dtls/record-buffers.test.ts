/** Whoever is in use keeps the memory for its records; whoever is idle gives it back, soon and by itself. */
import t from 'tap'
import { AWAKE_LIMIT, keepAwake, type Sleeper } from '../../../src/providers/dtls/record-buffers.js'

interface Dozer extends Sleeper {
  recordsSent: number
  recordsReceived: number
  slept: number
}

function dozer(sleeps = () => true): Dozer {
  return {
    recordsSent: 0,
    recordsReceived: 0,
    slept: 0,
    sleep() {
      this.slept += 1
      return sleeps()
    },
  }
}

/** Until it is so; a test that waits in vain ends by its own timeout. */
async function until(condition: () => boolean, meanwhile = () => {}): Promise<void> {
  while (!condition()) {
    meanwhile()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

t.test('who is in use stays awake, who is not goes to sleep', async t => {
  const [sends, receives, idle] = [dozer(), dozer(), dozer()]
  for (const each of [sends, receives, idle]) keepAwake(each)
  await until(
    () => idle.slept > 0,
    () => {
      sends.recordsSent += 1
      receives.recordsReceived += 1
    },
  )
  t.equal(sends.slept, 0)
  t.equal(receives.slept, 0)
  await until(() => sends.slept > 0 && receives.slept > 0)
  t.equal(idle.slept, 1, 'asked once')
})

t.test('who cannot give its memory back now is asked again', async t => {
  let busy = true
  const one = dozer(() => !busy)
  keepAwake(one)
  await until(() => one.slept === 2)
  busy = false
  await until(() => one.slept === 3)
  const other = dozer()
  keepAwake(other)
  await until(() => other.slept === 1)
  t.equal(one.slept, 3)
})

t.test('there is a limit to how many are awake: the oldest gives way', async t => {
  let busy = true
  const stubborn = dozer(() => !busy)
  keepAwake(stubborn)
  const many = Array.from({ length: AWAKE_LIMIT + 1 }, () => dozer())
  for (const each of many) keepAwake(each)
  t.same(
    many.filter(each => each.slept > 0),
    many.slice(0, 1),
  )
  t.equal(stubborn.slept, 1)
  busy = false
  await until(() => many.every(each => each.slept === 1))
  t.equal(stubborn.slept, 2, 'who could not give it back then is asked again')
})

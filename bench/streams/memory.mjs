import { setTimeout as pause } from 'node:timers/promises'
import { pairs } from './pair.mjs'
import { exchange } from './workloads.mjs'

const warmUp = 50

/** Bytes that an idle connection pair holds, from the growth by `units` pairs. */
export async function memory(subject, units) {
  const open = await pairs(subject)
  const held = []
  await hold(warmUp)
  const before = await settled()
  await hold(units)
  const after = await settled()
  const per = field => (after[field] - before[field]) / units
  return { heap: per('heapUsed'), external: per('external'), rss: per('rss'), pairs: units }

  async function hold(count) {
    for (let i = 0; i < count; i++) {
      const { client, atServer } = await open()
      await exchange(client, atServer)
      held.push(client, atServer)
    }
  }
}

/** Memory after garbage collection; several, since finalizers free what only the next one sees. */
async function settled() {
  for (let i = 0; i < 6; i++) {
    global.gc()
    await pause(30)
  }
  global.gc()
  return process.memoryUsage()
}

import { each, makeConnect } from './handshakes.mjs'
import { settled } from './settled.mjs'

/** Associations that are held and not counted, in a process whose own heap has grown by then. */
const uncounted = 100

/** Bytes that an idle association holds in one process, from the growth by `units` of them. */
export async function memory(task, ask) {
  const connect = makeConnect(task, ask)
  const held = []
  const look = task.at === 'client' ? settled : () => ask('memory')

  return async function work({ units }) {
    await each(task.over, async () => (await connect()).close())
    await hold(uncounted)
    const before = await look()
    await hold(units)
    const after = await look()
    const per = field => (after[field] - before[field]) / units
    return { units, rss: per('rss'), heap: per('heapUsed'), external: per('external') }
  }

  async function hold(count) {
    await each(count, async () => held.push(await connect()))
  }
}

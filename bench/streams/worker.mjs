// A process that measures one subject. It holds both ends of every connection, so its CPU time is
// that of both.

import { memory } from './memory.mjs'
import { makeSubject } from './subjects.mjs'
import { bulk, connections, pingpong } from './workloads.mjs'

const workloads = { bulk, pingpong, connect: connections, reconnect: connections }

let work

/** As many rounds of work until the code is compiled and the caches are full. */
const warmUp = 5

/** Every message is the task, the same each time, and asks for one measurement of it. */
process.on('message', async task => {
  const { kind, units } = task
  const subject = () => makeSubject(task, kind !== 'connect')
  if (kind === 'memory') {
    process.send(await memory(subject(), units))
  } else {
    const times = work === undefined ? warmUp : 1
    work ??= await workloads[kind](subject())
    process.send(await timed(work, units * times))
  }
})
process.on('disconnect', () => process.exit())

async function timed(work, units) {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  await work(units)
  const { user, system } = process.cpuUsage(cpu)
  const wall = Number(process.hrtime.bigint() - start)
  return { units, cpu: (user + system) / 1e6, wall: wall / 1e9 }
}

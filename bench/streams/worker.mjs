// A process that measures one subject. It holds both ends of every connection, so its CPU time is
// that of both.

import { memory } from './memory.mjs'
import { makeSubject } from './subjects.mjs'
import { bulk, connections, pingpong } from './workloads.mjs'

const workloads = { bulk, pingpong, connect: connections, reconnect: connections }

let work

/** Every message is the task, the same each time, and asks for one measurement of it. */
process.on('message', async task => {
  const { kind, units } = task
  const subject = () => makeSubject(task, kind !== 'connect')
  if (kind === 'memory') {
    process.send(await memory(subject(), units))
  } else {
    work ??= await workloads[kind](subject())
    process.send(await timed(work, units))
  }
})
process.on('disconnect', () => process.exit())

async function timed(work, units) {
  global.gc()
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  await work(units)
  const { user, system } = process.cpuUsage(cpu)
  const wall = Number(process.hrtime.bigint() - start)
  return { units, cpu: (user + system) / 1e6, wall: wall / 1e9 }
}

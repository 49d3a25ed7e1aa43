// A process that measures one subject: the near end. It starts a process of its own for the far end,
// so that each has its CPU time and its memory to itself.

import { fork } from 'node:child_process'
import { bursts } from './bursts.mjs'
import { flood } from './flood.mjs'
import { handshakes } from './handshakes.mjs'
import { memory } from './memory.mjs'
import { peers } from './peers.mjs'
import { pingPong } from './ping-pong.mjs'

const workloads = { bursts, peers, 'ping-pong': pingPong, flood, handshakes, memory }

/** Whatever takes longer has lost something. */
const patience = 60_000

let work

/** Every message is a task and asks for one measurement of it; what the first says of ends and peers holds for all. */
process.on('message', async task => {
  const timer = setTimeout(fail, patience, new Error(`${task.subject} was not done in a minute`))
  try {
    const first = work === undefined
    work ??= await workloads[task.kind](task, await startFarEnd(task))
    // Until the code is compiled and the caches are full.
    for (let i = 0; first && i < task.warmUp; i++) await work(task)
    process.send(await work(task))
  } catch (error) {
    fail(error)
  }
  clearTimeout(timer)
})
process.on('disconnect', () => process.exit())

/** A bench in which something fails measures nothing. */
function fail(error) {
  console.error(error)
  process.exit(1)
}

/** Gives a function that asks the far end for something. */
async function startFarEnd(task) {
  const child = fork(new URL('./far-end.mjs', import.meta.url), {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.once('exit', () => fail(new Error('the far end has ended')))
  const waiting = new Map()
  let count = 0
  child.on('message', ({ id, answer }) => {
    waiting.get(id)(answer)
    waiting.delete(id)
  })
  await ask('start', task)
  return ask

  function ask(what, argument) {
    const id = count++
    child.send({ id, what, argument })
    return new Promise(resolve => waiting.set(id, resolve))
  }
}

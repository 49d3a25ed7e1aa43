// Measures limit.c as worker.mjs measures the others.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { windowOf, windowOfMany } from './flow.mjs'

let program
let lines

process.on('message', async task => {
  if (program === undefined) await start(task)
  const { kind, units, size, burst = 1, peers = 1 } = task
  const mode = kind === 'ping-pong' ? 1 : 0
  const window = windowOfMany(size, peers)
  program.stdin.write(`${[mode, size, burst, window, windowOf(size), peers, units].join(' ')}\n`)
  const [line] = await once(lines, 'line')
  const answer = JSON.parse(line)
  process.send({ units, lost: 0, ...(mode === 1 ? { 'round trip': answer } : answer) })
})
process.on('disconnect', () => process.exit())

async function start({ limit, peers = 1 }) {
  program = spawn(limit, [String(peers)], { stdio: ['pipe', 'pipe', 'inherit'] })
  program.once('exit', () => process.exit(1))
  lines = createInterface({ input: program.stdout })
  // Its version.
  await once(lines, 'line')
}

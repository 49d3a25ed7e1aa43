/**
 * What waits for the end of a connection: told when it is over and not before, in the background; and
 * a process that has nothing else to do ends, after it has taken away what no byte can need.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Remainder } from '../../../../src/providers/strongswan/host/tcp-table.js'
import { whenQuiet } from '../../../../src/providers/strongswan/streams/quiet.js'
import { until } from '../../../support/until.js'

function ending(states: Remainder[]) {
  const told: string[] = []
  let looks = 0
  whenQuiet({
    look: () => states[Math.min(looks++, states.length - 1)] ?? 'gone',
    settled: async () => {
      told.push('settled')
    },
    gone: async () => {
      told.push('gone')
    },
  })
  return { told, looks: () => looks }
}

t.test('it is over when the kernel says so, and is told once', async t => {
  const { told, looks } = ending(['busy', 'busy', 'half closed', 'busy', 'gone'])
  await until('it is over', () => told.length > 0)
  t.equal(looks(), 5)
  t.same(told, ['gone'])
})

t.test('both ends have closed: what the last FIN needs goes a while later', async t => {
  const began = performance.now()
  const states: Remainder[] = ['time wait']
  const { told } = ending(states)
  await until('it has settled', () => told.length > 0)
  t.same(told, ['settled'])
  t.ok(performance.now() - began >= 1000, 'not at once')
  states[0] = 'gone'
  await until('it is over', () => told.length > 1)
  t.same(told, ['settled', 'gone'])
})

const program = fileURLToPath(new URL('./quiet-program.ts', import.meta.url))

t.test('a process ends, and takes away what only late packets need', async t => {
  for (const [state, expected] of [
    ['time wait', 'gone'],
    ['half closed', 'gone'],
    ['busy', ''],
  ] as const) {
    const began = performance.now()
    const child = spawn(process.execPath, [...process.execArgv, program, state], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', data => {
      output += data
    })
    const [code] = await once(child, 'close')
    t.equal(code, 0)
    t.equal(output.trim(), expected, state)
    t.ok(performance.now() - began < 20_000, 'in bounded time')
  }
})

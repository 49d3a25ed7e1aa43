/** Processes and threads that end while calls of the system pend for ever: none crashes, none hangs. */
import t from 'tap'
import { noDouble } from '../support/winsock-double.js'
import { runProgram } from './child.js'

if (noDouble) t.plan(0, noDouble)
else {
  for (const [how, code] of [
    ['exit', 0],
    ['throw', 1],
    ['destroyed', 0],
    ['workers', 0],
  ] as const)
    t.test(`calls of every kind of socket pend: ${how}`, async t => {
      const ended = await runProgram(t, 'pending', [how])
      t.match(ended.output, /^over$/m)
      t.match(ended, { code, signal: null })
    })
}

/**
 * What crashed or corrupted the process with a binding that has no rules: use after free, double
 * free, freeing inside a callback, memory that moves, closing inside 'message'. Each is tried in a
 * process of its own, because a crash there is silent: writing with a freed SSL ends Node 24 with 0.
 * So it counts only if the program says at its end what it has seen.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { inOneFile } from '../../support/one-file.js'

const run = promisify(execFile)
const program = await inOneFile(t, new URL('crash-attempts.ts', import.meta.url))

const attempts: Record<string, string | RegExp> = {
  'use after free': [
    'start returns',
    'send ENOTCONN',
    'receive returns',
    'tick returns',
    'query returns',
    'export ENOTCONN',
    'sleep returns',
    'close returns',
    'destroy returns',
  ].join(', '),
  'double free': 'ended twice',
  'free inside a callback': '80 ended inside',
  'unpinned buffers': 'nothing changed',
  // 0 to 3 where the receiver ends, all 20 where it is the sender.
  "closing inside 'message'": `${60 * 4 + 30 * 20} delivered`,
  'closing inside every other event': 'ended in each',
  'associations that nobody ends': 'freed by the collector',
  'a look-up that throws, through many frames': 'told each time',
  threads: '0,0 at the ends of two',
}

for (const [attempt, seen] of Object.entries(attempts)) {
  t.test(attempt, async t => {
    const args = ['--expose-gc', '--no-warnings', program, attempt]
    const { stdout, stderr } = await run(process.execPath, args, { timeout: 300_000 })
    t.equal(stdout, `${seen}; still works\n`, stderr)
  })
}

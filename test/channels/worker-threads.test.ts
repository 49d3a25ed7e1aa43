/**
 * Each thread has a channel of its own: they send and receive at the same time, and one that is
 * terminated, or exits, in the midst of its traffic disturbs neither the others nor the process. It
 * leaves no descriptor behind, and its port is free. Tried in a process of its own, since a mistake
 * here ends the process.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { inOneFile } from '../support/one-file.js'
import { identified } from '../support/secured-datagrams.js'

const program = await inOneFile(t, new URL('worker-threads-program.ts', import.meta.url))
const env = { ...process.env, WORKER_SECURITY: JSON.stringify(await identified()) }

t.test('threads that end in the midst of their traffic', async t => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], {
    env,
    timeout: 100_000,
  })
  t.equal(stderr, '')
  t.same(stdout.trim().split('\n'), [
    'all threads have heard of each other',
    '12 threads have ended, and the others went on',
    'no descriptor is left, and their ports are free',
  ])
})

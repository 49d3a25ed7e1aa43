/**
 * A thread, or the process, may end at any moment: whatever its channel is doing then, nothing else
 * dies of it, and nothing stays open. Tried in processes of their own.
 */
import t from 'tap'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'

if (process.platform !== 'linux') {
  t.plan(0, 'it is for Linux')
  process.exit()
}

t.test('worker threads that are terminated, or exit, in every state', async t => {
  const program = await inOneFile(t, new URL('ends-program.ts', import.meta.url))
  const running = launch(t, process.execPath, [program])
  t.same(await running.ended(100_000), { code: 0, signal: null }, running.output)
  t.match(running.output, /no descriptor is left\nended beginning and ending\n$/)
})

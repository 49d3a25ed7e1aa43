/** What a program starts is secured as it is, whatever environment it gives. */
import { cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { built } from '../examples/built.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { fixture, policyFile, registered, registerFile } from './registered.js'

t.before(built)

/** Each starts a Node, and some of them one after the other. */
const PATIENCE_MS = 60_000

const processes = [
  ...['spawnSync', 'execFileSync', 'execSync', 'spawn', 'spawn without options', 'execFile'],
  ...['exec', 'fork', 'fork elsewhere', 'spawn afterwards'],
]
const threads = [
  ...['Worker', 'Worker without options', 'Worker with an environment', 'Worker with ours'],
  'Worker afterwards',
]

t.test('every child and every thread is secured, by the same policy', async t => {
  const policy = await policyFile(t)
  const all = registered(t, ['starts.cjs'], { policy })
  await all.ended(PATIENCE_MS)
  for (const way of [...processes, ...threads]) t.match(all.output, `${way}: secured ${policy}\n`)
})

t.test('also where the option names the package, which is not found from everywhere', async t => {
  const policy = await policyFile(t)
  const some = ['fork elsewhere', 'exec', 'Worker']
  for (const flags of [
    ['--import', 'secure-socket/register'],
    ['--import=secure-socket/register'],
  ]) {
    const program = registered(t, ['starts.cjs', ...some], { policy, flags })
    await program.ended(PATIENCE_MS)
    for (const way of some) t.match(program.output, `${way}: secured ${policy}\n`, flags.join(' '))
  }
})

t.test('also where it is installed in a folder whose name has spaces', async t => {
  const policy = await policyFile(t)
  const name = process.platform === 'win32' ? 'a folder with spaces' : 'a "folder" with spaces'
  const folder = join(dirname(policy), name)
  cpSync(dirname(registerFile), folder, { recursive: true })
  const flags = ['--require', join(folder, 'register.cjs')]
  const some = ['fork', 'execSync', 'Worker with an environment']
  const program = registered(t, ['starts.cjs', ...some], { policy, flags })
  await program.ended(PATIENCE_MS)
  for (const way of some) t.match(program.output, `${way}: secured ${policy}\n`)
})

t.test('a program that imports it itself has secured threads and children, too', async t => {
  const policy = await policyFile(t)
  const own = JSON.stringify(registerFile)
  const script = `require(${own}); require(${JSON.stringify(fixture('starts.cjs'))})`
  const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
  const program = launch(t, process.execPath, ['-e', script, 'fork', ...threads], {
    cwd: root,
    env,
  })
  await program.ended(PATIENCE_MS)
  for (const way of ['fork', ...threads]) t.match(program.output, `${way}: secured ${policy}\n`)
})

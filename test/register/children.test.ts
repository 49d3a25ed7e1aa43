/** What a program starts is secured as it is, whatever environment it gives. */
import { cpSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { built, root } from '../examples/built.js'
import { launch } from '../support/program.js'
import { fixture, policyFile, registered, registerFile } from './registered.js'

t.before(built)

const ways = [
  ...['spawnSync', 'execFileSync', 'execSync', 'spawn', 'spawn without options', 'execFile'],
  ...['exec', 'fork', 'fork elsewhere', 'spawn afterwards'],
  ...['Worker', 'Worker without options', 'Worker with an environment', 'Worker with ours'],
  ...['Worker afterwards'],
]

t.test('every child and every thread is secured, by the same policy', async t => {
  for (const flags of [
    ['--require', registerFile],
    // Children with another working directory do not find that name.
    ['--import', 'secure-socket/register'],
    ['--import=secure-socket/register'],
  ]) {
    const policy = await policyFile(t)
    const program = registered(t, ['starts.cjs'], { policy, flags })
    await program.ended(100_000)
    for (const way of ways) t.match(program.output, `${way}: secured ${policy}\n`, flags.join(' '))
  }
})

t.test('also where it is installed in a folder whose name has spaces', async t => {
  const policy = await policyFile(t)
  const name = process.platform === 'win32' ? 'a folder with spaces' : 'a "folder" with spaces'
  const folder = join(dirname(policy), name)
  cpSync(dirname(registerFile), folder, { recursive: true })
  const flags = ['--require', join(folder, 'register.cjs')]
  const program = registered(t, ['starts.cjs'], { policy, flags })
  await program.ended(100_000)
  for (const way of ways) t.match(program.output, `${way}: secured ${policy}\n`)
})

t.test('a program that imports it itself has secured threads and children, too', async t => {
  const policy = await policyFile(t)
  const own = JSON.stringify(registerFile)
  const script = `require(${own}); require(${JSON.stringify(fixture('starts.cjs'))})`
  const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
  const program = launch(t, process.execPath, ['-e', script], { cwd: root, env })
  await program.ended(100_000)
  for (const way of ways) t.match(program.output, `${way}: secured ${policy}\n`)
})

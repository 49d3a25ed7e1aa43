/**
 * Threads whose code is given as a text. Node does not wait for what `--import` names before it runs such
 * a code, so that what they inherit is not enough.
 */
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { built } from '../examples/built.js'
import { run } from '../support/program.js'
import { root } from '../support/project-root.js'
import { policyFile, registerFile } from './registered.js'

t.before(built)

const code = `
  const socket = require('node:net').connect(1, '127.0.0.1')
  socket.on('error', () => {})
  console.log('querySecurity' in socket ? 'secured' : 'clear')
  socket.destroy()`

for (const [what, options] of [
  ['nothing of their own', '{ eval: true }'],
  ['the environment of their parent', '{ eval: true, env: SHARE_ENV }'],
  ['neither options nor environment', '{ eval: true, env: {}, execArgv: [] }'],
] as const)
  t.test(`threads of a code, with ${what}, are secured`, async t => {
    const script = `const { SHARE_ENV, Worker } = require('node:worker_threads')
      new Worker(${JSON.stringify(code)}, ${options})`
    const env = { SECURE_SOCKET_POLICY: await policyFile(t), NODE_OPTIONS: undefined }
    for (const flags of [
      ['--import', 'secure-socket/register'],
      ['--import', pathToFileURL(registerFile).href],
      ['--require', registerFile],
    ]) {
      const output = await run(process.execPath, [...flags, '-e', script], { cwd: root, env })
      t.equal(output, 'secured\n', flags.join(' '))
    }
  })

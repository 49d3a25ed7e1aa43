/** A program that knows nothing of its policy takes another one by the few lines that docs/register.md has. */
import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { blocks, read, section } from '../docs/markdown.js'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { policyFile, registered, registerFile } from './registered.js'

t.before(built)

const tree = fileURLToPath(new URL('../..', import.meta.url))
const skip = process.platform === 'win32' && 'nobody can send SIGHUP there'

t.test(
  'a broken policy changes nothing, and another one counts from then on',
  { skip },
  async t => {
    const [code = ''] = blocks(section(read('docs/register.md'), 'When the policy changes'), 'js')
    const policy = await policyFile(t)
    const preload = join(t.testdirName, 'reload.cjs')
    writeFileSync(preload, `${code}\nconsole.log(\`process \${process.pid}\`)`)
    const flags = ['--require', registerFile, '--require', preload]
    const program = registered(t, ['listen.cjs', '127.0.0.1:0'], { policy, flags })
    const pid = Number((await program.said(/process (\d+)/))[1])
    const port = Number((await program.said(/listens at (\d+)/))[1])
    t.equal(preload.startsWith(tree), true, 'where the name of the package leads to what is built')

    const speaksClear = async () => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {}).write('clear text')
      const heard: Buffer[] = []
      socket.on('data', chunk => heard.push(chunk) && socket.destroy())
      await event(socket, 'close')
      return String(Buffer.concat(heard)) === 'clear text'
    }
    t.equal(await speaksClear(), false)

    writeFileSync(policy, '{ "clear": [{ "loopback": true }], "identty": {} }')
    process.kill(pid, 'SIGHUP')
    await program.said(/identty/)
    t.equal(await speaksClear(), false)

    writeFileSync(policy, '{ "clear": [{ "loopback": true }] }')
    process.kill(pid, 'SIGHUP')
    // Signals come when they come.
    const deadline = Date.now() + 10_000
    while (!(await speaksClear()))
      if (Date.now() > deadline) throw new Error('it counts for nothing')
    t.pass('in clear')
  },
)

/** A key log is its owner's alone, and one that cannot be written disturbs nothing but itself. */
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { appendToKeylog } from '../../src/providers/keylog-file.js'
import { event } from '../support/events.js'

const windows = process.platform === 'win32'
const line = (text: string) => Buffer.from(`${text}\n`)

t.test('lines are appended, and nobody else may read them', async t => {
  const file = join(t.testdir(), 'keys.log')
  appendToKeylog(file, line('one'))
  appendToKeylog(file, line('two'))
  t.equal(readFileSync(file, 'utf8'), 'one\ntwo\n')
  if (!windows) t.equal(statSync(file).mode & 0o777, 0o600)
})

t.test('a file that others may read is not written to', { skip: windows }, async t => {
  const file = join(t.testdir({ 'keys.log': 'before\n' }), 'keys.log')
  chmodSync(file, 0o644)
  t.match(await warning(file), /keys\.log" is not written: .*chmod 600/)
  t.equal(readFileSync(file, 'utf8'), 'before\n')
  chmodSync(file, 0o600)
  appendToKeylog(file, line('after'))
  t.equal(readFileSync(file, 'utf8'), 'before\nafter\n', 'once that is mended, it is')
})

t.test('a link is not followed', { skip: windows }, async t => {
  const folder = t.testdir({ theirs: '' })
  chmodSync(join(folder, 'theirs'), 0o600)
  symlinkSync(join(folder, 'theirs'), join(folder, 'keys.log'))
  t.match(await warning(join(folder, 'keys.log')), /is not written: .*ELOOP/)
  t.equal(readFileSync(join(folder, 'theirs'), 'utf8'), '')
})

t.test(
  'a folder is no key log; the process is warned once for each failure, not for each line',
  async t => {
    const file = join(t.testdir({ keys: {} }), 'keys')
    const warnings: string[] = []
    const onWarning = ({ message }: Error) => warnings.push(message)
    process.on('warning', onWarning)
    t.teardown(() => process.off('warning', onWarning))
    for (let count = 0; count < 3; count += 1) appendToKeylog(file, line('x'))
    await new Promise(setImmediate)
    t.equal(warnings.length, 1)
    rmSync(file, { recursive: true })
    appendToKeylog(file, line('x'))
    rmSync(file)
    mkdirSync(file)
    appendToKeylog(file, line('x'))
    await new Promise(setImmediate)
    t.equal(warnings.length, 2, 'and again where it has worked meanwhile')
  },
)

t.test('a file that has another name is not written to', { skip: windows }, async t => {
  const folder = t.testdir({ theirs: '' })
  chmodSync(join(folder, 'theirs'), 0o600)
  linkSync(join(folder, 'theirs'), join(folder, 'keys.log'))
  t.match(await warning(join(folder, 'keys.log')), /is not written: it has other names/)
  t.equal(readFileSync(join(folder, 'theirs'), 'utf8'), '')
})

t.test('a pipe that nobody reads is not waited for', { skip: windows }, async t => {
  const { execFileSync } = await import('node:child_process')
  const file = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', ['-m', '600', file])
  t.match(await warning(file), /is not written/)
})

/** What the process is warned of when a line is to go there. */
async function warning(file: string): Promise<string> {
  const warned = event(process as never, 'warning') as Promise<[Error]>
  appendToKeylog(file, line('secret'))
  const [{ message }] = await warned
  if (message.includes('secret')) throw new Error('the warning tells the secret')
  return message
}

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { typed } from '../support/command-line.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { cliProgram, start } from './cli-program.js'

const identity = await testIdentity()
const stranger = await strangerIdentity()
const program = await cliProgram(t)

/** A folder with a policy, and an identity for it. */
function folderWith(t: import('tap').Test, policy: object | string, key = identity.key): string {
  const text = typeof policy === 'string' ? policy : JSON.stringify(policy)
  const folder = t.testdir({ 'policy.json': text, cert: identity.cert, ca: identity.ca })
  writeFileSync(join(folder, 'key'), key, { mode: 0o600 })
  return folder
}

const usual = { identity: { cert: 'cert', key: 'key', ca: ['ca'] } }

t.test('a policy that can be used', async t => {
  const file = join(folderWith(t, usual), 'policy.json')
  t.same(await typed('policy', 'check', file), {
    code: 0,
    stdout: `${file} is valid\n`,
    stderr: '',
  })
  const machine = await typed('policy', 'check', '--json', file)
  t.match(JSON.parse(machine.stdout), { file, valid: true, problems: [] })
})

t.test('every problem is told, where it stands', async t => {
  const file = join(
    folderWith(t, { protocol: 'tsl', streams: { handshakeTimeout: -1 } }),
    'policy.json',
  )
  const { code, stdout, stderr } = await typed('policy', 'check', file)
  t.equal(code, 1)
  t.equal(stderr, '')
  t.match(stdout, `${file} cannot be used:\n`)
  t.match(stdout, /^ {2}\$\.protocol /m)
  t.match(stdout, /^ {2}\$\.streams\.handshakeTimeout /m)
  const machine = JSON.parse((await typed('policy', 'check', '--json', file)).stdout)
  t.equal(machine.valid, false)
  t.same(machine.problems.map(({ path }: { path: string }) => path).sort(), [
    '$.protocol',
    '$.streams.handshakeTimeout',
  ])
})

t.test('the files that it names count, too', async t => {
  for (const [what, prepare] of [
    ['does not exist', () => folderWith(t, { identity: { ca: ['nowhere'] } })],
    [
      'others may read',
      () => {
        const folder = folderWith(t, usual)
        chmodSync(join(folder, 'key'), 0o644)
        return folder
      },
    ],
    ['$.identity', () => folderWith(t, usual, stranger.key)],
    ['does not exist', () => join(folderWith(t, usual), 'nowhere')],
    ['$', () => folderWith(t, '{')],
  ] as const) {
    if (what.startsWith('others') && process.platform === 'win32') continue
    const { code, stdout } = await typed('policy', 'check', join(prepare(), 'policy.json'))
    t.equal(code, 1, what)
    t.match(stdout, what)
    t.notMatch(stdout, 'PRIVATE KEY')
  }
})

t.test('without a FILE the policy in force is checked, and the doctor looks at it', async t => {
  const good = join(folderWith(t, usual), 'policy.json')
  const bad = join(t.testdirName, 'bad.json')
  writeFileSync(bad, '{"protocol": "tsl"}')
  const said = async (policy: string | undefined, ...args: string[]) => {
    const env = policy === undefined ? {} : { SECURE_SOCKET_POLICY: policy }
    const running = start(t, [program, ...args, '--json'], env)
    const { code } = await running.ended()
    return { code, told: JSON.parse(String(running.stdout) || '{}'), stderr: running.stderr }
  }
  t.match(await said(good, 'policy', 'check'), { code: 0, told: { file: good, valid: true } })
  t.match(await said(bad, 'policy', 'check'), { code: 1, told: { file: bad, valid: false } })
  t.match(await said('relative.json', 'policy', 'check'), {
    code: 1,
    told: {
      file: 'relative.json',
      valid: false,
      problems: [{ path: '$', message: 'give an absolute path' }],
    },
  })
  const none = await said(undefined, 'policy', 'check')
  t.match(none, { code: 0, told: { file: null, valid: true } })

  const findings = (told: { findings: { name: string }[] }) =>
    told.findings.find(({ name }) => name === 'policy')
  const healthy = await said(good, 'doctor')
  t.equal(healthy.code, 0)
  t.match(findings(healthy.told), { status: 'works', summary: good })
  const ill = await said(bad, 'doctor')
  t.equal(ill.code, 1, 'no socket can be secured by it')
  t.match(findings(ill.told), { status: 'fails', remedies: [/^\$\.protocol /] })
})

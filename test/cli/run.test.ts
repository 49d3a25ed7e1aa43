import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { event } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { cliProgram, type Running, start } from './cli-program.js'
import { begin, trusting } from './netcat/session.js'

const skip = process.platform === 'win32' && 'there is no sh'
const identity = await testIdentity()

const program = await cliProgram(t)

function run(t: Test, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  return start(t, [program, 'run', ...args], env)
}

const sh = (script: string) => ['--', 'sh', '-c', script]

t.test('stdin, stdout, stderr and the exit code are the program’s', { skip }, async t => {
  const running = run(t, sh('cat; echo to stderr >&2; exit 7'))
  running.child.stdin?.end('from stdin\n')
  t.same(await running.ended(), { code: 7, signal: null })
  t.equal(String(running.stdout), 'from stdin\n')
  t.equal(running.stderr, 'to stderr\n')
})

t.test('signals are passed on, and the program decides what becomes of it', { skip }, async t => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const) {
    const name = signal.slice(3)
    const script = `trap 'echo got ${name} >&2; exit 3' ${name}; echo ready >&2; while :; do read x; done`
    const running = run(t, sh(script))
    await running.said(/ready/)
    running.child.kill(signal)
    t.same(await running.ended(), { code: 3, signal: null }, signal)
    t.match(running.stderr, `got ${name}`)
  }
})

t.test('what a signal has ended is seen to be ended by a signal', { skip }, async t => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const)
    t.same(await run(t, sh(`kill -${signal.slice(3)} $$`)).ended(), { code: null, signal })
  t.same(await run(t, sh('kill -USR1 $$')).ended(), { code: 138, signal: null }, '128 + 10')
})

t.test('what cannot be run is told apart from what the program says', { skip }, async t => {
  const absent = run(t, ['--', 'no-such-program'])
  t.same(await absent.ended(), { code: 127, signal: null })
  t.equal(absent.stderr, 'secure-socket: no-such-program was not found\n')
  const plain = join(t.testdir({ plain: 'x' }), 'plain')
  const unexecutable = run(t, ['--', plain])
  t.same(await unexecutable.ended(), { code: 126, signal: null })
  t.match(unexecutable.stderr, `${plain} could not be executed`)
})

t.test(
  'NODE_OPTIONS keeps what it had, and names register by an absolute path',
  { skip },
  async t => {
    const print = 'process.stdout.write(process.env.NODE_OPTIONS)'
    const args = ['env', `NODE_OPTIONS=--no-deprecation`, process.execPath, program]
    const running = start(t, ['-e', spawnSync(args), 'x'])
    await running.ended()
    t.equal(
      String(running.stdout),
      `--no-deprecation --require ${join(dirname(program), 'register.cjs')}`,
    )

    function spawnSync([file, ...rest]: string[]): string {
      const command = [...rest, 'run', '--', process.execPath, '-e', print]
      return `require('child_process').spawnSync(${JSON.stringify(file)}, ${JSON.stringify(command)}, { stdio: 'inherit' })`
    }
  },
)

t.test(
  'a policy that is not valid: nothing is run, and every problem is told',
  { skip },
  async t => {
    const policy = join(t.testdir({ 'policy.json': '{"protocl": 1, "clear": 2}' }), 'policy.json')
    for (const [args, env] of [
      [['--policy', policy], {}],
      [[], { SECURE_SOCKET_POLICY: policy }],
    ] as const) {
      const running = run(t, [...args, ...sh('echo it runs')], env)
      t.same(await running.ended(), { code: 125, signal: null })
      t.equal(running.stdout.length, 0)
      t.match(running.stderr, `the policy ${policy} cannot be used:\n`)
      t.match(running.stderr, '$.protocl ')
      t.match(running.stderr, '$.clear ')
    }
  },
)

t.test('a server that knows nothing of it is secured, behind a shell', { skip }, async t => {
  const folder = t.testdir({
    'server.cjs': `
      const server = require('node:net').createServer(socket => socket.end('hello'))
      server.listen(0, '127.0.0.1', () => console.error('port', server.address().port))`,
    'policy.json': JSON.stringify({ identity: { cert: 'cert', key: 'key' } }),
  })
  for (const kind of ['cert', 'key'] as const)
    writeFileSync(join(folder, kind), identity[kind], { mode: 0o600 })
  const script = `exec "${process.execPath}" "${join(folder, 'server.cjs')}"`
  const running = run(t, ['--policy', join(folder, 'policy.json'), ...sh(script)])
  const [, port = ''] = await running.said(/port (\d+)/)

  const connected = begin(['connect', ...trusting(t, identity), '127.0.0.1', port], '')
  t.equal(await connected.code, 0)
  t.equal(String(connected.stdout), 'hello')
  t.match(await connected.told('secured'), { identity: { pin: identity.pin } })

  const clear = net.connect(Number(port), '127.0.0.1')
  const heard: Buffer[] = []
  clear.on('data', data => heard.push(data)).on('error', () => {})
  clear.write('GET / HTTP/1.0\r\n\r\n')
  await event(clear, 'close')
  t.notMatch(String(Buffer.concat(heard)), 'hello', 'nobody gets it in clear')

  running.child.kill('SIGTERM')
  t.same(await running.ended(), { code: null, signal: 'SIGTERM' })
})

/** What only a process of its own shows: it is ended by signals, and the reader of its output goes away. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { strangerIdentity, testIdentity } from '../../support/identities.js'
import { until } from '../../support/until.js'
import { cliProgram, type Running, start } from '../cli-program.js'
import { begin, options, trusting } from './session.js'

const server = await testIdentity()
const program = await cliProgram(t)

async function listening(t: Test, ...args: string[]): Promise<Running & { port: string }> {
  const common = ['listen', '--host', '127.0.0.1', '--json']
  const running = start(t, [program, ...common, ...args, '0'])
  const [, port = ''] = await running.said(/"listening".*"port":(\d+)/)
  return Object.assign(running, { port })
}

t.test('one connection after the other, and files that are replaced meanwhile', async t => {
  const identity = options(t, 'server', server).slice(0, 4)
  const listener = await listening(t, ...identity, '--keep')
  const dial = (text: string, trusted = server) =>
    begin(['connect', ...trusting(t, trusted), '127.0.0.1', listener.port], text)
  const wrote = (text: string) =>
    until(`it writes ${text}`, () => listener.stdout.includes(text), 30_000)

  const first = dial('first ')
  await wrote('first').catch(error => {
    throw new Error(`${error.message}: ${listener.stderr} ${JSON.stringify(first.events)}`)
  })
  // It ends when both have ended; until then the second waits.
  const second = dial('second ')
  await second.told('secured')
  t.equal(String(listener.stdout), 'first ')
  listener.child.stdin?.end('for the first')
  t.equal(await first.code, 0)
  t.equal(String(first.stdout), 'for the first')
  t.equal(await second.code, 0)
  await wrote('second')

  const renewed = await strangerIdentity()
  for (const [at, kind] of [
    [1, 'cert'],
    [3, 'key'],
  ] as const) {
    const path = identity[at] as string
    writeFileSync(`${path}.new`, renewed[kind], { mode: 0o600 })
    renameSync(`${path}.new`, path)
  }
  // Files are looked at once a second, at most, and have to be quiet for a second.
  let third = dial('third', renewed)
  for (const end = Date.now() + 30_000; (await third.code) !== 0 && Date.now() < end; ) {
    await setTimeout(100)
    third = dial('third', renewed)
  }
  t.equal(await third.code, 0, 'without a restart')
  await wrote('third')

  listener.child.kill('SIGTERM')
  t.same(await listener.ended(), { code: null, signal: 'SIGTERM' })
})

t.test('the reader of the output goes away: it ends, without a stack trace', async t => {
  const listener = await listening(t, ...options(t, 'server', server).slice(0, 4))
  const args = [program, 'connect', ...trusting(t, server), '127.0.0.1', listener.port]
  const connected = start(t, args)
  await listener.said(/"secured"/)
  connected.child.stdout?.destroy()
  listener.child.stdin?.write(Buffer.alloc(1024 * 1024))
  t.equal((await connected.ended()).code, 1)
  t.equal(connected.stderr, 'secure-socket: stdout: write EPIPE\n')
})

t.test('ended by a signal, it tells its peers of datagrams', async t => {
  const identity = options(t, 'server', server)
  const listener = await listening(t, '--udp', '--keep', ...identity)
  const args = ['connect', '--udp', ...identity, '127.0.0.1', listener.port]
  const connected = begin(args)
  connected.stdin.write('hello')
  await until('it writes hello', () => listener.stdout.includes('hello'))
  listener.child.kill('SIGTERM')
  t.same(await listener.ended(), { code: null, signal: 'SIGTERM' })
  t.match(await connected.told('note'), { text: 'the peer has ended' })
  connected.stdin.end()
  t.equal(await connected.code, 0)
})

t.test('what is not given comes from the policy, which says what may be given', async t => {
  const [cert, key, ca] = options(t, 'server', server).filter(each => !each.startsWith('--'))
  const policy = join(t.testdirName, 'policy.json')
  writeFileSync(policy, JSON.stringify({ identity: { cert, key, ca: [ca] } }))
  const env = { SECURE_SOCKET_POLICY: policy }
  const common = [program, 'listen', '--host', '127.0.0.1', '--json', '0']
  for (const protocol of [[], ['--udp']]) {
    const listener = start(t, [...common, ...protocol], env)
    const [, port = ''] = await listener.said(/"listening".*"port":(\d+)/)
    const args = [program, 'connect', ...protocol, '--json', '--idle', '5', '127.0.0.1', port]
    const connected = start(t, args, env)
    connected.child.stdin?.write('hello')
    await until('it writes hello', () => listener.stdout.includes('hello'), 20_000)
    listener.child.stdin?.end()
    connected.child.stdin?.end()
    t.same(await connected.ended(), { code: 0, signal: null }, connected.stderr)
    t.equal((await listener.ended()).code, 0, listener.stderr)
  }
  const other = trusting(t, await strangerIdentity())
  const forbidden = start(t, [program, 'connect', ...other, '127.0.0.1', '1'], env)
  t.equal((await forbidden.ended()).code, 1)
  t.match(forbidden.stderr, `${policy}`)
})

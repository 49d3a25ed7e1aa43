/**
 * The package as it is published, installed for Windows (scripts/winsock-package.mjs), and used there
 * as a stranger would: nothing of it is built for the test.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Call } from '../support/winsock-double.js'

const run = promisify(execFile)
const cwd = process.env.WINSOCK_PACKAGE ?? ''
const skip = cwd ? false : 'needs the packed package under Wine: npm run test:winsock'
const node = async (script: string, env: NodeJS.ProcessEnv = {}) => {
  const options = { cwd, env: { ...process.env, ...env }, timeout: 20_000 }
  return (await run(process.execPath, [script], options)).stdout
}

t.test('a secured connection, by require and by import', { skip }, async t => {
  t.equal(await node('ipsec-stream.cjs'), 'hello over ipsec, encrypted: true\n')
  t.equal(await node('ipsec-stream.mjs'), 'hello over ipsec, encrypted: true\n')
})

t.test('a secured datagram, by require and by import', { skip }, async t => {
  t.equal(await node('ipsec-datagram.cjs'), 'hello over ipsec, encrypted: true\n')
  t.equal(await node('ipsec-datagram.mjs'), 'hello over ipsec, encrypted: true\n')
})

t.test(
  'security comes before bind, the name before connect, the query after',
  { skip },
  async t => {
    const log = join(t.testdir(), 'calls.jsonl')
    await node('ipsec-stream.cjs', { WINSOCK_DOUBLE_LOG: log })
    const lines = (await readFile(log, 'utf8')).trim().split('\n')
    const calls = lines.map(line => JSON.parse(line) as Call).filter(call => call.phase === 'call')
    const of = (name: string) => calls.filter(call => call.function === name)
    t.match(
      of('WSASetSocketSecurity').map(({ bound, connected, error }) => ({
        bound,
        connected,
        error,
      })),
      Array(2).fill({ bound: false, connected: false, error: 0 }),
      'of the listener and of the client',
    )
    t.match(of('WSASetSocketPeerTargetName'), [{ connected: false, secured: true, error: 0 }])
    t.ok(of('WSAQuerySocketSecurity').length >= 2)
    const failed = calls.filter(call => call.error)
    t.same(failed, [], 'no call has failed')
  },
)

t.test('the default providers work too', { skip }, async t => {
  t.equal(await node('exchange.cjs'), 'hello over TLSv1.3\n')
  t.equal(await node('datagram.mjs'), 'hello over DTLSv1.2\n')
})

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

t.test('what the system is told, and when', { skip }, async t => {
  const log = join(t.testdir(), 'calls.jsonl')
  await node('ipsec-stream.cjs', { WINSOCK_DOUBLE_LOG: log, WINSOCK_DOUBLE_WATCH: 'true' })
  const lines = (await readFile(log, 'utf8')).trim().split('\n')
  const calls = lines.map(line => JSON.parse(line) as Call)
  const failed = calls.filter(call => call.error)
  t.same(failed, [], 'no call has failed')

  const connect = calls.findIndex(call => call.function === 'ConnectEx')
  const of = (socket?: number) =>
    calls.filter(call => call.socket === socket).map(call => call.function)
  t.match(
    of(calls[connect]?.socket),
    [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'bind',
      'ConnectEx',
      'WSAQuerySocketSecurity',
    ],
    'the client: secured and named before it is bound, and asked before all else',
  )
  const listener = calls.find(call => call.function === 'listen')?.socket
  t.match(of(listener), ['WSASetSocketSecurity', 'bind', 'listen'], 'the listener')
  const sent = calls.slice(connect).find(call => call.function === 'WSASend')
  t.equal(of(sent?.socket)[0], 'WSAQuerySocketSecurity', 'what it accepts is asked before it sends')
})

t.test('the default providers work too', { skip }, async t => {
  t.equal(await node('exchange.cjs'), 'hello over TLSv1.3\n')
  t.equal(await node('datagram.mjs'), 'hello over DTLSv1.2\n')
})

/**
 * A program may do anything wherever a stream calls it: end it, destroy it, reset it, throw, close its server,
 * write. The process lives, each socket closes once and has one error at the most, an error that was thrown is
 * the process's and nobody else's, and others are served.
 */
import t from 'tap'
import { testIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'
import { isAll } from '../extent.js'
import type { Case, Outcome } from './cases.js'

const actions = [
  'end',
  'destroy',
  'destroy twice',
  'reset',
  'throw',
  'destroy and throw',
  'close the server',
  'write again',
  'abort',
  'reload',
  'forbid',
]
const hooks = [
  'listening',
  'listen callback',
  'connection',
  'psk',
  'ticketKeys',
  'keylog',
  'look-up',
  'lookup',
  'connect',
  'ready',
  'connect callback',
  'promise',
  'data',
  'loop',
  'onread',
  'write callback',
  'drain',
  'end',
  'finish',
  'end callback',
  'timeout',
  'error',
  'close',
  'server close',
  'server close callback',
  'impersonate',
  'impersonate later',
  'channel secured',
  'channel failed',
  'channel closed',
  'channel insecure',
  'abort listener',
  'connectionAttempt',
  'onread buffer',
  'tlsClientError',
  'insecure',
]
/** What only one of the two ends has. */
const only: Record<string, readonly string[]> = {
  client: [
    'look-up',
    'lookup',
    'connect',
    'ready',
    'connect callback',
    'promise',
    'onread',
    'abort listener',
    'connectionAttempt',
    'onread buffer',
  ],
  server: [
    ...['listening', 'listen callback', 'connection', 'psk', 'ticketKeys'],
    ...['server close', 'server close callback', 'tlsClientError', 'insecure', 'channel insecure'],
  ],
}

const every = ['client', 'server']
  .flatMap(role => hooks.flatMap(hook => actions.map(action => ({ role, hook, action }))))
  .filter(({ role, hook }) => !only[role === 'client' ? 'server' : 'client']?.includes(hook))
/** A quarter of them: each hook, and each action. */
const some = every.filter((_, index) => (index + Math.floor(index / actions.length)) % 4 === 0)

t.test('whatever is done inside of a callback', { timeout: 1_800_000 }, async t => {
  const { cert, key, ca } = await testIdentity()
  const cases: Case[] = isAll ? every : some
  const work = { cases, identity: { cert, key, ca } }
  const path = await inOneFile(t, new URL('stream-program.ts', import.meta.url))
  const args = ['--expose-gc', '--no-warnings', path, JSON.stringify(work)]
  const program = launch(t, process.execPath, args)
  const [, line] = await program.said(/^(\{.*\})$/m, 110_000)
  t.same(await program.ended(), { code: 0, signal: null }, 'the process ends by itself')
  const { outcomes } = JSON.parse(line as string)
  for (const { role, hook, action, faults } of outcomes as Outcome[])
    t.same(faults, [], `${role}, ${hook}: ${action}`)
  t.equal(outcomes.length, cases.length)
})

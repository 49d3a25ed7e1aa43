/**
 * A program may do anything wherever a socket calls it: close it, or both ends, throw, forget the peer, send.
 * The process lives, each socket closes once, an error that was thrown is the process's and nobody else's,
 * other peers are served, and OpenSSL has nothing left of any of them.
 */
import t from 'tap'
import { testIdentity } from '../../support/identities.js'
import { inOneFile } from '../../support/one-file.js'
import { launch } from '../../support/program.js'
import { isAll } from '../extent.js'
import type { Outcome } from './cases.js'

const actions = [
  'close',
  'close twice',
  'destroy',
  'close both',
  'throw',
  'close and throw',
  'forget',
  'send again',
]
const hooks = [
  'listening',
  'bind callback',
  'look-up',
  'psk',
  'ticketKeys',
  'keylog',
  'secure',
  'promise',
  'message',
  'send callback',
  'peerClose',
  'peerError',
  'connect',
  'connect callback',
  'close',
  'close callback',
]

const every = ['client', 'server'].flatMap(role =>
  hooks.flatMap(hook => actions.map(action => ({ role, hook, action }))),
)
/** Every action in every hook, in one of the two roles. */
const some = every.filter(({ role }, index) => (index % 2 === 0) === (role === 'client'))

t.test('whatever is done inside of a callback', { timeout: 1_800_000 }, async t => {
  const { cert, key, ca } = await testIdentity()
  const work = { cases: isAll ? every : some, identity: { cert, key, ca } }
  const path = await inOneFile(t, new URL('datagram-program.ts', import.meta.url))
  const args = ['--expose-gc', '--no-warnings', path, JSON.stringify(work)]
  const program = launch(t, process.execPath, args)
  const [, line] = await program.said(/^(\{.*\})$/m, 110_000)
  t.same(await program.ended(), { code: 0, signal: null }, 'the process ends by itself')
  const { outcomes, alive, faults } = JSON.parse(line as string)
  for (const { role, hook, action, faults } of outcomes as Outcome[])
    t.same(faults, [], `${role}, ${hook}: ${action}`)
  t.equal(outcomes.length, work.cases.length)
  t.same(alive, { SSL: 0, SSL_SESSION: 0 }, 'OpenSSL has nothing left')
  t.same(faults, [], 'nothing was freed twice')
})

/**
 * A program may do anything wherever a socket calls it: close it, or both ends, throw, forget the peer, send.
 * The process lives, each socket closes once, an error that was thrown is the process's and nobody else's,
 * other peers are served, and OpenSSL has nothing left of any of them.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
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
  'abort',
  'reload',
  'forbid',
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
  'loop',
  'send callback',
  'peerClose',
  'peerError',
  'connect',
  'connect callback',
  'close',
  'close callback',
  'impersonate',
  'impersonate later',
  'channel secured',
  'channel failed',
  'channel closed',
  'channel dropped',
  'abort listener',
  'error',
  'bind error',
]

const every = ['client', 'server'].flatMap(role =>
  hooks.flatMap(hook => actions.map(action => ({ role, hook, action }))),
)
/** Every action in every hook, in one of the two roles. */
const some = every.filter(({ role }, index) => (index % 2 === 0) === (role === 'client'))

t.test('an abort ends the waiting of close(), and throws nothing', async t => {
  const { cert, key, ca } = await testIdentity()
  const silent = createSocket('udp4').bind(0, '127.0.0.1')
  t.teardown(() => silent.close())
  await once(silent, 'listening')
  const { signal, abort } = abortable()
  const socket = new SecureDgramSocket({ type: 'udp4', signal, security: { cert, key, ca } })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const sent = new Promise(resolve => socket.send('x', silent.address().port, '127.0.0.1', resolve))
  socket.close()
  const closed = once(socket, 'close')
  abort()
  t.match(await sent, { code: 'ECANCELED' })
  await closed
})

function abortable() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

t.test('whatever is done inside of a callback', { timeout: 1_800_000 }, async t => {
  const { cert, key, ca } = await testIdentity()
  const work = { cases: isAll ? every : some, identity: { cert, key, ca } }
  const path = await inOneFile(t, new URL('datagram-program.ts', import.meta.url))
  const args = ['--expose-gc', '--no-warnings', path, JSON.stringify(work)]
  const program = launch(t, process.execPath, args)
  const [, line] = await program.said(/^(\{.*\})$/m, 110_000)
  t.same(await program.ended(), { code: 0, signal: null }, 'the process ends by itself')
  const { outcomes, alive, faults, inClear } = JSON.parse(line as string)
  for (const { role, hook, action, faults } of outcomes as Outcome[])
    t.same(faults, [], `${role}, ${hook}: ${action}`)
  t.equal(outcomes.length, work.cases.length)
  t.same(alive, { SSL: 0, SSL_SESSION: 0 }, 'OpenSSL has nothing left')
  t.same(faults, [], 'nothing was freed twice')
  t.equal(inClear, 0, 'nothing has left in clear')
})

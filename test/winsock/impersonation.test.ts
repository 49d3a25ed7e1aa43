/** Acting as a peer: on this thread, for one synchronous function, and undone whatever happens in it. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { impersonatePeer } from '../../src/providers/winsock/impersonation.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'
import { runProgram } from './child.js'
import { actingBy, securedConnection, securedDatagrams } from './sockets.js'

/** Each begins with a double that knows of nothing, and ends as the process with every token closed. */
function test(name: string, run: (t: Test, double: Double) => Promise<void>): void {
  t.test(name, { skip: noDouble }, async t => {
    const double = winsockDouble()
    double.reset()
    await run(t, double)
    t.equal(actingBy(), '', 'the thread acts as its process')
    t.equal(double.openTokens(), 0, 'no token is left open')
  })
}

type Double = ReturnType<typeof winsockDouble>

const calls = (double: Double) => double.takeLog().map(call => call.function)

test('Winsock itself is asked first, and then to revert', async (t, double) => {
  const target = await securedConnection(t)
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  double.takeLog()
  const result = impersonatePeer(target, () => {
    t.not(actingBy(), '')
    return 'what it returns'
  })
  t.equal(result, 'what it returns')
  t.equal(actingBy(), '')
  const log = double.takeLog()
  t.strictSame(
    log.map(call => call.function),
    ['WSAImpersonateSocketPeer', 'WSARevertImpersonation'],
  )
  t.equal(new Set(log.map(call => call.thread)).size, 1, 'on one thread')
  t.equal(log[0]?.length, 0, 'the peer of a stream needs no address')
})

test('a datagram peer is named by its address', async (t, double) => {
  const target = await securedDatagrams(t)
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  double.takeLog()
  const address = { family: 4, address: '127.0.0.1', port: 0x1234 } as const
  impersonatePeer({ ...target, address }, () => t.not(actingBy(), ''))
  const [call] = double.takeLog()
  t.equal(call?.bytes, `02001234${'7f000001'}`.padEnd(256, '0'))
  t.equal(call?.length, 128)
})

// Documented only for sockets that block, and Node's do not.
test('what Winsock refuses is done by the token of a query', async (t, double) => {
  const target = await securedConnection(t)
  for (const error of [10045, 10022, 10014, 10107]) {
    double.behave('WSAImpersonateSocketPeer', { mode: 'fail', error })
    double.takeLog()
    t.not(
      impersonatePeer(target, () => {
        t.equal(double.openTokens(), 0, 'the token is closed already: the thread has its own')
        return actingBy()
      }),
      '',
    )
    t.equal(actingBy(), '')
    const log = double.takeLog()
    t.strictSame(
      log.map(call => call.function),
      ['WSAImpersonateSocketPeer', 'WSAQuerySocketSecurity', 'WSARevertImpersonation'],
    )
    t.equal(log[1]?.overlapped, false, 'over when it returns')
  }
})

test('the same for a datagram peer, asked by its address', async (t, double) => {
  const target = await securedDatagrams(t)
  const address = { family: 4, address: '127.0.0.1', port: 5000 } as const
  double.takeLog()
  t.not(impersonatePeer({ ...target, address }, actingBy), '')
  const query = double.takeLog().find(call => call.function === 'WSAQuerySocketSecurity')
  // SOCKET_SECURITY_QUERY_TEMPLATE: IPSEC, the address at 8, the access at 136: query, impersonate, duplicate.
  t.match(query?.bytes, /^0100000000000000020013887f000001/)
  t.equal(query?.bytes?.slice(136 * 2), '0e00000000000000')
})

test('the machine, where there is no user; nobody, where there is neither', async (t, double) => {
  const target = await securedConnection(t)
  double.answers({ userToken: false })
  t.not(impersonatePeer(target, actingBy), '')
  const ran = () => t.fail('it ran')
  double.answers({ userToken: false, machineToken: false })
  t.throws(() => impersonatePeer(target, ran), {
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    syscall: 'WSAImpersonateSocketPeer',
    peer: target.peer,
  })
  double.answers({ flags: 0 })
  t.throws(() => impersonatePeer(target, ran), { code: 'ERR_PEER_NOT_AUTHENTICATED' })
  double.behave('WSAQuerySocketSecurity', { mode: 'fail', error: 10054 })
  t.throws(() => impersonatePeer(target, ran), { code: 'ECONNRESET' })
})

// Were it believed, the function would run with all rights of the process.
test('a success that changes nothing is none', async (t, double) => {
  const [target, other] = [await securedConnection(t), await securedConnection(t)]
  double.behave('WSAImpersonateSocketPeer', { mode: 'pretend' })
  t.not(impersonatePeer(target, actingBy), '', 'a query has the token')
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  impersonatePeer(other, () => {
    const outer = actingBy()
    double.behave('WSAImpersonateSocketPeer', { mode: 'pretend' })
    double.answers({ userToken: false, machineToken: false })
    t.throws(() => impersonatePeer(target, () => t.fail('it ran')), {
      code: 'ERR_PEER_NOT_AUTHENTICATED',
    })
    t.equal(actingBy(), outer)
  })
  t.throws(() => impersonatePeer(target, () => t.fail('it ran')), {
    code: 'ERR_PEER_NOT_AUTHENTICATED',
  })
})

test('a closed socket is not asked: its number may be somebody else’s', async (t, double) => {
  const target = await securedConnection(t)
  double.takeLog()
  t.throws(() => impersonatePeer({ ...target, alive: () => false }, () => t.fail('it ran')), {
    code: 'ENOTSOCK',
  })
  t.strictSame(calls(double), [])
  // Closed without our knowing: Winsock says so, and no other way is tried.
  t.throws(() => impersonatePeer({ ...target, socket: 0x7ffffff0 }, () => t.fail('it ran')), {
    code: 'ENOTSOCK',
  })
  t.strictSame(calls(double), ['WSAImpersonateSocketPeer', 'WSARevertImpersonation'])
})

test('what the function throws is thrown, after reverting', async (t, double) => {
  const target = await securedConnection(t)
  for (const mode of ['succeed', 'default'] as const) {
    double.behave('WSAImpersonateSocketPeer', { mode })
    for (const thrown of [new Error('of the function'), 'text', undefined]) {
      try {
        impersonatePeer(target, () => {
          throw thrown
        })
        t.fail('it did not throw')
      } catch (error) {
        t.equal(error, thrown)
        t.equal(actingBy(), '')
      }
    }
  }
  const deeper = (): number => deeper() + 1
  t.throws(() => impersonatePeer(target, deeper), RangeError)
  t.equal(actingBy(), '', 'a full stack is no exception')
})

// What runs later would run as the process, or as whoever is impersonated then.
test('only what is synchronous', async (t, double) => {
  const target = await securedConnection(t)
  double.takeLog()
  for (const fn of [
    async () => t.fail('it ran'),
    function* () {
      yield t.fail('it ran')
    },
    async function* () {
      yield t.fail('it ran')
    },
    undefined,
    'fn',
  ])
    t.throws(() => impersonatePeer(target, fn as () => void), {
      code: 'EINVAL',
      syscall: 'WSAImpersonateSocketPeer',
    })
  t.strictSame(calls(double), [], 'nothing was asked of Winsock')

  // It shows only by what it returns; looking at that may run anything, so it is done as the process.
  let lookedAs: string | undefined
  const thenable = Object.defineProperty({}, 'then', {
    get() {
      lookedAs = actingBy()
      return () => t.fail('it was waited for')
    },
  })
  t.throws(() => impersonatePeer(target, () => thenable), {
    code: 'EINVAL',
    message: /returned a promise/,
  })
  t.equal(lookedAs, '')
  t.throws(() => impersonatePeer(target, () => Promise.reject(new Error('unhandled'))), {
    code: 'EINVAL',
  })
  for (const value of [null, undefined, 0, '', {}, () => {}])
    t.equal(
      impersonatePeer(target, () => value),
      value,
    )
})

test('one within another: each as itself, and the first one again', async (t, double) => {
  const [first, second] = [await securedConnection(t), await securedConnection(t)]
  for (const mode of ['succeed', 'default'] as const) {
    double.behave('WSAImpersonateSocketPeer', { mode })
    impersonatePeer(first, () => {
      const outer = actingBy()
      t.not(outer, '')
      const inner = impersonatePeer(second, actingBy)
      t.not(inner, '')
      t.not(inner, outer, 'it is another token')
      t.equal(actingBy(), outer)
      t.throws(() =>
        impersonatePeer(second, () => {
          throw new Error('inside')
        }),
      )
      t.equal(actingBy(), outer, 'also where the inner one throws')
      double.answers({ userToken: false, machineToken: false })
      t.throws(() => impersonatePeer(second, () => t.fail('it ran')), {
        code: /EACCES|ERR_PEER_NOT_AUTHENTICATED/,
      })
      t.equal(actingBy(), outer, 'and where it cannot begin: nobody’s token passes for another’s')
      double.answers({})
    })
    t.equal(actingBy(), '')
  }
})

test('a revert that Winsock refuses is done by the system', async (t, double) => {
  const target = await securedConnection(t)
  for (const mode of ['succeed', 'default'] as const) {
    double.behave('WSAImpersonateSocketPeer', { mode })
    double.behave('WSARevertImpersonation', { mode: 'fail', error: 10107, times: 1 })
    t.not(impersonatePeer(target, actingBy), '')
    t.equal(actingBy(), '')
  }
})

// It is ended without its `finally` blocks, and so are ours.
test('a function that a time limit ends is reverted before the loop goes on', async (t, double) => {
  const target = await securedConnection(t)
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  const run = () =>
    impersonatePeer(target, () => {
      for (;;);
    })
  t.throws(() => runInNewContext('run()', { run }, { timeout: 20 }), {
    code: 'ERR_SCRIPT_EXECUTION_TIMEOUT',
  })
  await new Promise(resolve => setImmediate(resolve))
  t.equal(actingBy(), '')
})

// The next line of the program would run with the rights of a stranger, and so would every handler.
test('a thread that cannot revert ends the process', async t => {
  for (const where of ['main', 'worker']) {
    const env = { WINSOCK_DOUBLE_REVERT: 'fails' }
    const { code, output } = await runProgram(t, 'unrevertable', [where], { env })
    t.equal(code, 3, where)
    t.match(
      output,
      /^inside\s+secure-socket: the impersonation of a peer cannot be reverted[^\n]*\s*$/,
    )
  }
})

test('whoever hears that the process exits does not act as the peer', async (t, double) => {
  for (const how of ['once', 'nested']) {
    const { code, output } = await runProgram(t, 'exit-inside', [how])
    t.match({ code, output }, { code: 5, output: /^the peer\s+the process\s*$/ }, how)
  }
  double.behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  const target = await securedConnection(t)
  const listeners = process.listenerCount('exit')
  impersonatePeer(target, () => impersonatePeer(target, () => {}))
  t.throws(() =>
    impersonatePeer(target, () => {
      throw new Error('x')
    }),
  )
  t.equal(process.listenerCount('exit'), listeners)
})

test('what it starts goes on as the process', async (t, double) => {
  const target = await securedConnection(t)
  const context = new AsyncLocalStorage<string>()
  const later = impersonatePeer(target, () => {
    const seen: Promise<string>[] = []
    context.run('inside', () => {
      seen.push(new Promise(resolve => queueMicrotask(() => resolve(actingBy()))))
      seen.push(new Promise(resolve => process.nextTick(() => resolve(actingBy()))))
      seen.push(new Promise(resolve => setImmediate(() => resolve(actingBy()))))
    })
    return { seen }
  })
  t.strictSame(await Promise.all(later.seen), ['', '', ''])
  t.equal(double.impersonating(), false)
})

test('what it does itself, files too, is done by the peer’s token', async (t, double) => {
  const target = await securedConnection(t)
  const file = join(t.testdir({}), 'file')
  const text = impersonatePeer(target, () => {
    t.equal(double.impersonating(), true)
    writeFileSync(file, 'as the peer')
    t.equal(double.impersonating(), true, 'still')
    return readFileSync(file, 'utf8')
  })
  t.equal(text, 'as the peer')
})

test('a hundred leave no handle behind', async (t, double) => {
  const target = await securedConnection(t)
  const run = (mode: 'succeed' | 'default') => {
    double.behave('WSAImpersonateSocketPeer', { mode })
    impersonatePeer(target, () => impersonatePeer(target, () => {}))
  }
  run('succeed')
  run('default')
  const before = double.handles()
  for (let i = 0; i < 50; i++) run(i % 2 ? 'succeed' : 'default')
  t.equal(double.handles(), before)
})

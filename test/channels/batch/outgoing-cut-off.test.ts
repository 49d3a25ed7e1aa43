/**
 * A send() that never returns: the script that called it had a timeout (vm), which runs no `finally`.
 * Other sockets of the thread must not suffer, and no descriptor is written to that was given back.
 */
import { runInThisContext } from 'node:vm'
import t from 'tap'
import { commit, destination, sending, tickOver } from './sending.js'

if (process.platform !== 'linux') {
  t.plan(0, 'only Linux sends like this')
  process.exit()
}

/** Ends `call`, which does not end by itself, wherever it is. */
function cutOff(call: () => void): unknown {
  Object.assign(globalThis, { call })
  try {
    runInThisContext('call()', { timeout: 20 })
  } catch (error) {
    return error
  } finally {
    Reflect.deleteProperty(globalThis, 'call')
  }
  return undefined
}

const timeout = { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' }

/** Two sockets that have something to send; the first one's system call does not return the first time. */
function stuck() {
  const [one, other] = [sending(), sending()]
  let isStuck = true
  one.system.answer = () => {
    while (isStuck);
    return 0
  }
  const results: [string, unknown][] = []
  const send = ({ outgoing }: typeof one, text: string, port: number) =>
    commit(outgoing, text, destination(port), error => results.push([text, error]))
  for (const port of [1, 2]) {
    send(one, `one ${port}`, port)
    send(other, `other ${port}`, port)
  }
  return {
    one,
    other,
    results,
    send,
    release: () => {
      isStuck = false
    },
  }
}

t.test('a flush that is cut off is done again, for all sockets', async t => {
  const { one, other, results, send, release } = stuck()
  t.match(
    cutOff(() => one.outgoing.flush()),
    timeout,
  )
  release()
  send(other, 'later', 3)
  await tickOver()
  t.same(
    [one, other].map(({ system }) => system.left.map(each => String(each.bytes))),
    [
      ['one 1', 'one 2'],
      ['other 1', 'other 2', 'later'],
    ],
  )
  t.same(
    results.map(([, error]) => error),
    Array(5).fill(null),
  )
  results.length = 0
  for (const each of [one, other]) send(each, 'again', 1)
  await tickOver()
  t.same(results, Array(2).fill(['again', null]))
  t.equal(one.system.left.length + other.system.left.length, 7, 'and once')
})

t.test('cut off anywhere in a busy program, it goes on', async t => {
  const [one, other] = [sending(), sending()]
  const to = Array.from({ length: 4 }, (_, index) => destination(index + 1))
  const busy = () => {
    for (let index = 0; ; index += 1)
      for (const { outgoing } of [one, other])
        commit(outgoing, 'busy', to[index % 4] as (typeof to)[number])
  }
  for (let round = 0; round < 10; round += 1) {
    t.match(cutOff(busy), timeout)
    await tickOver()
  }
  for (const { outgoing, system } of [one, other]) {
    const results: unknown[] = []
    system.left.length = system.calls.length = 0
    for (let index = 0; index < 100; index += 1)
      commit(outgoing, `${index}`, to[0] as (typeof to)[number], error => results.push(error))
    await tickOver()
    t.same(results, Array(100).fill(null))
    t.same(
      system.left.map(each => String(each.bytes)),
      Array.from({ length: 100 }, (_, index) => `${index}`),
    )
  }
})

t.test('nothing leaves through a descriptor that was given back', async t => {
  const { one, other, results, release } = stuck()
  t.match(
    cutOff(() => one.outgoing.close()),
    timeout,
  )
  release()
  const calls = one.system.calls.length
  await tickOver()
  t.equal(one.system.calls.length, calls)
  t.equal(other.system.left.length, 2)
  t.match(results, [
    ['one 1', { code: 'ECANCELED', port: 1 }],
    ['other 1', null],
    ['one 2', { code: 'ECANCELED', port: 2 }],
    ['other 2', null],
  ])
})

t.test('one that fails in a way that nobody has foreseen', async t => {
  const { one, other, results, release, send } = stuck()
  release()
  const failure = new Error('unforeseen')
  const { answer } = one.system
  one.system.answer = () => {
    throw failure
  }
  t.throws(() => one.outgoing.flush(), failure)
  t.equal(other.system.left.length, 2, 'the others have left')
  await tickOver()
  t.same(results, [
    ['one 1', failure],
    ['other 1', null],
    ['one 2', failure],
    ['other 2', null],
  ])
  one.system.answer = answer
  send(one, 'next', 1)
  one.system.answer = () => {
    throw failure
  }
  t.throws(() => one.outgoing.close(), failure)
  await tickOver()
  t.same(results.at(-1), ['next', failure])
})

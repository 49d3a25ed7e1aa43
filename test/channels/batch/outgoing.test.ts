/**
 * Sending in batches: what leaves together, in which order, and who is told what. The system is made
 * up here; outgoing-loopback.test.ts sees the same on real sockets.
 */
import { constants } from 'node:os'
import t from 'tap'
import { STAGE_BYTES, stage } from '../../../src/channels/batch/stage.js'
import type { Datagram } from './fake-system.js'
import { commit, destination, sending, tickOver } from './sending.js'

const { EAGAIN, ECONNREFUSED, EINVAL, EMSGSIZE, ENETUNREACH, ENOBUFS, EPERM } = constants.errno

const texts = (datagrams: Datagram[]) => datagrams.map(each => each.bytes.toString())
const shape = (message: { bytes: Buffer; segment: number; pieces: number }) =>
  `${message.bytes.length}/${message.segment} in ${message.pieces}`

if (process.platform !== 'linux') {
  t.plan(0, 'only Linux sends like this')
  process.exit()
}

t.test(
  'what one tick sends to one peer leaves as one message, before anything else happens',
  async t => {
    const { outgoing, system } = sending()
    const to = destination(1)
    for (let index = 0; index < 10; index += 1) commit(outgoing, `datagram ${index}`, to)
    t.same(system.calls, [], 'not yet')
    await new Promise<void>(resolve => process.nextTick(resolve))
    t.equal(system.calls.length, 1)
    t.same(system.calls[0]?.map(shape), ['100/10 in 1'])
    t.same(
      texts(system.left),
      Array.from({ length: 10 }, (_, index) => `datagram ${index}`),
    )
    t.equal(system.left[0]?.to, '192.0.2.7:1')
    await tickOver()
    t.equal(system.calls.length, 1, 'and once')
  },
)

t.test('a single datagram is a plain send', async t => {
  const { outgoing, system } = sending({ family: 6 })
  commit(outgoing, 'alone', destination(9, '2001:db8::1'))
  await tickOver()
  t.same(system.left, [{ to: '[2001:db8:0:0:0:0:0:1%0]:9', bytes: Buffer.from('alone') }])
  t.equal(system.calls.length, 1)
})

t.test('a shorter one ends its message, a longer one begins another', async t => {
  const { outgoing, system } = sending()
  const to = destination(1)
  for (const size of [100, 100, 50, 100, 101, 101, 7, 7])
    commit(outgoing, Buffer.alloc(size, size), to)
  await tickOver()
  t.same(system.calls.flat().map(shape), ['250/100 in 1', '100/0 in 1', '209/101 in 1', '7/0 in 1'])
})

t.test('no message has more than 64 datagrams, nor more bytes than UDP has', async t => {
  const { outgoing, system } = sending()
  for (let index = 0; index < 130; index += 1) commit(outgoing, 'x', destination(1))
  await tickOver()
  t.equal(system.left.length, 130)
  system.calls.length = 0
  const to = destination(2)
  for (let index = 0; index < 130; index += 1) commit(outgoing, 'xy', to)
  for (let index = 0; index < 5; index += 1) commit(outgoing, Buffer.alloc(16_000, 1), to)
  await tickOver()
  t.same(system.calls.flat().map(shape), [
    '128/2 in 1',
    '128/2 in 1',
    '4/2 in 1',
    '64000/16000 in 1',
    '16000/0 in 1',
  ])
})

t.test(
  'peers that take turns have a message each, gathered from where the datagrams stand',
  async t => {
    const { outgoing, system } = sending()
    const [one, other] = [destination(1), destination(2)]
    for (let index = 0; index < 6; index += 1) commit(outgoing, `${index}`, index % 2 ? other : one)
    await tickOver()
    t.same(
      system.calls.map(call => call.map(shape)),
      [['3/1 in 3', '3/1 in 3']],
      'one call',
    )
    t.same(texts(system.left), ['0', '2', '4', '1', '3', '5'])
  },
)

t.test('many peers: as few calls as the headers allow', async t => {
  const { outgoing, system } = sending()
  for (let port = 1; port <= 600; port += 1) commit(outgoing, `to ${port}`, destination(port))
  await tickOver()
  t.same(
    system.calls.map(call => call.length),
    [256, 256, 88],
  )
  t.same(
    system.left.map(({ to, bytes }) => `${to} ${bytes}`),
    Array.from({ length: 600 }, (_, index) => `192.0.2.7:${index + 1} to ${index + 1}`),
  )
})

t.test('a datagram of a flight keeps its place among what is committed', async t => {
  const { outgoing, system } = sending()
  const to = destination(1)
  commit(outgoing, 'a', to)
  commit(outgoing, 'b', to)
  outgoing.send(Buffer.from('F'), '192.0.2.7', 1)
  commit(outgoing, 'c', to)
  commit(outgoing, 'd', to)
  await tickOver()
  t.same(texts(system.left), ['a', 'b', 'F', 'c', 'd'])
  t.same(system.calls.flat().map(shape), ['2/1 in 1', '1/0 in 1', '2/1 in 1'])
})

t.test('where the system cuts nothing, all leave in one call nevertheless', async t => {
  const { outgoing, system } = sending({ segments: false })
  const to = destination(1)
  for (const text of ['one', 'two', 'six']) commit(outgoing, text, to)
  await tickOver()
  t.same(
    system.calls.map(call => call.map(shape)),
    [['3/0 in 1', '3/0 in 1', '3/0 in 1']],
  )
})

t.test('what fits no more leaves at once, in order', async t => {
  const { outgoing, system } = sending()
  const to = destination(1)
  const size = 10_000
  const count = Math.ceil(STAGE_BYTES / size) + 1
  for (let index = 0; index < count; index += 1) commit(outgoing, Buffer.alloc(size, index), to)
  t.ok(system.left.length > 20, 'some have left')
  for (let index = 0; index < 2000; index += 1) commit(outgoing, 'x', to)
  await tickOver()
  t.equal(system.left.length, count + 2000)
  t.same(
    system.left.slice(0, count).map(each => each.bytes[9999]),
    Array.from({ length: count }, (_, index) => index),
  )
})

t.test('no more is committed than was reserved', async t => {
  const { outgoing } = sending()
  outgoing.reserve(10)
  t.throws(() => outgoing.commit(11, destination(1)), RangeError)
  t.throws(() => outgoing.commit(5, destination(1)), RangeError, 'and the room is gone')
  t.throws(() => outgoing.reserve(STAGE_BYTES + 1), RangeError)
})

t.test('to whom the socket is connected, without a name', async t => {
  const { outgoing, system } = sending()
  const [peer, other] = [destination(1), destination(2)]
  commit(outgoing, 'before', peer)
  outgoing.flush()
  outgoing.connected({ address: '192.0.2.7', port: 1 })
  commit(outgoing, 'connected', peer)
  outgoing.flush()
  commit(outgoing, 'many', peer)
  commit(outgoing, 'other', other)
  outgoing.send(Buffer.from('flight'), '192.0.2.7', 1)
  outgoing.flush()
  outgoing.connected(null)
  commit(outgoing, 'after', peer)
  await tickOver()
  t.same(
    system.left.map(({ to, bytes }) => `${to ?? 'peer'} ${bytes}`),
    [
      '192.0.2.7:1 before',
      'peer connected',
      'peer many',
      '192.0.2.7:2 other',
      'peer flight',
      '192.0.2.7:1 after',
    ],
  )
})

t.test('an address of the other family', async t => {
  const six = sending({ family: 6 })
  commit(six.outgoing, 'mapped', destination(5, '192.0.2.7'))
  await tickOver()
  t.equal(six.system.left[0]?.to, '[0:0:0:0:0:ffff:c000:207%0]:5')
  const four = sending()
  const errors: unknown[] = []
  commit(four.outgoing, 'x', destination(5, '::1'), error => errors.push(error))
  four.outgoing.send(Buffer.from('x'), 'nobody', 5, error => errors.push(error))
  await tickOver()
  t.same(four.system.calls, [])
  t.match(errors, [
    { code: 'EINVAL', syscall: 'send', errno: -EINVAL, message: 'send EINVAL ::1:5' },
    { code: 'EINVAL', address: 'nobody', port: 5 },
  ])
})

t.test(
  'everybody is told once, in order, and never while a call of ours is on the stack',
  async t => {
    const { outgoing } = sending()
    const told: unknown[] = []
    let inside = true
    const tell = (name: string) => (error: Error | null) => {
      t.notOk(inside, name)
      told.push(name, error)
    }
    const [one, other] = [destination(1), destination(2)]
    commit(outgoing, 'x', one, tell('a'))
    commit(outgoing, 'x', other, tell('b'))
    commit(outgoing, 'x', one, tell('c'))
    outgoing.flush()
    commit(outgoing, 'x', one, tell('d'))
    inside = false
    await tickOver()
    t.same(told, ['a', null, 'b', null, 'c', null, 'd', null])
  },
)

t.test('one that throws disturbs nobody, and its error is the process’s', async t => {
  const { outgoing } = sending()
  const told: string[] = []
  const uncaught: unknown[] = []
  const listener = (error: Error) => uncaught.push(error.message)
  process.on('uncaughtException', listener)
  t.teardown(() => process.off('uncaughtException', listener))
  const to = destination(1)
  for (const name of ['a', 'b', 'c'])
    commit(outgoing, 'x', to, () => {
      told.push(name)
      if (name !== 'c') throw new Error(name)
    })
  await tickOver()
  t.same(told, ['a', 'b', 'c'])
  t.same(uncaught, ['a', 'b'])
})

t.test('who sends again from the callback does not stop the event loop', async t => {
  const { outgoing } = sending()
  const to = destination(1)
  let sent = 0
  let turned = false
  setImmediate(() => {
    turned = true
  })
  await new Promise<void>(resolve => {
    const again = () => {
      sent += 1
      if (turned || sent > 100_000) resolve()
      else commit(outgoing, 'x', to, again)
    }
    commit(outgoing, 'x', to, again)
  })
  t.ok(sent < 1000, `${sent} callbacks in one turn`)
})

t.test('answers to what is read leave when the reading is over, or takes long', async t => {
  const { outgoing, system } = sending()
  const to = destination(1)
  t.ok(stage().hold(), 'no tick is scheduled')
  for (const text of ['one', 'two']) commit(outgoing, text, to)
  t.same(system.calls, [], 'not yet')
  const end = performance.now() + 2
  while (performance.now() < end);
  commit(outgoing, 'six', to)
  t.same(texts(system.left), ['one', 'two', 'six'], 'its listeners took their time')
  commit(outgoing, 'ten', to)
  stage().release()
  t.same(texts(system.left), ['one', 'two', 'six', 'ten'])
  const { length } = system.calls
  await tickOver()
  t.equal(system.calls.length, length, 'there was no tick for it')
})

t.test('two sockets in one tick', async t => {
  const [one, other] = [sending(), sending()]
  const to = [destination(1), destination(1)] as const
  for (let index = 0; index < 4; index += 1) {
    commit(one.outgoing, `one ${index}`, to[0])
    commit(other.outgoing, `other ${index}`, to[1])
  }
  one.outgoing.flush()
  t.same(texts(one.system.left), ['one 0', 'one 1', 'one 2', 'one 3'])
  t.same(texts(other.system.left), ['other 0', 'other 1', 'other 2', 'other 3'])
})

t.test('a destination that another channel knew', async t => {
  const [one, other] = [sending(), sending({ family: 6 })]
  const to = destination(1, '::ffff:192.0.2.7')
  commit(other.outgoing, 'six', to)
  to.address.replace('::ffff:', '')
  commit(one.outgoing, 'four', to)
  const errors: unknown[] = []
  commit(one.outgoing, 'four', to, error => errors.push(error))
  commit(other.outgoing, 'six', to)
  await tickOver()
  t.equal(other.system.left.length, 2, 'each has a route of its own')
  t.same(one.system.left, [])
  t.match(errors, [{ code: 'EINVAL' }])
})

t.test('a destination that cannot be reached costs the others nothing', async t => {
  const { outgoing, system } = sending()
  system.answer = ({ to }) => (to?.endsWith(':2') ? ENETUNREACH : 0)
  const results: unknown[] = []
  for (const port of [1, 2, 3, 2, 4])
    commit(outgoing, `to ${port}`, destination(port), error => results.push(error))
  await tickOver()
  t.same(texts(system.left), ['to 1', 'to 3', 'to 4'])
  const error = {
    code: 'ENETUNREACH',
    errno: -ENETUNREACH,
    syscall: 'send',
    address: '192.0.2.7',
    port: 2,
    message: 'send ENETUNREACH 192.0.2.7:2',
  }
  t.match(results, [null, error, null, error, null])
  results.length = 0
  commit(outgoing, 'alone', destination(2), error => results.push(error))
  await tickOver()
  t.match(results, [error], 'a plain send has it too')
})

t.test(
  'where a message cannot be cut, its datagrams go one by one, and it is remembered',
  async t => {
    const { outgoing, system } = sending()
    system.answer = ({ segment }) => (segment >= 1000 ? EINVAL : 0)
    const to = destination(1)
    const results: unknown[] = []
    const three = (size: number) => {
      for (let index = 0; index < 3; index += 1)
        commit(outgoing, Buffer.alloc(size, index), to, error => results.push(error))
    }
    three(1000)
    commit(outgoing, 'behind', destination(2))
    await tickOver()
    t.same(
      system.left.map(each => each.bytes[0]),
      [0, 1, 2, 'b'.charCodeAt(0)],
    )
    t.same(results, [null, null, null])
    system.calls.length = 0
    three(1200)
    await tickOver()
    t.same(
      system.calls.map(call => call.map(shape)),
      [['1200/0 in 1', '1200/0 in 1', '1200/0 in 1']],
      'not tried again, all in one call',
    )
    system.calls.length = 0
    three(999)
    await tickOver()
    t.same(
      system.calls.map(call => call.map(shape)),
      [['2997/999 in 1']],
      'smaller ones are cut',
    )
  },
)

t.test('one by one, each has an answer of its own', async t => {
  const { outgoing, system, told } = sending()
  system.answer = ({ segment, bytes }) => {
    if (segment > 0) return EMSGSIZE
    return { 1: EPERM, 3: EAGAIN }[bytes[0] as number] ?? 0
  }
  const results: [number, unknown][] = []
  const to = destination(1)
  for (let index = 0; index < 5; index += 1)
    commit(outgoing, Buffer.alloc(9, index), to, error => results.push([index, error]))
  commit(outgoing, 'behind', destination(2))
  await tickOver()
  t.same(
    system.left.map(each => each.bytes[0]),
    [0, 2],
  )
  t.match(results, [
    [0, null],
    [1, { code: 'EPERM' }],
    [2, null],
  ])
  t.match(outgoing.queued, { datagrams: 3, bytes: 9 + 9 + 6 })
  t.same(told.wanted, [true])
  system.answer = () => 0
  outgoing.writable()
  await tickOver()
  t.same(
    system.left.map(each => each.bytes[0]),
    [0, 2, 3, 4, 'b'.charCodeAt(0)],
  )
  t.match(results.slice(3), [
    [3, null],
    [4, null],
  ])
})

t.test('an ICMP error of a connected socket costs no datagram', async t => {
  const { outgoing, system, told } = sending()
  outgoing.connected({ address: '192.0.2.7', port: 1 })
  const to = destination(1)
  const results: unknown[] = []
  const refuses = (times: number) => {
    let left = times
    system.answer = () => {
      left -= 1
      return left >= 0 ? ECONNREFUSED : 0
    }
  }
  const send = (count: number) => {
    for (let index = 0; index < count; index += 1)
      commit(outgoing, 'x', to, error => results.push(error))
  }
  for (const [times, count] of [
    [1, 1],
    [1, 3],
  ] as const) {
    refuses(times)
    send(count)
    outgoing.flush()
    t.same(told.failed, [], 'told later')
    await tickOver()
    t.same(results, Array(count).fill(null))
    t.equal(system.left.length, count)
    t.match(told.failed, [{ code: 'ECONNREFUSED', syscall: 'send' }])
    results.length = system.left.length = told.failed.length = 0
  }
  refuses(2)
  send(1)
  await tickOver()
  t.match(results, [{ code: 'ECONNREFUSED' }], 'the second time it is the datagram’s')
  t.same(told.failed, [])
  results.length = system.left.length = 0
  refuses(2)
  send(1)
  commit(outgoing, 'other', destination(2), error => results.push(error))
  await tickOver()
  t.match(results, [{ code: 'ECONNREFUSED' }, null], 'also among others')
  t.same(told.failed, [])
})

t.test('on a socket that is not connected, no error is somebody else’s', async t => {
  const { outgoing, system } = sending()
  system.answer = () => ECONNREFUSED
  const results: unknown[] = []
  commit(outgoing, 'x', destination(1), error => results.push(error))
  await tickOver()
  t.equal(system.calls.length, 1)
  t.match(results, [{ code: 'ECONNREFUSED' }])
})

t.test('what the system has no room for waits, in order, and so does what comes later', async t => {
  const { outgoing, system, told } = sending()
  let room = 2
  system.answer = () => {
    room -= 1
    return room >= 0 ? 0 : EAGAIN
  }
  const results: [string, unknown][] = []
  const send = (text: string, port: number) =>
    commit(outgoing, text, destination(port), error => results.push([text, error]))
  send('a', 1)
  send('b', 2)
  send('c', 3)
  send('d', 4)
  await tickOver()
  t.same(texts(system.left), ['a', 'b'])
  t.same(results, [
    ['a', null],
    ['b', null],
  ])
  t.match(outgoing.queued, { datagrams: 2, bytes: 2 })
  t.same(told, { wanted: [true], failed: [], drained: 0 })

  send('e', 1)
  outgoing.send(Buffer.from('F'), '192.0.2.7', 1, error => results.push(['F', error]))
  t.match(outgoing.queued, { datagrams: 4, bytes: 4 }, 'at once')
  await tickOver()
  t.equal(system.left.length, 2, 'nothing overtakes')

  room = 1
  outgoing.writable()
  t.match(outgoing.queued, { datagrams: 3, bytes: 3 })
  t.equal(results.length, 2, 'told later')
  await tickOver()
  t.same(texts(system.left), ['a', 'b', 'c'])
  t.same(told.wanted, [true], 'as before')

  room = 100
  outgoing.writable()
  t.equal(told.drained, 0, 'told later')
  await tickOver()
  t.same(texts(system.left), ['a', 'b', 'c', 'd', 'e', 'F'])
  t.same(told, { wanted: [true, false], failed: [], drained: 1 })
  t.match(outgoing.queued, { datagrams: 0, bytes: 0 })
  t.same(
    results.map(([text]) => text),
    ['a', 'b', 'c', 'd', 'e', 'F'],
  )
  outgoing.writable()
  send('g', 1)
  await tickOver()
  t.equal(system.left.at(-1)?.bytes.toString(), 'g', 'and so on')
})

t.test('a long line leaves in parts, larger ones while the system has room', async t => {
  const { outgoing, system } = sending({ segments: false })
  system.answer = () => EAGAIN
  const to = destination(1)
  const count = 5000
  for (let index = 0; index < count; index += 1) commit(outgoing, `${index}`, to)
  await tickOver()
  t.equal(outgoing.queued.datagrams, count)
  system.answer = () => 0
  const parts: number[] = []
  while (outgoing.queued.datagrams > 0) {
    const before = system.left.length
    outgoing.writable()
    parts.push(system.left.length - before)
  }
  t.same(parts.slice(0, 4), [16, 32, 64, 128])
  t.equal(Math.max(...parts), 1024)
  t.same(
    texts(system.left),
    Array.from({ length: count }, (_, index) => `${index}`),
  )
})

t.test('what strangers cause waits in bounded numbers only', async t => {
  const { outgoing, system } = sending()
  system.answer = () => EAGAIN
  const to = destination(1)
  commit(outgoing, 'of ours', to)
  outgoing.flush()
  const results: unknown[] = []
  for (let index = 0; index < 1030; index += 1)
    outgoing.send(Buffer.from('flight'), to.address, to.port, error => results.push(error))
  for (let index = 0; index < 2000; index += 1) commit(outgoing, 'of ours', to)
  await tickOver()
  t.match(results, Array(6).fill({ code: 'ENOBUFS' }))
  t.equal(outgoing.queued.datagrams, 1 + 1024 + 2000)
  system.answer = () => 0
  outgoing.writable()
  outgoing.flush()
  system.answer = () => EAGAIN
  commit(outgoing, 'of ours', to)
  outgoing.send(Buffer.from('flight'), to.address, to.port, error => results.push(error))
  t.equal(outgoing.queued.datagrams, 1 + 1024 + 2000 - 16 + 2, 'more, when some have left')
})

t.test('ENOBUFS is no room either, but not for ever', async t => {
  const { outgoing, system, told } = sending()
  const now = performance.now.bind(performance)
  let later = 0
  performance.now = () => now() + later
  t.teardown(() => {
    performance.now = now
  })
  system.answer = ({ to }) => (to?.endsWith(':1') ? ENOBUFS : 0)
  const results: [string, unknown][] = []
  for (const [text, port] of [
    ['waits', 1],
    ['behind', 2],
  ] as const)
    commit(outgoing, text, destination(port), error => results.push([text, error]))
  await tickOver()
  t.equal(outgoing.queued.datagrams, 2)
  for (let index = 0; index < 10; index += 1) outgoing.writable()
  t.equal(outgoing.queued.datagrams, 2)
  later = 1001
  let room = 0
  const { answer } = system
  // As long as anything leaves, there is hope.
  system.answer = message => {
    room -= 1
    return room >= 0 ? 0 : answer(message)
  }
  commit(outgoing, 'leaves', destination(1), error => results.push(['leaves', error]))
  commit(outgoing, 'stays', destination(1), error => results.push(['stays', error]))
  room = 3
  outgoing.writable()
  t.equal(outgoing.queued.datagrams, 1)
  outgoing.writable()
  t.equal(outgoing.queued.datagrams, 1)
  later = 2002
  outgoing.writable()
  t.equal(outgoing.queued.datagrams, 0)
  await tickOver()
  t.match(results, [
    ['waits', null],
    ['behind', null],
    ['leaves', null],
    ['stays', { code: 'ENOBUFS' }],
  ])
  t.same(told, { wanted: [true, false], failed: [], drained: 1 })
})

t.test('a message to be cut for which there is no memory is tried in its pieces', async t => {
  const { outgoing, system } = sending()
  system.answer = ({ segment }) => (segment > 0 ? ENOBUFS : 0)
  const to = destination(1)
  for (const text of ['a', 'b']) commit(outgoing, text, to)
  outgoing.flush()
  t.same(texts(system.left), ['a', 'b'])
  system.answer = () => 0
  for (const text of ['c', 'd']) commit(outgoing, text, to)
  outgoing.flush()
  t.equal(system.calls.at(-1)?.[0]?.segment, 1, 'and later whole again')
})

t.test(
  'closing: what can leave leaves, the rest fails, and nothing is called afterwards',
  async t => {
    const { outgoing, system } = sending()
    let room = 2
    system.answer = () => {
      room -= 1
      return room >= 0 ? 0 : EAGAIN
    }
    const results: [string, unknown][] = []
    const send = (text: string, port: number) =>
      commit(outgoing, text, destination(port), error => results.push([text, error]))
    for (const [index, text] of ['a', 'b', 'c', 'd'].entries()) send(text, index + 1)
    outgoing.close()
    t.same(texts(system.left), ['a', 'b'])
    t.same(results, [], 'told later')
    const calls = system.calls.length
    send('e', 1)
    outgoing.send(Buffer.from('f'), '192.0.2.7', 1, error => results.push(['f', error]))
    outgoing.writable()
    outgoing.flush()
    outgoing.close()
    await tickOver()
    t.equal(system.calls.length, calls)
    const canceled = { code: 'ECANCELED', syscall: 'send' }
    t.match(
      results.sort(([one], [other]) => (one < other ? -1 : 1)),
      [
        ['a', null],
        ['b', null],
        ['c', canceled],
        ['d', canceled],
        ['e', canceled],
        ['f', canceled],
      ],
    )
    t.match(outgoing.queued, { datagrams: 0, bytes: 0 })
  },
)

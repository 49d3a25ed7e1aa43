/**
 * Reading in batches: what is delivered, when it stops, and what errors do. The system is made up
 * here, and so is the time; channel.test.ts sees the same on real sockets.
 */
import { constants } from 'node:os'
import t from 'tap'
import type { Received } from '../../../src/channels/batch/inbox.js'
import { Incoming, type IncomingHost } from '../../../src/channels/batch/incoming.js'

const { EAGAIN, EBADF, ECONNREFUSED, EINTR } = constants.errno
const from = { address: '192.0.2.7', port: 4000 }

interface Message {
  readonly text: string
  readonly segment?: number
}

/** What is in the socket: messages, and errors between them. */
class FakeInbox implements Received {
  readonly asked: number[] = []
  #came: Message[] = []

  constructor(readonly waiting: (Message | number)[]) {}

  receive(_fd: number, messages: number): number {
    this.asked.push(messages)
    const { waiting } = this
    if (waiting.length === 0) return -EAGAIN
    if (typeof waiting[0] === 'number') return -(waiting.shift() as number)
    const error = waiting.findIndex(each => typeof each === 'number')
    const count = Math.min(messages, error === -1 ? waiting.length : error)
    this.#came = waiting.splice(0, count) as Message[]
    return count
  }

  message(index: number): Buffer {
    return Buffer.from((this.#came[index] as Message).text)
  }
  segment(index: number): number {
    const { segment, text } = this.#came[index] as Message
    return segment ?? text.length
  }
  source() {
    return from
  }
}

function reading(waiting: (Message | number)[], host: Partial<IncomingHost> = {}) {
  const inbox = new FakeInbox(waiting)
  const seen = { texts: [] as string[], errors: [] as Error[], broken: [] as Error[] }
  const clock = { time: 1000, isStopped: false }
  const incoming = new Incoming(
    7,
    {
      received: datagrams => {
        seen.texts.push(datagrams.toString())
        return true
      },
      failed: error => seen.errors.push(error),
      broken: error => seen.broken.push(error),
      ...host,
    },
    {
      inbox,
      now() {
        if (clock.isStopped) throw new Error('nobody should ask')
        return clock.time
      },
    },
  )
  return { incoming, inbox, clock, ...seen }
}

function messages(count: number): Message[] {
  return Array.from({ length: count }, (_, index) => ({ text: `m${index}` }))
}

t.test('all that has come is delivered in order, with its source and its size', t => {
  const got: unknown[] = []
  const { incoming } = reading([{ text: 'aabbc', segment: 2 }, { text: 'd' }], {
    received: (datagrams, segment, address, port) => {
      got.push([datagrams.toString(), segment, address, port])
      return true
    },
  })
  incoming.readable()
  t.same(got, [
    ['aabbc', 2, from.address, from.port],
    ['d', 1, from.address, from.port],
  ])
  t.end()
})

t.test('a call that brings less than there was room for is the last one of this turn', t => {
  const { incoming, inbox, texts } = reading(messages(1))
  incoming.readable()
  t.same(texts, ['m0'])
  t.equal(inbox.asked.length, 1, 'no call just to hear that there is nothing')
  t.end()
})

t.test('what costs no time is read in calls of growing size, up to a limit', t => {
  const { incoming, inbox, texts } = reading(messages(200))
  incoming.readable()
  t.equal(texts.length, 200)
  t.same(inbox.asked.slice(0, 5), [4, 8, 8, 8, 8])
  t.end()
})

t.test('a listener that takes its time gets little in one turn, and the rest later', t => {
  const waiting = messages(200)
  const seen: string[] = []
  const { incoming, clock, inbox } = reading(waiting, {
    received: datagrams => {
      clock.time += 0.5
      seen.push(datagrams.toString())
      return true
    },
  })
  incoming.readable()
  t.ok(seen.length <= 8, `${seen.length} of half a millisecond each in a budget of 2 ms`)
  inbox.asked.length = 0
  incoming.readable()
  t.ok(
    inbox.asked.every(count => count <= 2),
    `calls of ${inbox.asked} messages`,
  )
  while (waiting.length > 0) incoming.readable()
  t.same(
    seen,
    messages(200).map(({ text }) => text),
    'nothing is lost, nothing twice',
  )
  t.end()
})

t.test('a listener that becomes slow is noticed, also by calls that are not full', t => {
  let slow = 0
  const { incoming, clock, inbox } = reading(messages(40), {
    received: () => {
      clock.time += slow
      return true
    },
  })
  incoming.readable()
  slow = 1
  for (let turn = 0; turn < 2; turn += 1) {
    inbox.asked.length = 0
    inbox.waiting.push(...messages(2))
    incoming.readable()
  }
  t.equal(inbox.asked[0], 1)
  t.end()
})

t.test('one datagram alone costs no look at the clock', t => {
  const { incoming, clock, texts } = reading(messages(1))
  clock.isStopped = true
  incoming.readable()
  t.same(texts, ['m0'])
  t.end()
})

t.test('nothing is delivered after false, and nothing after close()', t => {
  for (const way of ['false', 'close'] as const) {
    let count = 0
    const { incoming, inbox } = reading(messages(20), {
      received: () => {
        count += 1
        if (count < 2) return true
        if (way === 'false') return false
        incoming.close()
        return true
      },
    })
    incoming.readable()
    t.equal(count, 2, way)
    t.equal(inbox.asked.length, 1, 'nor asked for')
  }
  t.end()
})

t.test('an ICMP error is told, and what came behind it is read in the same turn', t => {
  const { incoming, errors, texts } = reading([ECONNREFUSED, ...messages(2)])
  incoming.readable()
  t.same(texts, ['m0', 'm1'])
  t.match(errors, [
    {
      code: 'ECONNREFUSED',
      syscall: 'recvmsg',
      errno: -ECONNREFUSED,
      message: 'recvmsg ECONNREFUSED',
    },
  ])
  t.equal(errors.length, 1)
  t.end()
})

t.test('a storm of ICMP errors leaves room for others', t => {
  const waiting = new Array(1000).fill(ECONNREFUSED)
  const { incoming, errors } = reading(waiting)
  incoming.readable()
  t.ok(errors.length > 0 && errors.length < 100, `${errors.length} in one turn`)
  t.equal(waiting.length, 1000 - errors.length)
  t.end()
})

t.test('nothing is read after a listener of an error has closed the socket', t => {
  const { incoming, inbox } = reading([ECONNREFUSED, ...messages(1)], {
    failed: () => incoming.close(),
  })
  incoming.readable()
  t.equal(inbox.asked.length, 1)
  t.end()
})

t.test('a call that a signal has interrupted is nobody else’s business', t => {
  const { incoming, errors, texts } = reading([EINTR, ...messages(1)])
  incoming.readable()
  t.same([texts, errors], [['m0'], []])
  t.end()
})

t.test('an error that would come in every turn ends the reading', t => {
  const { incoming, errors, broken } = reading([EBADF, EBADF, EBADF], {})
  incoming.readable()
  incoming.readable()
  t.same(errors, [])
  t.equal(broken.length, 1, 'and is told once')
  t.match(broken, [{ code: 'EBADF' }])
  t.end()
})

t.test('a message that has not come whole is dropped alone', t => {
  const { incoming, texts } = reading([{ text: 'cut', segment: 0 }, { text: 'whole' }])
  incoming.readable()
  t.same(texts, ['whole'])
  t.end()
})

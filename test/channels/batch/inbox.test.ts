/** The memory that recvmmsg writes to, with real sockets: what stands in it, and where it says so. */
import { constants } from 'node:os'
import t from 'tap'
import * as linux from '../../../lib/linux-sockets.js'
import { INBOX_MESSAGES, inbox } from '../../../src/channels/batch/inbox.js'
import { adopted, delivered, farEnd } from './sockets.js'

if (process.platform !== 'linux') {
  t.plan(0, 'it is for Linux')
  process.exit()
}

const { EAGAIN } = constants.errno

/** Each byte tells where it belongs. */
function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) & 0xff))
}

function gro(descriptor: number): void {
  const status = linux.setsockopt(descriptor, linux.SOL_UDP, linux.UDP_GRO, 1)
  if (status !== 0) throw new Error(`UDP_GRO: ${status}`)
}

t.test('what one call brings: each with its source, in order', async t => {
  const { descriptor, port } = await adopted(t)
  const senders = await Promise.all([farEnd(t), farEnd(t), farEnd(t)])
  for (const [index, sender] of senders.entries())
    await delivered(sender, Buffer.from(`from ${index}`), port)
  const box = inbox()
  t.equal(box.receive(descriptor, INBOX_MESSAGES), 3)
  for (const [index, sender] of senders.entries()) {
    t.equal(box.message(index).toString(), `from ${index}`)
    t.equal(box.segment(index), 6)
    t.same(box.source(index), { address: '127.0.0.1', port: sender.address().port })
  }
  t.equal(box.receive(descriptor, INBOX_MESSAGES), -EAGAIN)
})

t.test('no more than was asked for; the rest comes with the next call', async t => {
  const { descriptor, port } = await adopted(t)
  const sender = await farEnd(t)
  for (let index = 0; index < 5; index += 1) await delivered(sender, Buffer.from([index]), port)
  const box = inbox()
  t.equal(box.receive(descriptor, 2), 2)
  t.same([...box.message(0), ...box.message(1)], [0, 1])
  t.equal(box.receive(descriptor, INBOX_MESSAGES), 3)
  t.same([...box.message(0), ...box.message(1), ...box.message(2)], [2, 3, 4])
})

t.test('a run of datagrams of one size is one message, and says how long each is', async t => {
  const { descriptor, port } = await adopted(t)
  gro(descriptor)
  const cases = [
    [101, 101 * 16],
    [101, 101 * 16 - 40],
    [1237, 1237 * 50],
    [1, 40],
  ] as const
  for (const [segment, length] of cases) {
    const sent = pattern(length)
    await delivered(await farEnd(t, segment), sent, port)
    const box = inbox()
    t.equal(box.receive(descriptor, INBOX_MESSAGES), 1, `${length} bytes, ${segment} each`)
    t.equal(box.segment(0), segment)
    t.ok(box.message(0).equals(sent))
  }
})

t.test('without UDP_GRO the same comes one by one', async t => {
  const { descriptor, port } = await adopted(t)
  await delivered(await farEnd(t, 100), pattern(250), port)
  const box = inbox()
  t.equal(box.receive(descriptor, INBOX_MESSAGES), 3)
  t.same([box.segment(0), box.segment(1), box.segment(2)], [100, 100, 50])
})

t.test('a single datagram after a run: what the run said is forgotten', async t => {
  const { descriptor, port } = await adopted(t)
  gro(descriptor)
  const [run, single] = [await farEnd(t, 10), await farEnd(t)]
  const box = inbox()
  for (const size of [35, 70]) {
    await delivered(run, pattern(40), port)
    t.equal(box.receive(descriptor, INBOX_MESSAGES), 1)
    t.equal(box.segment(0), 10)
    await delivered(single, pattern(size), port)
    t.equal(box.receive(descriptor, INBOX_MESSAGES), 1)
    t.equal(box.segment(0), size)
  }
})

t.test('the largest datagram, and an empty one', async t => {
  const { descriptor, port } = await adopted(t)
  const sender = await farEnd(t)
  const sent = pattern(65507)
  await delivered(sender, sent, port)
  await delivered(sender, Buffer.alloc(0), port)
  const box = inbox()
  t.equal(box.receive(descriptor, INBOX_MESSAGES), 2)
  t.ok(box.message(0).equals(sent))
  t.equal(box.message(1).length, 0)
  t.equal(box.segment(1), 1, 'is whole')
})

t.test('IPv6, by the same memory as IPv4 before it', async t => {
  const v4 = await adopted(t)
  await delivered(await farEnd(t), Buffer.from('four'), v4.port)
  const box = inbox()
  t.equal(box.receive(v4.descriptor, INBOX_MESSAGES), 1)
  let v6: Awaited<ReturnType<typeof adopted>>
  try {
    v6 = await adopted(t, '::1')
  } catch (error) {
    t.pass('not here', { skip: (error as Error).message })
    return
  }
  const sender = await farEnd(t, 0, '::1')
  await delivered(sender, Buffer.from('six'), v6.port, '::1')
  t.equal(box.receive(v6.descriptor, INBOX_MESSAGES), 1)
  t.same(box.source(0), { address: '::1', port: sender.address().port })
  await delivered(await farEnd(t), Buffer.from('four again'), v4.port)
  t.equal(box.receive(v4.descriptor, INBOX_MESSAGES), 1)
  t.equal(box.source(0).address, '127.0.0.1')
  t.equal(box.message(0).toString(), 'four again')
})

t.test('the number of an error', t => {
  const { EBADF } = constants.errno
  t.equal(inbox().receive(-1, 1), -EBADF)
  t.end()
})

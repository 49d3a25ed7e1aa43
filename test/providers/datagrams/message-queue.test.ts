/** Messages that wait: in order, bounded, each answered exactly once. */
import t from 'tap'
import { parseSettings } from '../../../src/model/settings.js'
import { MessageQueue } from '../../../src/providers/datagrams/message-queue.js'

const settings = parseSettings({ maxQueuedDatagrams: 3, maxQueuedBytes: 100 }, 'datagram')
const waiting = (length: number, callback: (error: Error | null) => void = () => {}) => ({
  message: Buffer.alloc(length),
  host: 'host',
  callback,
})

t.test('bounded by number and by bytes, and what is refused says why', async t => {
  const totals = { datagrams: 0, bytes: 0 }
  const queue = new MessageQueue(totals)
  t.equal(queue.push(waiting(60), settings, 'p:1'), undefined)
  t.match(queue.push(waiting(41), settings, 'p:1'), {
    code: 'ENOBUFS',
    peer: 'p:1',
    message: /^1 datagrams \(60 bytes\) wait.*maxQueuedBytes/,
  })
  t.equal(queue.push(waiting(40), settings, 'p:1'), undefined)
  t.same(totals, { datagrams: 2, bytes: 100 })
  t.equal(queue.shift()?.message.length, 60, 'the first goes first')
  t.equal(queue.push(waiting(1), settings, 'p:1'), undefined)
  t.equal(queue.push(waiting(1), settings, 'p:1'), undefined)
  t.match(queue.push(waiting(1), settings, 'p:1'), { code: 'ENOBUFS' })
  t.same(totals, { datagrams: 3, bytes: 42 })
})

t.test('a failure is told to each once, also where one of them sends again or throws', async t => {
  const totals = { datagrams: 0, bytes: 0 }
  const queue = new MessageQueue(totals)
  const told: string[] = []
  const uncaught = new Promise(resolve => process.once('uncaughtException', resolve))
  queue.push(
    waiting(1, () => {
      told.push('first')
      queue.push(waiting(5), settings, 'p:1')
      throw new Error('of the application')
    }),
    settings,
    'p:1',
  )
  queue.push(
    waiting(1, error => {
      told.push(error?.message ?? '')
    }),
    settings,
    'p:1',
  )
  queue.fail(new Error('no'))
  t.same(told, ['first', 'no'])
  t.match(await uncaught, { message: 'of the application' }, 'as from an event of node:dgram')
  t.equal(queue.length, 1, 'what was sent again waits')
  t.same(totals, { datagrams: 1, bytes: 5 })
})

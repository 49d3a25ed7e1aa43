/** Being told that a socket is ready, by a handle of Node's that reads nothing: on every Node anew. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { readdirSync } from 'node:fs'
import t from 'tap'
import { INBOX_MESSAGES, inbox } from '../../../src/channels/batch/inbox.js'
import {
  readinessUnavailable,
  watchReadable,
  watchWritable,
} from '../../../src/channels/batch/readiness.js'
import { adopted, delivered, farEnd } from './sockets.js'

if (process.platform !== 'linux') {
  t.plan(0, 'it is for Linux')
  process.exit()
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

const turn = () => new Promise(resolve => setImmediate(resolve))

t.test('this Node has what it takes', t => {
  t.equal(readinessUnavailable(), undefined)
  t.end()
})

t.test('is told while something waits, in each turn, and takes nothing of it', async t => {
  const { descriptor, port } = await adopted(t)
  const sender = await farEnd(t)
  let calls = 0
  const enough = new Promise<void>(resolve => {
    const watch = watchReadable(descriptor, () => {
      calls += 1
      if (calls === 3) {
        watch.close()
        resolve()
      }
    })
  })
  await turn()
  t.equal(calls, 0, 'nothing has come')
  await delivered(sender, Buffer.from('a message'), port)
  await enough
  t.equal(inbox().receive(descriptor, INBOX_MESSAGES), 1)
  t.equal(inbox().message(0).toString(), 'a message', 'it is whole')
  await turn()
  await turn()
  t.equal(calls, 3, 'and nobody is told after close()')
})

t.test(
  'an event of Node’s: what it schedules runs next, in the context of whoever watches',
  async t => {
    const { descriptor, port } = await adopted(t)
    const sender = await farEnd(t)
    const context = new AsyncLocalStorage<string>()
    const order: string[] = []
    const done = new Promise<void>(resolve => {
      context.run('mine', () => {
        const watch = watchReadable(descriptor, () => {
          watch.close()
          order.push(`ready ${context.getStore()}`)
          setImmediate(() => resolve())
          process.nextTick(() => order.push('tick'))
          Promise.resolve().then(() => order.push('promise'))
        })
      })
    })
    await delivered(sender, Buffer.from('x'), port)
    await done
    t.same(order, ['ready mine', 'tick', 'promise'])
  },
)

t.test('is told when there is room', async t => {
  const { descriptor } = await adopted(t)
  await new Promise<void>(resolve => {
    const watch = watchWritable(descriptor, () => {
      watch.close()
      resolve()
    })
  })
})

t.test('no descriptor is left, whoever closes first', async t => {
  const { descriptor, socket } = await adopted(t)
  const before = descriptors()
  for (let count = 0; count < 3; count += 1) {
    const watches = [watchReadable(descriptor, () => {}), watchWritable(descriptor, () => {})]
    t.equal(descriptors(), before + 2)
    for (const watch of watches) {
      watch.close()
      watch.close()
      watch.ref()
      watch.unref()
    }
    t.equal(descriptors(), before)
  }
  const [readable, writable] = [
    watchReadable(descriptor, () => {}),
    watchWritable(descriptor, () => {}),
  ]
  socket.close()
  await turn()
  readable.close()
  writable.close()
  await turn()
  t.ok(descriptors() < before)
})

t.test('a descriptor that is none', async t => {
  const before = descriptors()
  t.throws(() => watchReadable(-1, () => {}), { code: 'EBADF', syscall: 'dup' })
  let calls = 0
  await new Promise<void>(resolve => {
    const watch = watchWritable(-1, () => {
      calls += 1
      if (calls === 2) {
        watch.close()
        resolve()
      }
    })
  })
  t.equal(calls, 2, 'what waits for room is tried now and then')
  t.equal(descriptors(), before)
})

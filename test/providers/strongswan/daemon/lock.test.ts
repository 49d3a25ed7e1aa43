// One process of the host at a time; and nobody who keeps the lock for ever stops the others.
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import t from 'tap'
import { locked } from '../../../../src/providers/strongswan/daemon/lock.js'
import { event } from '../../../support/events.js'

const skip = process.platform === 'linux' ? false : 'abstract sockets are of Linux'

t.test('one after the other, also after one has failed', { skip }, async t => {
  const path = randomBytes(8).toString('hex')
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await new Promise(resolve => setTimeout(resolve, 2))
    inside--
  }
  await Promise.all(Array.from({ length: 8 }, () => locked(path, work)))
  t.equal(most, 1)
  const failing = locked(path, () => Promise.reject(new Error('of the work')))
  await t.rejects(failing, { message: 'of the work' })
  t.equal(await locked(path, async () => 'what it gives'), 'what it gives')
})

t.test('a stranger who keeps it is waited for once', { skip }, async t => {
  const path = randomBytes(8).toString('hex')
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 32)
  const stranger = createServer().listen({ path: `\0secure-socket-${hash}` })
  await event(stranger, 'listening')
  t.teardown(() => stranger.close())
  t.equal(await locked(path, async () => 'done'), 'done')
  const begin = performance.now()
  t.equal(await locked(path, async () => 'again'), 'again')
  t.ok(performance.now() - begin < 2500, 'not once more')
})

/**
 * A password reaches the system, and is nowhere in the memory of the process afterwards. What is
 * looked for is its UTF-16 form, which is what the structure holds.
 */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { until } from '../support/until.js'
import { noDouble } from '../support/winsock-double.js'
import { calls, freshDouble } from './log.js'
import { isInMemory, watchFrees } from './own-memory.js'
import { client, plainServer } from './scenes.js'

/** Memory that was freed is soon used again, but not all of it. */
const SOCKETS = 10

const account = { userName: 'Ann', domainName: 'CORP' }

if (noDouble) t.plan(0, noDouble)
else {
  const freed = watchFrees()

  for (const outcome of ['done', 'failed', 'destroyed', 'given up'] as const)
    t.test(`after a call that is ${outcome}`, async t => {
      const double = freshDouble(t)
      double.behave('WSASetSocketSecurity', { mode: 'never' })
      const peer = await plainServer(t)
      const password = secret()
      const settings = { ...account, password: password.give }
      const security = {
        protocol: 'ipsec',
        ipsec: settings,
        handshakeTimeout: outcome === 'given up' ? 500 : 60_000,
      }
      const sockets = Array.from({ length: SOCKETS }, () => client(t, peer.port, {}, security))
      await until('all of them pend', () => double.outstanding() === SOCKETS)
      t.ok(password.isInMemory(), 'while the system may still read it')
      if (outcome === 'done') double.release()
      if (outcome === 'failed') double.release({ cancelled: true })
      if (outcome === 'destroyed') for (const socket of sockets) socket.destroy()
      await until('it is over', () => double.outstanding() === 0)
      const log = double.takeLog()
      t.match(calls(log, 'WSASetSocketSecurity')[0], { error: 997 })
      t.notOk(
        log.some(({ inputChanged }) => inputChanged),
        'not before the system had read it',
      )
      // What is cancelled is looked after twice a second.
      await until('it is wiped', () => !password.isInMemory(), 3000)
      t.pass('and then it is gone')
    })

  t.test('no native memory is given back with anything in it', async t => {
    t.ok(freed.all > 4 * SOCKETS)
    t.equal(freed.dirty, 0)
  })
}

/**
 * A password of ASCII, as UTF-8: its UTF-16 form is made by whoever gives it to the system. It is long
 * and repeats itself, so that a part of it is found even where memory that was freed has been used again.
 */
function secret() {
  const text = randomBytes(6).toString('hex')
  const [first, rest] = [text.slice(0, 4), text.slice(4)]
  return {
    give: () => Buffer.from(text.repeat(20)),
    isInMemory: () => isInMemory(utf16(first), utf16(rest)),
  }
}

/** In memory of its own, not beside another such. */
function utf16(text: string): Buffer {
  const bytes = Buffer.alloc(2 * text.length + 2)
  bytes.write(text, 2, 'utf16le')
  return bytes.subarray(2)
}

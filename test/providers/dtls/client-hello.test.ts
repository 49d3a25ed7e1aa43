/** A stranger's ClientHello is read before anything else is done: no bytes of it may do harm. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { isLaterFragment, parseClientHello } from '../../../src/providers/dtls/client-hello.js'
import { seededRandom } from '../../model/random.js'
import { clientHello, handshakeFragment, record } from './hellos.js'

t.test('what the decision needs', async t => {
  const random = randomBytes(32)
  const cookie = randomBytes(32)
  const recordNumber = Buffer.from('0000000000000009', 'hex')
  for (const sessionId of [Buffer.alloc(0), randomBytes(32)]) {
    const hello = clientHello({ random, cookie, sessionId, recordNumber })
    t.same(parseClientHello(hello), { recordNumber, messageSequence: 1, random, cookie })
  }
  t.match(parseClientHello(clientHello({ random })), {
    messageSequence: 0,
    cookie: Buffer.alloc(0),
  })
})

t.test('its first fragment is enough where the cookie is in it', async t => {
  const random = randomBytes(32)
  t.same(parseClientHello(clientHello({ random, cut: 4 }))?.random, random)
  t.equal(parseClientHello(clientHello({ random, cut: 8 })), undefined, 'cut inside the cookie')
  const body = Buffer.alloc(300)
  const later = record(22, 0, handshakeFragment(1, 1, body, 200))
  t.equal(parseClientHello(later), undefined, 'a later fragment says nothing of whose it is')
  t.ok(isLaterFragment(later))
  t.notOk(isLaterFragment(clientHello()))
  t.notOk(isLaterFragment(record(22, 0, handshakeFragment(11, 1, body, 200))))
})

t.test('cut anywhere, or with lengths that lie, it is none', async t => {
  const hello = clientHello({ cookie: randomBytes(32), sessionId: randomBytes(8) })
  const lengths = { sessionId: 13 + 12 + 34, cookie: 13 + 12 + 34 + 9 }
  for (const [what, at] of Object.entries(lengths)) {
    const lying = Buffer.from(hello)
    lying[at] = 255
    t.equal(parseClientHello(lying), undefined, what)
  }
  for (let length = 13; length < hello.length - 6; length++) {
    const cut = Buffer.from(hello.subarray(0, length))
    cut.writeUInt16BE(length - 13, 11)
    t.equal(parseClientHello(cut), undefined, `cut at ${length}`)
  }
})

t.test('changed at random, it is read or not, and nothing is thrown', async t => {
  const random = seededRandom(t)
  for (let i = 0; i < 20_000; i++) {
    const hello = clientHello({
      cookie: Buffer.alloc(32),
      sessionId: Buffer.alloc(random.below(33)),
    })
    for (let changes = 1 + random.below(6); changes > 0; changes--)
      hello[random.below(hello.length)] = random.below(256)
    const parsed = parseClientHello(hello)
    if (parsed && parsed.random.length !== 32) t.fail(hello.toString('hex'))
    isLaterFragment(hello)
  }
})

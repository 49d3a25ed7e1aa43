/**
 * What 'message' hands over is the listener's for ever: it may be kept while thousands of others come,
 * and written to, and nothing changes for anybody else. Also it is not a view of memory that the
 * socket uses again, or of a large piece that it alone would keep alive.
 */
import t, { type Test } from 'tap'
import { seededRandom } from '../model/random.js'
import { event } from '../support/events.js'
import {
  boundSocket,
  datagramSocket,
  identified,
  LOOPBACK,
  sent,
} from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

/** Of all sizes that a message can have; the small ones are in Node's pool. */
const sizes = [1, 2, 64, 64, 64, 65, 500, 512, 1200, 1200, 1200, 1201, 4095, 4096, 8192, 16384]
const messages = 4000
/** Kept at one time; what was kept before is compared and then let go. */
const generation = 1000

t.test('a message that is kept never changes, whatever comes later', async t => {
  const random = seededRandom(t)
  const security = await identified()
  const { socket: server, port } = await boundSocket(t, security)
  const clients = Array.from({ length: 4 }, () => datagramSocket(t, { security }))
  const kept: Buffer[] = []
  server.on('message', (message, { port, address }) => {
    kept.push(message)
    // The answer goes through the same memory, the other way.
    if (kept.length % 3 === 0) server.send(message, port, address)
  })
  let answers = 0
  for (const client of clients) {
    client.on('message', () => {
      answers += 1
    })
    await client.secure({ address: LOOPBACK, port })
  }

  let number = 0
  const begun: Buffer[] = []
  for (let left = messages; left > 0; ) {
    // Runs of one size to one peer travel together, and mixed ones do not.
    const client = random.of(clients)
    const one = random.of(sizes)
    const mixed = random.below(2) === 0
    const most = Math.min(left, 40, Math.floor(60_000 / one))
    const burst = Array.from({ length: Math.max(1, random.below(most)) }, () => {
      number += 1
      return patterned(number, mixed ? Math.min(random.of(sizes), 1201) : one)
    })
    left -= burst.length
    await Promise.all(burst.map(message => sent(client, message, port)))
    begun.push(...burst)
    await until('all of a burst has come', () => kept.length >= begun.length)
    if (begun.length < generation && left > 0) continue

    const different = kept.filter((message, index) => !message.equals(begun[index] as Buffer))
    t.equal(different.length, 0, `${kept.length} messages, as they were sent`)
    writeToEverySecond(t, kept, begun)
    kept.length = 0
    begun.length = 0
  }
  t.ok(answers > 0, 'the answers came as well')
})

t.test('what is kept keeps no more alive than itself, or a piece of Node’s pool', async t => {
  const security = await identified()
  const { socket: server, port } = await boundSocket(t, security)
  const client = datagramSocket(t, { security })
  await client.secure({ address: LOOPBACK, port })
  const pool = Buffer.allocUnsafe(1).buffer.byteLength
  for (const size of new Set(sizes)) {
    const arrived = event(server, 'message')
    await sent(client, patterned(1, size), port)
    const [message] = (await arrived) as [Buffer]
    const memory = message.buffer.byteLength
    t.ok(memory === size || memory <= pool, `${size} bytes in ${memory}`)
  }
})

t.test(
  'a listener may write to its message, also while others of its batch are still to come',
  async t => {
    const security = await identified()
    const { socket: server, port } = await boundSocket(t, security)
    const client = datagramSocket(t, { security })
    await client.secure({ address: LOOPBACK, port })
    const wrong: number[] = []
    let count = 0
    server.on('message', message => {
      count += 1
      if (!message.equals(patterned(count, message.length))) wrong.push(count)
      message.fill(0xff)
    })
    for (const size of [64, 1200]) {
      const before = count
      const burst = Array.from({ length: 40 }, (_, index) => patterned(before + index + 1, size))
      await Promise.all(burst.map(message => sent(client, message, port)))
      await until('the burst has come', () => count === before + burst.length)
    }
    t.same(wrong, [])
  },
)

/** What belongs to one message belongs to no other. */
function writeToEverySecond(t: Test, kept: readonly Buffer[], sent: readonly Buffer[]): void {
  for (const [index, message] of kept.entries()) if (index % 2 === 0) message.fill(0xff)
  const touched = kept.filter(
    (message, index) => index % 2 === 1 && !message.equals(sent[index] as Buffer),
  )
  t.equal(touched.length, 0, 'writing to one changes no other')
}

/** Bytes that no other message has. */
function patterned(number: number, size: number): Buffer {
  const message = Buffer.alloc(size)
  let state = number
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    message[index] = state >>> 24
  }
  return message
}

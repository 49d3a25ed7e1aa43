/**
 * Whatever is sent, and however the system answers: every datagram leaves once or its sender is told
 * that it did not, in order for each peer, and byte for byte.
 */
import { constants } from 'node:os'
import t, { type Test } from 'tap'
import type { Destination } from '../../../src/providers/datagram-provider.js'
import { type Random, seededRandom } from '../../model/random.js'
import type { FakeSystem, Message } from './fake-system.js'
import { commit, destination, sending, tickOver } from './sending.js'

if (process.platform !== 'linux') {
  t.plan(0, 'only Linux sends like this')
  process.exit()
}

const { EAGAIN, ECONNREFUSED, EINVAL, EMSGSIZE, ENETUNREACH, ENOBUFS } = constants.errno
const peers = 8
const connectedTo = 1
const unreachable = 3
const smallMtu = 4

/** What a sender knows of one of his datagrams. */
interface Sent {
  readonly number: number
  readonly port: number
  readonly bytes: Buffer
  result: Error | null | undefined
}

for (const segments of [true, false]) {
  for (const connected of [false, true]) {
    t.test(`segments: ${segments}, connected: ${connected}`, async t => {
      const random = seededRandom(t)
      for (let round = 0; round < 40; round += 1) await play(t, random, segments, connected)
    })
  }
}

async function play(t: Test, random: Random, segments: boolean, connected: boolean) {
  const { outgoing, system, told } = sending({ segments })
  const destinations = Array.from({ length: peers }, (_, index) => destination(index + 1))
  if (connected) outgoing.connected({ address: '192.0.2.7', port: connectedTo })
  const sent: Sent[] = []
  let inside = false
  const within = (call: () => void) => {
    inside = true
    call()
    inside = false
  }
  const mood = answers(random, system, connected)

  const steps = 5 + random.below(40)
  for (let step = 0; step < steps; step += 1) {
    const action = random.below(20)
    if (action < 12) within(() => burst())
    else if (action < 14) within(() => outgoing.flush())
    else if (action < 17) within(() => outgoing.writable())
    else if (action < 18) mood.change()
    else await tickOver()
  }
  const closes = random.below(3) === 0
  if (closes) within(() => outgoing.close())
  else {
    mood.calm()
    for (let tries = 0; outgoing.queued.datagrams > 0 && tries < 10_000; tries += 1) {
      within(() => outgoing.writable())
      await new Promise<void>(resolve => process.nextTick(resolve))
    }
  }
  await tickOver()
  await tickOver()

  t.match(outgoing.queued, { datagrams: 0, bytes: 0 })
  if (!closes && told.wanted.length > 0) t.equal(told.wanted.at(-1), false, 'no longer wanted')
  t.same(
    told.wanted.filter((wanted, index) => wanted !== (index % 2 === 0)),
    [],
    'wanted and not wanted take turns',
  )
  check(t, system, sent)

  function burst() {
    const count = random.of([1, 1, 2, 5, 40, 200])
    const size = random.of([1, 64, 64, 1200, 16_000])
    const only = random.of([0, 0, 1 + random.below(peers)])
    for (let index = 0; index < count; index += 1) {
      const length = random.below(4) === 0 ? 1 + random.below(size) : size
      const to = destinations[(only || 1 + random.below(peers)) - 1] as Destination
      one(to, length + 8, random.below(30) === 0)
    }
  }

  function one(to: Destination, length: number, isFlight: boolean) {
    const datagram: Sent = {
      number: sent.length,
      port: to.port,
      bytes: Buffer.alloc(length, sent.length),
      result: undefined,
    }
    datagram.bytes.writeUInt32LE(sent.length)
    sent.push(datagram)
    const callback = (error: Error | null) => {
      if (inside) t.fail('told inside of a call')
      if (datagram.result !== undefined) t.fail('told twice')
      datagram.result = error
    }
    if (isFlight) outgoing.send(datagram.bytes, to.address, to.port, callback)
    else commit(outgoing, datagram.bytes, to, callback)
  }
}

/** A system of changing moods: no room, small MTUs, peers that are gone. */
function answers(random: Random, system: FakeSystem, connected: boolean) {
  let room = 0
  let patient = true
  let icmp = 0
  const change = () => {
    room = random.of([0, 1, 3, 50, 1000, 1_000_000])
    patient = random.below(4) > 0
    icmp = random.below(3)
  }
  change()
  system.answer = ({ to, segment, bytes }: Message) => {
    const port = to === undefined ? connectedTo : Number(to.split(':').at(-1))
    if (connected && icmp > 0 && random.below(5) === 0) {
      icmp -= 1
      return ECONNREFUSED
    }
    if (port === unreachable) return ENETUNREACH
    if (port === smallMtu && segment > 500) return random.of([EINVAL, EMSGSIZE])
    if (segment === 0 && bytes.length === 1208 && random.below(20) === 0) return ENETUNREACH
    if (room <= 0) return patient ? EAGAIN : ENOBUFS
    room -= 1
    return 0
  }
  return {
    change,
    calm: () => {
      room = Number.POSITIVE_INFINITY
    },
  }
}

/** What has left is what was sent, less what somebody was told of; for each peer in order. */
function check(t: Test, system: FakeSystem, sent: readonly Sent[]) {
  const silent = sent.filter(each => each.result === undefined)
  if (silent.length > 0) t.fail(`never told: ${silent.map(each => each.number)}`)
  for (let port = 1; port <= peers; port += 1) {
    const left = system.left.filter(
      ({ to }) => (to === undefined ? connectedTo : Number(to.split(':').at(-1))) === port,
    )
    const expected = sent.filter(each => each.port === port && each.result === null)
    const wrong = expected.findIndex(({ bytes }, index) => !left[index]?.bytes.equals(bytes))
    if (wrong !== -1 || left.length !== expected.length) {
      t.same(
        left.map(({ bytes }) => bytes.readUInt32LE()),
        expected.map(each => each.number),
        `peer ${port}`,
      )
      t.equal(wrong, -1, `peer ${port}: the bytes of datagram ${wrong}`)
    }
  }
  t.equal(system.left.length, sent.filter(each => each.result === null).length)
}

/**
 * Two hosts and a link between them, of a smaller MTU than loopback's: messages that are larger than
 * that, in bursts, where no run of them can be one message to the system; a link that becomes smaller,
 * ends and comes again; a path that is narrower behind a router; a link that is slow.
 */
import { spawnSync } from 'node:child_process'
import t, { type Test } from 'tap'
import * as linux from '../../../lib/linux-sockets.js'
import { handleOf } from '../../../src/sockets/dgram/handle.js'
import type { SecureDgramSocket } from '../../../src/sockets/secure-dgram-socket.js'
import { event } from '../../support/events.js'
import { datagramSocket, identified } from '../../support/secured-datagrams.js'
import { until } from '../../support/until.js'
import { type Arrival, here, Room } from './room.js'

const NEAR = '10.0.0.1'
const FAR = '10.0.0.2'
const PORT = 5000
/** So many go out at once. */
const BURST = 32

/** Bytes that DTLS 1.2 adds to a message: header 13, explicit nonce 8, tag 16. UDP and IPv4 add 28. */
const RECORD = 37
const HEADERS = 28

/** ip(7) */
const IP_MTU_DISCOVER = 10
const IP_PMTUDISC_DO = 2

const security = await identified([NEAR, FAR])

t.test('bursts of every size arrive, in order, over a link of 600 bytes', async t => {
  const { far } = await network(t, 600)
  const socket = await speaker(t)
  const full = 600 - HEADERS - RECORD
  for (const size of [64, full - 1, full, full + 1, 1200, 1472, 4000, 16384]) {
    const outcomes = burst(socket, FAR, 0, BURST, size)
    t.same(await far.arrivals(BURST), numbered(0, BURST, size), `${size} bytes`)
    t.same(await outcomes, Array(BURST).fill(null), 'no callback has an error')
  }
  const mixed = Array.from({ length: BURST }, (_, index) => [64, 1200, 300, 2000][index % 4] ?? 0)
  const outcomes = mixed.map((size, number) => sent(socket, FAR, number, size))
  const expected = mixed.map((size, number) => ({ number, size }))
  t.same(await far.arrivals(BURST), expected, 'all sizes in one tick')
  t.same(await Promise.all(outcomes), Array(BURST).fill(null))
})

t.test('a connected socket does the same', async t => {
  const { far } = await network(t, 600)
  const socket = await speaker(t)
  socket.connect(PORT, FAR)
  await event(socket, 'connect')
  for (const size of [64, 1200, 4000]) {
    const outcomes = burst(socket, undefined, 0, BURST, size)
    t.same(await far.arrivals(BURST), numbered(0, BURST, size), `${size} bytes`)
    t.same(await outcomes, Array(BURST).fill(null))
  }
})

t.test('a link whose MTU changes while the socket lives', async t => {
  const { far } = await network(t, 1500)
  const socket = await speaker(t)
  for (const mtu of [1500, 576, 1500, 700, 9000]) {
    here(`ip link set near mtu ${mtu}`)
    await far.run(`ip link set far mtu ${mtu}`)
    const outcomes = burst(socket, FAR, 0, BURST, 1200)
    t.same(await far.arrivals(BURST), numbered(0, BURST, 1200), `${mtu} bytes`)
    t.same(await outcomes, Array(BURST).fill(null))
  }
})

t.test('where nothing may be cut, what is too large fails alone, as with node:dgram', async t => {
  const { far } = await network(t, 600)
  const socket = await speaker(t)
  t.same(await burst(socket, FAR, 0, 1, 64), [null])
  await far.arrivals(1)
  t.equal(
    linux.setsockopt(descriptorOf(socket), linux.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO),
    0,
  )

  for (const large of [
    [5],
    [0, 1, 2, 3, 8, 9, 30],
    Array.from({ length: 31 }, (_, index) => index),
  ]) {
    const sizes = Array.from({ length: BURST }, (_, index) => (large.includes(index) ? 1200 : 100))
    const outcomes = sizes.map((size, number) => sent(socket, FAR, number, size))
    const small = sizes.map((size, number) => ({ number, size })).filter(({ size }) => size === 100)
    t.same(await far.arrivals(small.length), small, `all but ${large.length} arrive`)
    const refused = { code: 'EMSGSIZE', syscall: 'send', address: FAR, port: PORT }
    const expected = sizes.map(size => (size === 100 ? null : refused))
    t.match(await Promise.all(outcomes), expected, 'and each of these hears of it')
  }
  t.same(await burst(socket, FAR, 0, BURST, 500), Array(BURST).fill(null), 'it sends as before')
  t.same(await far.arrivals(BURST), numbered(0, BURST, 500))
})

t.test('no way to the peer is an error of each datagram, until there is one', async t => {
  const { far } = await network(t, 1500)
  const socket = await speaker(t)
  t.same(await burst(socket, FAR, 0, BURST, 100), Array(BURST).fill(null))
  await far.arrivals(BURST)
  here('ip link set near down')
  const lost = { code: 'ENETUNREACH', syscall: 'send', address: FAR, port: PORT }
  t.match(await burst(socket, FAR, 0, BURST, 100), Array(BURST).fill(lost))
  here('ip link set near up')
  t.same(await burst(socket, FAR, 100, BURST, 100), Array(BURST).fill(null))
  t.same(await far.arrivals(BURST), numbered(100, BURST, 100), 'the security is still there')
})

t.test('a path that is narrower behind a router', async t => {
  const router = await Room.open(t)
  const far = await Room.open(t)
  linkTo(t, router, 1500)
  await router.run(
    'ip address add 10.0.0.2/24 dev far',
    'ip link set far up',
    `ip link add narrow mtu 600 type veth peer name end mtu 600 netns ${far.pid}`,
    'ip address add 10.0.1.1/24 dev narrow',
    'ip link set narrow up',
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
  )
  await far.run(
    'ip address add 10.0.1.2/24 dev end',
    'ip link set end up',
    'ip route add default via 10.0.1.1',
  )
  here('ip route add default via 10.0.0.2')
  const security = await identified(['10.0.1.2', NEAR])
  await far.listen('10.0.1.2', PORT, security)
  for (const connected of [false, true]) {
    const socket = datagramSocket(t, { security })
    socket.bind(0, NEAR)
    await event(socket, 'listening')
    if (connected) {
      socket.connect(PORT, '10.0.1.2')
      await event(socket, 'connect')
    }
    await socket.secure({ address: '10.0.1.2', port: PORT })
    here('ip route flush cache')
    const to = connected ? undefined : '10.0.1.2'
    // What has left before the router said so is lost, as any UDP would be.
    const first = await burst(socket, to, 0, BURST, 1200)
    t.same(first, Array(BURST).fill(null), 'the system has taken them')
    await hasLearnt('10.0.1.2', 600)
    const outcomes = burst(socket, to, 100, BURST, 1200)
    const title = connected ? 'connected' : 'unconnected'
    t.same(await far.arrivals(BURST, 100), numbered(100, BURST, 1200), title)
    t.same(await outcomes, Array(BURST).fill(null), 'the news of the router fails nothing')
  }
})

t.test(
  'a slow link: what the system does not take waits, in order, and all of it leaves',
  async t => {
    const { far } = await network(t, 1500)
    const shaper = 'tc qdisc replace dev near root tbf rate 20mbit burst 20000 limit 10000000'
    const attempt = spawnSync('sh', ['-c', shaper], { encoding: 'utf8' })
    if (attempt.status !== 0) {
      t.pass('a slow link', {
        skip: `this kernel cannot slow a link down: ${attempt.stderr.trim()}`,
      })
      return
    }
    const socket = await speaker(t, { sendBufferSize: 20_000 })
    // 0.7 MB, which take some 0.3 s, through a buffer of 40 kB.
    const outcomes = burst(socket, FAR, 0, 600, 1200)
    await new Promise(resolve => setImmediate(resolve))
    t.ok(socket.getSendQueueCount() > 0, 'some datagrams wait')
    t.ok(socket.getSendQueueSize() > 0, 'and are counted')
    t.same(await far.arrivals(600), numbered(0, 600, 1200))
    t.same(await outcomes, Array(600).fill(null))
    t.same([socket.getSendQueueCount(), socket.getSendQueueSize()], [0, 0])
  },
)

/** A link to another host, which listens. */
async function network(t: Test, mtu: number): Promise<{ far: Room }> {
  const far = await Room.open(t)
  linkTo(t, far, mtu)
  await far.run('ip address add 10.0.0.2/24 dev far', 'ip link set far up')
  await far.listen(FAR, PORT, security)
  return { far }
}

/** Interface `near` of this network, and `far` of that room, which it sets up itself. */
function linkTo(t: Test, room: Room, mtu: number): void {
  here(
    `ip link add near mtu ${mtu} type veth peer name far mtu ${mtu} netns ${room.pid}`,
    'ip address add 10.0.0.1/24 dev near',
    'ip link set near up',
  )
  t.teardown(() => here('ip link delete near'))
}

/** A bound socket of ours, which has secured the far host where that is there. */
async function speaker(t: Test, options: object = {}): Promise<SecureDgramSocket> {
  const socket = datagramSocket(t, { security, ...options })
  socket.bind(0, NEAR)
  await event(socket, 'listening')
  await socket.secure({ address: FAR, port: PORT })
  return socket
}

/** Sends so many messages in one tick, and gives what their callbacks were told. */
function burst(
  socket: SecureDgramSocket,
  address: string | undefined,
  first: number,
  count: number,
  size: number,
): Promise<(Error | null)[]> {
  const each = numbered(first, count, size)
  return Promise.all(each.map(({ number }) => sent(socket, address, number, size)))
}

/** What its callback was told. */
function sent(
  socket: SecureDgramSocket,
  address: string | undefined,
  number: number,
  size: number,
): Promise<Error | null> {
  const message = Buffer.alloc(size)
  message.writeUInt32BE(number)
  return new Promise(resolve => {
    if (address === undefined) socket.send(message, resolve)
    else socket.send(message, PORT, address, resolve)
  })
}

function numbered(first: number, count: number, size: number): Arrival[] {
  return Array.from({ length: count }, (_, index) => ({ number: first + index, size }))
}

function descriptorOf(socket: SecureDgramSocket): number {
  return (handleOf(socket) as unknown as { fd: number }).fd
}

/** The router's word has come: the system knows how narrow the way is. */
async function hasLearnt(address: string, mtu: number): Promise<void> {
  await until(`the path to ${address} is known to be narrow`, () => {
    const { stdout } = spawnSync('ip', ['route', 'get', address], { encoding: 'utf8' })
    return stdout.includes(`mtu ${mtu}`)
  })
}

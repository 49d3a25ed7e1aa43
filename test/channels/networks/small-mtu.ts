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

t.test('a link-local peer, whose link is made anew', async t => {
  const far = await Room.open(t)
  const link = async () => {
    here(
      `ip link add near mtu 1500 type veth peer name far mtu 1500 netns ${far.pid}`,
      'ip link set near up',
      'ip address add fe80::1/64 dev near nodad',
    )
    await far.run('ip link set far up', 'ip address add fe80::2/64 dev far nodad')
  }
  t.teardown(() => here('ip link delete near'))
  await link()
  const security = await identified(['fe80::1', 'fe80::2'])
  await far.listen('::', PORT, security)
  const socket = datagramSocket(t, { type: 'udp6', security })
  socket.bind()
  await event(socket, 'listening')
  await socket.secure({ address: 'fe80::2%near', port: PORT })
  t.same(await burst(socket, 'fe80::2%near', 0, BURST, 100), Array(BURST).fill(null))
  t.same(await far.arrivals(BURST), numbered(0, BURST, 100))

  here('ip link delete near')
  // The interface has the same name then, and another number.
  await link()
  await until('a message arrives', () => {
    void sent(socket, 'fe80::2%near', 100, 100)
    return far.arrived > 0
  })
  t.same(await burst(socket, 'fe80::2%near', 200, BURST, 100), Array(BURST).fill(null))
  t.same(await far.arrivals(BURST, 200), numbered(200, BURST, 100), 'found again by its name')
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

for (const family of [4, 6] as const) {
  t.test(`a path that is narrower behind a router, by IPv${family}`, async t => {
    const router = await Room.open(t)
    const far = await Room.open(t)
    const host = (net: number, number: number) =>
      family === 4 ? `10.0.${net}.${number}` : `fd00:${net}::${number}`
    const [near, gate, next, end] = [host(0, 1), host(0, 2), host(1, 1), host(1, 2)]
    const add = (address: string, link: string) =>
      family === 4
        ? `ip address add ${address}/24 dev ${link} && ip link set ${link} up`
        : `ip link set ${link} up && ip address add ${address}/64 dev ${link} nodad`
    linkTo(t, router, 1500)
    await router.run(
      add(gate, 'far'),
      `ip link add narrow mtu 1280 type veth peer name end mtu 1280 netns ${far.pid}`,
      add(next, 'narrow'),
      'echo 1 > /proc/sys/net/ipv4/ip_forward',
      'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
    )
    await far.run(add(end, 'end'), `ip -${family} route add default via ${next}`)
    if (family === 6) here(add(near, 'near'))
    here(`ip -${family} route add default via ${gate}`)
    const security = await identified([end, near])
    await far.listen(end, PORT, security)
    for (const connected of [false, true]) {
      const socket = datagramSocket(t, { type: `udp${family}`, security })
      socket.bind(0, near)
      await event(socket, 'listening')
      if (connected) {
        socket.connect(PORT, end)
        await event(socket, 'connect')
      }
      await socket.secure({ address: end, port: PORT })
      here(`ip -${family} route flush cache`)
      const to = connected ? undefined : end
      // The router cuts them, or they are lost and it says so.
      const first = await burst(socket, to, 0, BURST, 1400)
      t.same(first, Array(BURST).fill(null), 'the system has taken them')
      await until('the burst has come, or the router’s word', () => {
        return far.arrived === BURST || pathTo(end).includes('mtu 1280')
      })
      const outcomes = burst(socket, to, 100, BURST, 1400)
      const title = connected ? 'connected' : 'unconnected'
      t.same(await far.arrivals(BURST, 100), numbered(100, BURST, 1400), title)
      t.same(await outcomes, Array(BURST).fill(null), 'the news of the router fails nothing')
    }
  })
}

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

/** What the system knows of the way there. */
function pathTo(address: string): string {
  return spawnSync('ip', ['route', 'get', address], { encoding: 'utf8' }).stdout
}

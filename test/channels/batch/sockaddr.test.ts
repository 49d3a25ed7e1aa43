/** Addresses as the system has them: what node:dgram sends to, and what it says of a source. */
import dgram from 'node:dgram'
import t from 'tap'
import { sockaddr, sockaddrBytes, sourceAt } from '../../../src/channels/batch/sockaddr.js'
import { seededRandom } from '../../model/random.js'
import { event } from '../../support/events.js'

if (process.platform !== 'linux') {
  t.plan(0, 'the numbers and the layout are those of Linux')
  process.exit()
}

const bytesOf = (words: Uint32Array | undefined, length: number) =>
  words && Buffer.from(words.buffer, words.byteOffset, length).toString('hex')

t.test('the layout of netinet/in.h', async t => {
  t.equal(sockaddrBytes(4), 16)
  t.equal(sockaddrBytes(6), 28)
  t.equal(bytesOf(sockaddr(4, '192.0.2.7', 0x1234), 32), `02001234c0000207${'00'.repeat(24)}`)
  t.equal(
    bytesOf(sockaddr(6, '2001:db8::5', 443), 32),
    `0a0001bb0000000020010db8000000000000000000000005${'00'.repeat(8)}`,
  )
  t.equal(
    bytesOf(sockaddr(6, '192.0.2.7', 1), 28),
    `0a0000010000000000000000000000000000ffffc000020700000000`,
    'IPv4 on a socket of IPv6',
  )
  t.same(sockaddr(6, '::ffff:192.0.2.7', 1), sockaddr(6, '192.0.2.7', 1))
  t.same(sockaddr(6, '::FFFF:c000:207', 1), sockaddr(6, '192.0.2.7', 1))
})

t.test('what is no address there', async t => {
  for (const address of ['', 'localhost', '256.0.0.1', '1.2.3', '::1', '1.2.3.4%lo', '1.2.3.4 '])
    t.equal(sockaddr(4, address, 1), undefined, address)
  for (const address of ['', 'localhost', ':::', '1:2:3:4:5:6:7:8:9', '::1 ', '::g', '300.1.1.1'])
    t.equal(sockaddr(6, address, 1), undefined, address)
})

t.test('a zone is the name of an interface or its number', async t => {
  t.equal(sockaddr(6, 'fe80::1%23', 1)?.[6], 23)
  t.equal(sockaddr(6, 'fe80::1%nosuchlink', 1)?.[6], 0, 'as node:dgram has it')
  t.equal(sockaddr(6, 'fe80::1', 1)?.[6], 0)
  const lo = sockaddr(6, 'fe80::1%lo', 1) as Uint32Array
  t.equal(lo[6], 1, 'the first interface of every system')
  t.same(sourceAt(lo, 0), { address: 'fe80::1%lo', port: 1 })
  t.not(sourceAt(lo, 0), sourceAt(lo, 0), 'not remembered: an interface can be given another name')
  lo[6] = 0x7fff_fff0
  t.same(sourceAt(lo, 0), { address: 'fe80::1%2147483632', port: 1 }, 'of a link that is gone')
})

t.test('back and forth, whatever the address', async t => {
  const random = seededRandom(t)
  const memory = new Uint32Array(64)
  for (let index = 0; index < 3000; index += 1) {
    const family = random.of([4, 6] as const)
    const address = family === 4 ? ipv4(random) : ipv6(random)
    const port = random.below(65536)
    const at = random.below(56)
    memory.fill(random.below(2 ** 32))
    const words = sockaddr(family, address, port)
    if (!words) return t.fail(address)
    memory.set(words.subarray(0, sockaddrBytes(family) / 4), at)
    const source = sourceAt(memory, at)
    if (source.port !== port) t.fail(`${source.port} for ${port}`)
    if (bytesOf(sockaddr(family, source.address, port), 32) !== bytesOf(words, 32))
      t.fail(`${source.address} for ${address}`)
    if (family === 4 && source.address !== address) t.fail(`${source.address} for ${address}`)
  }
})

function ipv4(random: { below(limit: number): number }): string {
  return Array.from({ length: 4 }, () => random.below(256)).join('.')
}

function ipv6(random: { below(limit: number): number }): string {
  const zeros = random.below(9)
  const from = random.below(9)
  const groups = Array.from({ length: 8 }, (_, index) =>
    index >= from && index < from + zeros ? '0' : random.below(0x10000).toString(16),
  )
  return groups.join(':')
}

t.test('the same source is the same object; others never stand for it', async t => {
  const at = (port: number, host = 7) => sourceAt(sockaddr(4, `10.0.0.${host}`, port) as never, 0)
  const first = at(4000)
  t.equal(at(4000), first)
  const padded = new Uint32Array(sockaddr(4, '10.0.0.7', 4000) as Uint32Array)
  padded[2] = 0xdeadbeef
  t.equal(sourceAt(padded, 0), first, 'whatever stands in the padding')
  // More than are remembered: all of them are told apart, and the first one is known again or anew.
  for (let port = 1; port < 30_000; port += 1) {
    const source = at(port, port % 5)
    if (source.port !== port || source.address !== `10.0.0.${port % 5}`) t.fail(`port ${port}`)
  }
  t.same(at(4000), { address: '10.0.0.7', port: 4000 })
  // A thousand peers with neighbouring ports do not displace each other.
  const known = Array.from({ length: 1024 }, (_, index) => at(20_000 + index))
  const same = known.filter((each, index) => at(20_000 + index) === each).length
  t.ok(same > 980, `${same} of 1024 are remembered`)
})

t.test('as node:dgram writes them', async t => {
  for (const [type, address, family] of [
    ['udp4', '127.0.0.1', 4],
    ['udp6', '::1', 6],
    ['udp6', '::ffff:127.0.0.1', 6],
  ] as const) {
    const [from, to] = [dgram.createSocket(type), dgram.createSocket({ type })]
    t.teardown(() => {
      from.close()
      to.close()
    })
    to.bind(0)
    await event(to, 'listening')
    from.send('x', to.address().port, address)
    const [, source] = (await event(to, 'message')) as [Buffer, dgram.RemoteInfo]
    const words = sockaddr(family, source.address, source.port) as Uint32Array
    t.match(source, sourceAt(words, 0), address)
  }
})

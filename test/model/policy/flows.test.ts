import { BlockList, isIPv4 } from 'node:net'
import t from 'tap'
import { includes, parseAddressRange } from '../../../src/model/policy/address-range.js'
import {
  type Flow,
  mayStayClear,
  needsAddress,
  staysClear,
} from '../../../src/model/policy/flows.js'
import { parsePolicy } from '../../../src/model/policy/parse.js'
import { targetNameFor } from '../../../src/model/policy/target-names.js'
import { seededRandom } from '../random.js'

const policy = (contents: object) => parsePolicy(JSON.stringify(contents), '/policy.json')
const clear = (...rules: object[]) => policy({ clear: rules })
const out: Flow = { transport: 'tcp', direction: 'out' }

t.test('nothing stays clear that no rule names', async t => {
  for (const flow of [
    out,
    { ...out, address: '127.0.0.1', port: 1 },
    { ...out, transport: 'pipe' },
  ]) {
    for (const each of [null, policy({}), clear()]) t.notOk(staysClear(each, flow as Flow))
  }
  t.notOk(
    staysClear(clear({ port: 1 }), { ...out, transport: 'pipe', port: 1 }),
    'a pipe has no port',
  )
  t.notOk(staysClear(clear({ pipes: true }), { ...out, address: '127.0.0.1' }))
  t.notOk(staysClear(clear({ address: '0.0.0.0/0' }), out), 'what is not known does not match')
  t.notOk(staysClear(clear({ address: '0.0.0.0/0' }), { ...out, host: 'db.internal' }))
  t.notOk(staysClear(clear({ host: 'db' }), { ...out, address: '10.0.0.1' }))
  t.notOk(
    staysClear(clear({ loopback: true }), { ...out, host: 'localhost' }),
    'a resolver may lie',
  )
  t.notOk(staysClear(clear({ address: '0.0.0.0/0' }), { ...out, address: '::1' }))
})

t.test('all of a rule must hold', async t => {
  const rule = { transport: 'udp', direction: 'in', address: 'fd00::/8', port: '10-20' }
  const flow: Flow = { transport: 'udp', direction: 'in', address: 'fd12::1', port: 10 }
  t.ok(staysClear(clear({ port: 1 }, rule), flow))
  for (const other of [
    { transport: 'tcp' },
    { direction: 'out' },
    { address: 'fe00::1' },
    { address: '253.0.0.1' },
    { port: 9 },
    { port: 21 },
    { port: undefined },
  ] as Partial<Flow>[])
    t.notOk(staysClear(clear(rule), { ...flow, ...other }), JSON.stringify(other))
})

t.test('hosts by name, however they are written', async t => {
  const matches = (pattern: string, host: string) =>
    staysClear(clear({ host: pattern }), { ...out, host })
  t.ok(matches('DB.Example.com', 'db.example.COM.'))
  t.ok(matches('*.example.com', 'a.b.example.com'))
  for (const [pattern, host] of [
    ['example.com', 'a.example.com'],
    ['*.example.com', 'example.com'],
    ['*.example.com', '.example.com'],
    ['*.example.com', 'badexample.com'],
    ['example.com', 'example.com.evil.test'],
  ] as const)
    t.notOk(matches(pattern, host), `${pattern} ${host}`)
})

t.test('addresses however they are written', async t => {
  const matches = (address: string, peer: string) =>
    staysClear(clear({ address }), { ...out, address: peer })
  t.ok(matches('10.0.0.1', '::ffff:10.0.0.1') && matches('10.0.0.0/8', '::ffff:0a01:0203'))
  t.ok(matches('::ffff:10.0.0.0/104', '10.9.9.9'), 'a range in the form of IPv6')
  t.ok(matches('::1', '0:0:0:0:0:0:0:1') && matches('fe80::/10', 'fe80::1%eth0'))
  t.ok(
    staysClear(clear({ address: '10.0.0.1' }), { ...out, host: '10.0.0.1' }),
    'called by its address',
  )
  t.notOk(matches('10.0.0.1', '10.0.0.10') || matches('::/0', '10.0.0.1'))
  for (const text of [
    '10.0.0.1/8',
    '10.0.0.0/33',
    '::/129',
    '10.0.0',
    '010.0.0.1',
    '1.2.3.4/',
    '::ffff:10.0.0.0/95',
    'fe80::1%lo',
    '',
  ])
    t.equal(parseAddressRange(text), undefined, text)
})

// Node's own list, as somebody else's opinion. It knows no IPv4-mapped ranges, so these are above.
t.test('ranges contain what they should, by another account too', async t => {
  const random = seededRandom(t)
  for (let round = 0; round < 2000; round++) {
    const four = random.below(2) === 0
    const length = four ? 4 : 16
    const bits = random.below(length * 8 + 1)
    const bytes = Array.from({ length }, () => random.below(256))
    const base = bytes.map(
      (byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - at * 8))) & 0xff,
    )
    const other =
      random.below(3) === 0
        ? bytes
        : bytes.map((byte, at) => (at === random.below(length) ? random.below(256) : byte))
    const list = new BlockList()
    const family = four ? 'ipv4' : 'ipv6'
    list.addSubnet(text(base), bits, family)
    const range = parseAddressRange(`${text(base)}/${bits}`)
    if (range === undefined) return t.fail(`${text(base)}/${bits} is a range`)
    const expected = list.check(text(other), family)
    if (includes(range, text(other)) !== expected)
      return t.equal(includes(range, text(other)), expected, `${text(base)}/${bits} ${text(other)}`)
  }
  t.pass('2000 ranges')

  function text(bytes: number[]): string {
    const four = bytes.join('.')
    if (isIPv4(four)) return four
    const groups = Array.from(
      { length: 8 },
      (_, at) => ((bytes[2 * at] as number) << 8) + (bytes[2 * at + 1] as number),
    )
    return groups.map(each => each.toString(16)).join(':')
  }
})

t.test('what is asked before a flow is known', async t => {
  const some = clear({ address: '10.0.0.0/8', transport: 'tcp', direction: 'out' })
  t.ok(mayStayClear(some, 'tcp') && mayStayClear(some, 'tcp', 'out'))
  t.notOk(
    mayStayClear(some, 'tcp', 'in') || mayStayClear(some, 'udp') || mayStayClear(some, 'pipe'),
  )
  t.ok(mayStayClear(clear({ pipes: true }), 'pipe'))
  t.notOk(mayStayClear(null, 'tcp') || mayStayClear(clear({ pipes: true }), 'tcp'))
  t.ok(needsAddress(some, { ...out, host: 'db', port: 1 }))
  t.notOk(needsAddress(some, { ...out, host: '192.168.0.1' }), 'it is one')
  t.notOk(needsAddress(some, { transport: 'udp', direction: 'out', host: 'db' }))
  t.notOk(
    needsAddress(clear({ host: 'db' }, { loopback: true }), { ...out, host: 'db' }),
    'it is clear already',
  )
  t.notOk(needsAddress(null, { ...out, host: 'db' }))
})

t.test('the first name that matches counts', async t => {
  const named = policy({
    targetNames: [
      { host: 'a.internal', port: 1, targetName: 'first' },
      { host: '*.internal', targetName: 'second' },
      { port: 1, targetName: 'third' },
    ],
  })
  t.equal(targetNameFor(named, { ...out, host: 'a.internal', port: 1 }), 'first')
  t.equal(targetNameFor(named, { ...out, host: 'a.internal', port: 2 }), 'second')
  t.equal(targetNameFor(named, { ...out, host: 'b', port: 1 }), 'third')
  t.equal(targetNameFor(named, { ...out, host: 'b', port: 2 }), undefined)
  t.equal(targetNameFor(null, { ...out, host: 'b', port: 2 }), undefined)
})

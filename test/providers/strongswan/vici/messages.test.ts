/**
 * The bytes of VICI: as strongSwan's own description gives them, as a daemon has sent them, and as
 * whoever listens at that path may send them. What is not exactly a message is refused.
 */
import t from 'tap'
import { decodeMessage } from '../../../../src/providers/strongswan/vici/decode.js'
import { encodeMessage } from '../../../../src/providers/strongswan/vici/encode.js'
import {
  COMMAND_REQUEST,
  COMMAND_RESPONSE,
  COMMAND_UNKNOWN,
  decodePacket,
  EVENT,
  EVENT_CONFIRM,
  EVENT_REGISTER,
  EVENT_UNKNOWN,
  encodePacket,
  MAX_PACKET,
} from '../../../../src/providers/strongswan/vici/packets.js'
import {
  listOf,
  type Message,
  type Section,
  sectionOf,
  sectionsOf,
  textOf,
} from '../../../../src/providers/strongswan/vici/section.js'
import { charon, hostile } from './corpus.js'

t.test('a message, byte for byte', async t => {
  const message = {
    key1: 'value1',
    section1: { 'sub-section': { key2: 'value2' }, list1: ['item1', 'item2'] },
  }
  const bytes = Buffer.concat([
    Buffer.from([3, 4]),
    Buffer.from('key1'),
    Buffer.from([0, 6]),
    Buffer.from('value1'),
    Buffer.from([1, 8]),
    Buffer.from('section1'),
    Buffer.from([1, 11]),
    Buffer.from('sub-section'),
    Buffer.from([3, 4]),
    Buffer.from('key2'),
    Buffer.from([0, 6]),
    Buffer.from('value2'),
    Buffer.from([2, 4, 5]),
    Buffer.from('list1'),
    Buffer.from([5, 0, 5]),
    Buffer.from('item1'),
    Buffer.from([5, 0, 5]),
    Buffer.from('item2'),
    Buffer.from([6, 2]),
  ])
  t.same(encodeMessage(message), bytes)
  t.same(decodeMessage(bytes), message)
})

t.test('what stands for values', async t => {
  const message = {
    yes: true,
    no: false,
    number: 17,
    bytes: Buffer.from([0, 255]),
    none: undefined,
  }
  t.same(decodeMessage(encodeMessage(message), 'latin1'), {
    yes: 'yes',
    no: 'no',
    number: '17',
    bytes: '\0\xff',
  })
  t.same(decodeMessage(encodeMessage({ list: [], section: {}, value: '' })), {
    list: [],
    section: {},
    value: '',
  })
  t.equal(decodeMessage(encodeMessage({ a: Buffer.from('Jürgen') })).a, 'Jürgen')
})

t.test('names that are nothing special', async t => {
  const message = JSON.parse('{"__proto__": "a", "constructor": {"then": "b"}, "toString": ["c"]}')
  const section = decodeMessage(encodeMessage(message))
  t.equal(Object.getPrototypeOf(section), null)
  t.same(Object.keys(section), ['__proto__', 'constructor', 'toString'])
  t.equal(textOf(section, '__proto__'), 'a')
  t.equal(textOf(decodeMessage(Buffer.alloc(0)), 'toString'), undefined)
})

t.test('reading a section', async t => {
  const section = decodeMessage(encodeMessage({ text: 'a', list: ['b'], section: { c: 'd' } }))
  t.equal(textOf(section, 'text'), 'a')
  t.same(listOf(section, 'list'), ['b'])
  t.same(sectionOf(section, 'section'), { c: 'd' })
  t.same(sectionsOf(section), [['section', { c: 'd' }]])
  for (const key of ['text', 'section', 'absent']) t.same(listOf(section, key), [])
  for (const key of ['list', 'section', 'absent']) t.equal(textOf(section, key), undefined)
  for (const key of ['list', 'text', 'absent']) t.equal(sectionOf(section, key), undefined)
  t.equal(textOf(undefined, 'a'), undefined)
  t.same(listOf(undefined, 'a'), [])
  t.same(sectionsOf(undefined), [])
})

t.test('what VICI cannot carry is not sent', async t => {
  const secret = 'correct horse'
  const deep = (depth: number): Message => (depth === 0 ? {} : { a: deep(depth - 1) })
  t.equal(encodeMessage(deep(32)).length, 32 * 4)
  t.ok(encodeMessage({ ['x'.repeat(255)]: 'y'.repeat(65_535) }))
  const cases: Message[] = [
    { '': secret },
    { ['x'.repeat(256)]: secret },
    { ä: secret },
    { 'a\n': secret },
    { data: `${secret}${'y'.repeat(65_535)}` },
    { data: Buffer.alloc(65_536) },
    { data: [`${secret}\n`] },
    { data: `${secret}ä` },
    { section: { data: `${secret}\0` } },
    deep(33),
  ]
  for (const message of cases) {
    t.throws(() => encodeMessage(message), {
      code: 'EINVAL',
      message: /^a message to strongSwan cannot be sent: (?:(?!correct).)*$/,
    })
  }
})

t.test('packets', async t => {
  t.same(
    encodePacket(COMMAND_REQUEST, 'version'),
    Buffer.from([0, 0, 0, 9, 0, 7, ...Buffer.from('version')]),
  )
  t.same(
    encodePacket(EVENT_REGISTER, 'log', { a: 'b' }),
    Buffer.from([0, 0, 0, 11, 3, 3, ...Buffer.from('log'), 3, 1, 97, 0, 1, 98]),
  )
  t.throws(() => encodePacket(COMMAND_REQUEST, ''), { code: 'EINVAL' })
  const eight = Object.fromEntries('abcdefgh'.split('').map(name => [name, Buffer.alloc(65_000)]))
  t.ok(encodePacket(COMMAND_REQUEST, 'x', eight).length < MAX_PACKET)
  t.throws(() => encodePacket(COMMAND_REQUEST, 'x', { ...eight, i: Buffer.alloc(5000) }), {
    code: 'EMSGSIZE',
    message: /\(x\) has \d+ bytes, and it takes 524288/,
  })
})

t.test('what a daemon has sent', async t => {
  const types: Record<number, number> = {}
  const messages = new Map<string, Section>()
  for (const { name, bytes } of charon) {
    const { type, name: event, message } = decodePacket(bytes)
    types[type] = (types[type] ?? 0) + 1
    const section = decodeMessage(message)
    t.same(encodeMessage(section), message, `${name}: the same bytes again`)
    messages.set(`${name} ${event}`, section)
  }
  t.ok(
    [COMMAND_RESPONSE, COMMAND_UNKNOWN, EVENT_CONFIRM, EVENT_UNKNOWN, EVENT].every(
      type => type in types,
    ),
    'every kind of packet was recorded',
  )
  t.match(messages.get('version '), { daemon: 'charon-systemd', version: '5.9.8' })
  const [[, child]] = sectionsOf(
    sectionOf(sectionOf(messages.get('list-sas list-sa'), 'secure-socket.1'), 'child-sas'),
  ) as [[string, Section]]
  t.match(child, { name: 'flow', state: 'INSTALLED', 'local-ts': ['10.9.0.1/32[udp/6000]'] })
  t.match(messages.get('unload-conn '), { success: 'no', errmsg: /'none' not found/ })
})

t.test('messages that are none', async t => {
  for (const { name, bytes } of hostile)
    t.throws(() => decodeMessage(bytes), /^(?!.*(?:undefined|NaN))/, name)
  for (const bytes of [[EVENT], [EVENT, 1], [EVENT, 255, 97]])
    t.throws(() => decodePacket(Buffer.from(bytes)), /inside of the name of an event/)
})

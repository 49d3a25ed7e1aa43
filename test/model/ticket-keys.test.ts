/** The setting ticketKeys: bytes, a list for rotation, or a function; and what stands in files. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { parseSettings } from '../../src/model/settings.js'
import { ticketKeysInFile } from '../../src/model/ticket-keys.js'

const [current, before] = [randomBytes(48), randomBytes(48)]

t.test('one key, several, or a function that gives either', async t => {
  const keysOf = (ticketKeys: unknown) => parseSettings({ ticketKeys } as object).ticketKeys?.()
  t.same(keysOf(current), [current])
  t.same(keysOf([[current], [before]]), [current, before], 'files in a list give such lists')
  t.same(keysOf([current, before]), [current, before])
  t.same(
    keysOf(() => current),
    [current],
  )
  t.same(
    keysOf(() => [current, before]),
    [current, before],
  )
  t.same(keysOf(new Uint8Array(current)), [current], 'any view of bytes')
  t.same(keysOf(new DataView(current.buffer, current.byteOffset, 48)), [current])
})

t.test('what is given is copied', async t => {
  const mine = Buffer.from(current)
  const list = [mine]
  const settings = parseSettings({ ticketKeys: list })
  mine.fill(0)
  list.length = 0
  t.same(settings.ticketKeys?.(), [current])
})

t.test('equal keys are equal settings, and a function is known by itself', async t => {
  const parsed = (ticketKeys: unknown) => parseSettings({ ticketKeys } as object)
  t.equal(parsed(current), parsed(Buffer.from(current)))
  t.equal(parsed(current), parsed([current]), 'one key is a list of one')
  t.not(parsed(current), parsed(before))
  t.not(parsed([current, before]), parsed([before, current]), 'the first one encrypts')
  const ask = () => current
  t.equal(parsed(ask), parsed(ask))
  t.not(
    parsed(ask),
    parsed(() => current),
  )
})

t.test('a wrong value says what is wanted, and nothing of a key', async t => {
  const secret = 'a secret of forty-eight characters, just as many!'.slice(0, 48)
  const wrong: [unknown, RegExp][] = [
    [Buffer.alloc(47), /^security\.ticketKeys is a Buffer of 47 bytes: .* exactly 48 bytes/],
    [Buffer.alloc(96), /a Buffer of 96 bytes/],
    [secret, /a string of 48 characters/],
    [[], /an array of 0: .*1 to 8/],
    [Array(9).fill(current), /an array of 9/],
    [[current, Buffer.alloc(3)], /a Buffer of 3 bytes/],
    [[[[current]]], /an array of 1/],
    [null, /null/],
    [() => undefined, /^security\.ticketKeys\(\) is undefined/],
    [() => secret, /^security\.ticketKeys\(\) is a string/],
    [async () => current, /^security\.ticketKeys\(\) is an object/],
  ]
  for (const [ticketKeys, message] of wrong) {
    for (const kind of ['stream', 'datagram'] as const) {
      const parse = () => parseSettings({ ticketKeys } as object, kind as 'stream')
      t.throws(parse, { code: 'EINVAL', message })
      t.notOk(messageOf(parse).includes(secret))
    }
  }
  const cause = new Error('the store is sealed')
  const ticketKeys = () => {
    throw cause
  }
  t.throws(() => parseSettings({ ticketKeys }), {
    code: 'EINVAL',
    message: 'security.ticketKeys was asked, and threw: the store is sealed',
    cause,
  })
})

t.test('a file has keys one after the other, or lines of text', async t => {
  const both = Buffer.concat([current, before])
  const lines = (encoding: 'base64' | 'hex', end: string) =>
    Buffer.from([current, before].map(key => key.toString(encoding) + end).join(''))
  t.same(ticketKeysInFile(current), [current])
  t.same(ticketKeysInFile(both), [current, before])
  for (const encoding of ['base64', 'hex'] as const) {
    for (const end of ['\n', '\r\n'])
      t.same(ticketKeysInFile(lines(encoding, end)), [current, before])
    t.same(ticketKeysInFile(Buffer.from(current.toString(encoding))), [current], 'no line end')
  }
})

t.test('a file of something else is refused', async t => {
  const half = Buffer.from(
    `${current.toString('base64')}\n${before.toString('base64').slice(0, 30)}`,
  )
  for (const content of [Buffer.alloc(0), Buffer.from('\n'), current.subarray(1), half]) {
    t.throws(() => ticketKeysInFile(content), { message: /^it has \d+ bytes: .*openssl rand/ })
  }
})

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

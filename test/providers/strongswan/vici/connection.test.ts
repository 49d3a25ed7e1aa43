/**
 * A connection to the daemon: one request at a time, answers to whoever asked, events in between,
 * and an end of everything that waits when the connection ends. What a daemon should not send ends
 * the connection with an error, whatever it is, and nothing else.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connectVici } from '../../../../src/providers/strongswan/vici/connect.js'
import {
  COMMAND_RESPONSE,
  EVENT,
  EVENT_CONFIRM,
} from '../../../../src/providers/strongswan/vici/packets.js'
import type { Section } from '../../../../src/providers/strongswan/vici/section.js'
import { event, failure } from '../../../support/events.js'
import { until } from '../../../support/until.js'
import { type FakeVici, fakeVici, packet } from '../fake-vici.js'

const elsewhere = process.platform === 'win32' && 'for unix sockets'

async function connected(t: Test, fake: FakeVici) {
  const vici = await connectVici(fake.path)
  t.teardown(() => vici.close())
  return vici
}

t.test('requests and their answers', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, {
    version: () => ({ daemon: 'charon-systemd', version: '5.9.8' }),
    'load-conn': request => ({ success: true, seen: Object.keys(request) }),
  })
  const vici = await connected(t, fake)
  const [version, loaded] = await Promise.all([
    vici.request('version'),
    vici.request('load-conn', { name: { version: 2 }, ignored: undefined }),
  ])
  t.match(version, { daemon: 'charon-systemd', version: '5.9.8' })
  t.equal(Object.getPrototypeOf(version), null)
  t.same(loaded.seen, ['name'])
  t.same(
    fake.asked.map(({ command }) => command),
    ['version', 'load-conn'],
  )
})

t.test(
  'a request is sent when the one before it is answered, and not before',
  { skip: elsewhere },
  async t => {
    let release: (() => void) | undefined
    const fake = await fakeVici(t, {
      stats: () => new Promise(resolve => (release = () => resolve({ n: '1' }))),
      version: () => ({ n: '2' }),
    })
    const vici = await connected(t, fake)
    const answers = [vici.request('stats'), vici.request('version')]
    await until('the first is asked', () => release !== undefined)
    t.same(
      fake.asked.map(({ command }) => command),
      ['stats'],
    )
    release?.()
    t.same(await Promise.all(answers), [{ n: '1' }, { n: '2' }])
  },
)

t.test('what the daemon refuses, and what it does not know', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, {
    'load-conn': () => ({ success: false, errmsg: Buffer.from('unknown option: \u001b[2Jx') }),
    'unload-conn': () => ({}),
  })
  const vici = await connected(t, fake)
  const refused = await failure(vici.request('load-conn', { name: {} }))
  t.match(refused, { name: 'SocketSecurityError', code: 'EPROTO' })
  t.match(refused.message, /strongSwan refuses load-conn: unknown option: \\u\{1b\}\[2Jx/)
  t.match(
    await failure(vici.request('unload-conn')),
    { code: 'EPROTO', message: /does not say why/ },
    'a change that is not said to have been made was not made',
  )
  t.match(await failure(vici.request('nonsense')), {
    code: 'EOPNOTSUPP',
    message: /nonsense.*5\.9/,
  })
  fake.events.clear()
  t.match(await failure(vici.on('ike-updown', () => {})), { code: 'EOPNOTSUPP' })
  t.match(await failure(vici.stream('list-sas', {}, 'list-sa', () => {})), { code: 'EOPNOTSUPP' })
  t.notOk(
    fake.asked.some(({ command }) => command === 'list-sas'),
    'what would be answered in events is not asked without them',
  )
  fake.answers.version = () => ({ version: '5.9.8' })
  t.same(await vici.request('version'), { version: '5.9.8' }, 'the connection goes on')
})

t.test('answers in events, each to whoever asked', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, {
    'list-sas': ({ child }, client) => {
      for (const n of [1, 2, 3]) client.event('list-sa', { [`${child}-${n}`]: { state: 'UP' } })
      return {}
    },
  })
  const vici = await connected(t, fake)
  const seen: string[][] = [[], []]
  await Promise.all(
    ['a', 'b'].map((child, index) =>
      vici.stream('list-sas', { child }, 'list-sa', section => {
        seen[index]?.push(...Object.keys(section))
      }),
    ),
  )
  t.same(seen, [
    ['a-1', 'a-2', 'a-3'],
    ['b-1', 'b-2', 'b-3'],
  ])
  t.same(
    fake.asked.map(({ command }) => command),
    ['+list-sa', 'list-sas', 'list-sas'],
    'registered once: each further registration would double the events',
  )
  const thrown = new Error('of the caller')
  const stream = vici.stream('list-sas', { child: 'c' }, 'list-sa', () => {
    throw thrown
  })
  t.equal(await failure(stream), thrown)
  fake.answers.version = () => ({})
  await vici.request('version')
})

t.test('events that come unasked', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, { version: () => ({}) })
  const context = new AsyncLocalStorage<string>()
  const seen: [Section, string | undefined][] = []
  const vici = await context.run('somebody', () => connected(t, fake))
  await context.run('somebody', () =>
    vici.on('ike-updown', section => seen.push([section, context.getStore()])),
  )
  await vici.on('ike-updown', section => seen.push([section, 'second']))
  fake.emit('child-updown', { nobody: 'asked' })
  fake.emit('ike-updown', { up: 'yes' })
  await vici.request('version')
  t.same(seen, [
    [{ up: 'yes' }, undefined],
    [{ up: 'yes' }, 'second'],
  ])
})

t.test('giving up', { skip: elsewhere }, async t => {
  const late: (() => void)[] = []
  const fake = await fakeVici(t, {
    stats: () => new Promise(resolve => late.push(() => resolve({ late: 'yes' }))),
    version: () => ({ version: '5.9.8' }),
  })
  const vici = await connected(t, fake)
  const timedOut = failure(vici.request('stats', {}, { timeout: 20 }))
  const stop = new AbortController()
  const aborted = failure(vici.request('get-keys', {}, { signal: stop.signal }))
  const next = vici.request('version')
  t.match(await timedOut, { code: 'ETIMEDOUT', message: /not answered stats within 20 ms/ })
  stop.abort(new Error('no more'))
  t.match(await aborted, { code: 'ECANCELED', cause: { message: 'no more' } })
  t.match(await failure(vici.request('stats', {}, { signal: stop.signal })), { code: 'ECANCELED' })
  late[0]?.()
  t.same(await next, { version: '5.9.8' }, 'the late answer is nobody’s, and not the next one’s')
  t.same(
    fake.asked.map(({ command }) => command),
    ['stats', 'version'],
    'what was given up in the queue is not asked',
  )
})

t.test('the daemon ends', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, { stats: () => undefined })
  const vici = await connected(t, fake)
  const answers = [vici.request('stats'), vici.request('version'), vici.on('log', () => {})]
  const failures = Promise.all(answers.map(failure))
  await until('it is asked', () => fake.asked.length > 0)
  await fake.stop()
  for (const error of await failures)
    t.match(error, { code: 'ECONNRESET', message: /closed its connection at .*charon\.vici/ })
  t.match(await vici.closed, { code: 'ECONNRESET' })
  t.match(await failure(vici.request('version')), { code: 'ECONNRESET' })
  t.match(await failure(vici.stream('list-sas', {}, 'list-sa', () => {})), { code: 'ECONNRESET' })
})

t.test('we end', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, { stats: () => undefined })
  const vici = await connected(t, fake)
  const answer = failure(vici.request('stats'))
  vici.close()
  vici.close()
  t.match(await answer, { code: 'ECANCELED' })
  t.match(await vici.closed, { code: 'ECANCELED' })
  await until('the daemon sees it', () => fake.clients.size === 0)
})

t.test(
  'a listener that throws ends the connection, not the process',
  { skip: elsewhere },
  async t => {
    const fake = await fakeVici(t)
    const vici = await connected(t, fake)
    const thrown = new Error('of the listener')
    await vici.on('log', () => {
      throw thrown
    })
    fake.emit('log', {})
    t.equal(await vici.closed, thrown)
  },
)

t.test('what no daemon sends ends the connection with an error', { skip: elsewhere }, async t => {
  const long = Buffer.from([0xff, 0xff, 0xff, 0xff, 1])
  const zero = Buffer.alloc(4)
  const cases: Record<string, (fake: FakeVici) => Buffer> = {
    'a length of four gigabytes': () => long,
    'a length of nothing': () => zero,
    'an answer that nobody has asked for': () =>
      Buffer.concat([packet(COMMAND_RESPONSE), packet(COMMAND_RESPONSE)]),
    'a confirmation for an answer': () => packet(EVENT_CONFIRM),
    'an unknown kind of packet': () => packet(9),
    'a request': () => packet(0),
    'an event whose name is longer than itself': () => Buffer.from([0, 0, 0, 3, EVENT, 200, 65]),
    'an event without a name': () => Buffer.from([0, 0, 0, 1, EVENT]),
    'a message that is none': () => Buffer.from([0, 0, 0, 3, COMMAND_RESPONSE, 99, 1]),
    'an event that is none': () =>
      Buffer.concat([Buffer.from([0, 0, 0, 6, EVENT, 3]), Buffer.from('log'), Buffer.from([2])]),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    const fake = await fakeVici(t, { stats: (_request, { raw }) => void raw(bytes(fake)) })
    const vici = await connected(t, fake)
    await vici.on('log', () => t.fail('no listener is told of it'))
    const outcome = await vici.request('stats').catch((error: Error) => error)
    const reason = await vici.closed
    t.match(reason, { code: 'EPROTO', message: /does not speak strongSwan's VICI/ }, name)
    if (outcome instanceof Error) t.equal(outcome, reason, name)
  }
})

t.test('answers without end are ended', { skip: elsewhere }, async t => {
  // Each event is as large as a packet can be; the limit is 256 MiB in one answer.
  const text = 'x'.repeat(65_535)
  const large = packet(
    EVENT,
    Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map(n => [`a${n}`, text])),
    'list-sa',
  )
  const fake = await fakeVici(t, {
    'list-sas': (_request, { socket }) => {
      const more = () => {
        while (!socket.destroyed && socket.write(large));
      }
      socket.on('drain', more)
      more()
      return undefined
    },
  })
  const vici = await connected(t, fake)
  let bytes = 0
  const stream = vici.stream('list-sas', {}, 'list-sa', () => (bytes += large.length), {
    timeout: 60_000,
  })
  t.match(await failure(stream), { code: 'EPROTO', message: /in events of more than/ })
  t.ok(bytes <= 256 * 1024 * 1024)
})

t.test('too many requests at once', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, { stats: () => undefined })
  const vici = await connected(t, fake)
  const waiting = Array.from({ length: 10_000 }, () => failure(vici.request('stats')))
  t.match(await failure(vici.request('stats')), { code: 'ENOBUFS' })
  vici.close()
  await Promise.all(waiting)
})

t.test('packets in any pieces', { skip: elsewhere }, async t => {
  const fake = await fakeVici(t, {
    version: async (_request, { socket }) => {
      for (const byte of packet(COMMAND_RESPONSE, { version: '5.9.8' })) {
        socket.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      return undefined
    },
  })
  const vici = await connected(t, fake)
  t.same(await vici.request('version'), { version: '5.9.8' })
})

t.test('no daemon at the path', { skip: elsewhere }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vici-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const absent = join(directory, 'absent')
  t.match(await failure(connectVici(absent)), {
    code: 'ERR_PROVIDER_UNAVAILABLE',
    syscall: 'connect',
    message: /does not listen at .*absent \(ENOENT\): start it/,
  })
  const file = join(directory, 'file')
  writeFileSync(file, '')
  t.match(await failure(connectVici(file)), { code: 'ERR_PROVIDER_UNAVAILABLE', message: /file/ })
  for (const path of ['', 'a\0b', `/${'x'.repeat(107)}`])
    t.match(await failure(connectVici(path)), { code: 'EINVAL', message: /1 to 107 bytes/ }, path)
})

t.test('a daemon that takes no connection', { skip: elsewhere }, async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vici-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const server = createServer().listen(join(directory, 'vici'))
  await event(server, 'listening')
  t.teardown(() => server.close())
  const stop = new AbortController()
  const given = connectVici(join(directory, 'vici'), { signal: stop.signal })
  stop.abort()
  t.match(await failure(given), { code: 'ECANCELED' })
  t.match(await failure(connectVici('/x', { signal: stop.signal })), { code: 'ECANCELED' })
})

import net from 'node:net'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import t from 'tap'
import { event } from '../../support/events.js'
import { strangerIdentity, testIdentity } from '../../support/identities.js'
import { begin, beginWith, noise, options, trusting } from './session.js'

const server = await testIdentity()
const alice = await testIdentity(['spiffe://example.com/alice'])
const bob = await testIdentity(['spiffe://example.com/bob'])

const local = ['listen', '--host', '127.0.0.1']

t.test('both directions at once, binary, of any size, to the last byte', async t => {
  const [there, back] = [noise(3_000_001), noise(2_000_003)]
  const listening = begin([...local, ...options(t, 'server', server), '0'], back)
  const { port } = await listening.told('listening')
  const args = ['connect', ...options(t, 'alice', alice), '127.0.0.1', String(port)]
  const connected = begin(args, there)
  t.same(await Promise.all([connected.code, listening.code]), [0, 0])
  t.ok(listening.stdout.equals(there))
  t.ok(connected.stdout.equals(back))
  t.match(await connected.told('secured'), {
    peer: { address: '127.0.0.1', port },
    secured: true,
    encrypted: true,
    version: 'TLSv1.3',
    identity: { targetName: '127.0.0.1', names: server.pin ? ['localhost'] : [], pin: server.pin },
  })
  t.match(await listening.told('secured'), {
    identity: { names: ['spiffe://example.com/alice'], pin: alice.pin },
  })
})

t.test('who has nothing to send still receives everything', async t => {
  const identity = options(t, 'server', server).slice(0, 4)
  const listening = begin([...local, ...identity, '0'], '')
  const { port } = await listening.told('listening')
  const args = ['connect', ...trusting(t, server), '127.0.0.1', String(port)]
  const connected = begin(args)
  await connected.told('secured')
  for (const part of ['one, ', 'two, ', 'three']) {
    connected.stdin.write(part)
    await listening.wrote(part)
  }
  connected.stdin.end()
  t.same(await Promise.all([connected.code, listening.code]), [0, 0])
  t.equal(String(listening.stdout), 'one, two, three')
})

t.test('after the end of the input, the answer still comes', async t => {
  const listening = begin([...local, ...options(t, 'server', server).slice(0, 4), '0'])
  const { port } = await listening.told('listening')
  const connected = begin(
    ['connect', ...trusting(t, server), '127.0.0.1', String(port)],
    'question',
  )
  await listening.wrote('question')
  listening.stdin.end('answer')
  t.same(await Promise.all([connected.code, listening.code]), [0, 0])
  t.equal(String(connected.stdout), 'answer')
})

t.test(
  'where the output is not taken, the input is not read on; then nothing is missing',
  async t => {
    const sender = begin([...local, ...options(t, 'server', server).slice(0, 4), '0'])
    const { port } = await sender.told('listening')
    let bytes = 0
    let open: (() => void) | undefined
    const opened = new Promise<void>(resolve => {
      open = resolve
    })
    const stdout = new Writable({
      write(chunk, _encoding, done) {
        bytes += chunk.length
        void opened.then(() => done())
      },
    })
    const stdin = new PassThrough().end()
    const args = ['connect', ...trusting(t, server), '127.0.0.1', String(port)]
    const receiver = beginWith(args, stdin as PassThrough, stdout)
    await receiver.told('secured')
    const block = noise(1024 * 1024)
    let given = 0
    const drained = () =>
      event(sender.stdin, 'drain', 1000).then(
        () => true,
        () => false,
      )
    // Buffers on the way, those of the system too, hold some of it.
    do {
      sender.stdin.write(block)
      given += 1
    } while (given < 200 && (await drained()))
    t.ok(given < 100, `after ${given} MB nothing more was read`)
    t.ok(bytes < block.length, `${bytes} bytes were written`)
    open?.()
    sender.stdin.end()
    t.same(await Promise.all([sender.code, receiver.code]), [0, 0])
    t.equal(bytes, given * block.length)
  },
)

t.test('who is not who it must be gets nothing, and says why', async t => {
  const listening = begin([...local, ...options(t, 'server', server).slice(0, 4), '0'], 'to whom?')
  const { port } = await listening.told('listening')
  const wrong = begin(
    [...['connect', ...trusting(t, server)], ...['--peer-target-name', 'db.example.com']].concat(
      '127.0.0.1',
      String(port),
    ),
    'a secret',
  )
  t.equal(await wrong.code, 1)
  t.match(await wrong.told('failed'), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    message: 'the peer is not db.example.com',
  })
  t.equal(wrong.stdout.length, 0)
  const right = begin(['connect', ...trusting(t, server), '127.0.0.1', String(port)], 'hello')
  t.same(await Promise.all([right.code, listening.code]), [0, 0])
  t.equal(String(listening.stdout), 'hello', 'the server has heard nothing of the other')
})

t.test('a listener that names its client lets nobody else in, and goes on waiting', async t => {
  const args = ['--peer-target-name', 'spiffe://example.com/alice']
  const listening = begin([...local, ...options(t, 'server', server), ...args, '0'], 'for alice')
  const { port } = await listening.told('listening')
  const dial = (name: string, identity: typeof alice) =>
    begin(['connect', ...options(t, name, identity), '127.0.0.1', String(port)], name)
  const refused = dial('bob', bob)
  t.match(await listening.told('refused'), {
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    peer: { address: '127.0.0.1' },
  })
  await refused.code
  t.equal(refused.stdout.length, 0)
  const nobody = begin(['connect', ...trusting(t, server), '127.0.0.1', String(port)], 'nobody')
  t.equal(await nobody.code, 1)
  const stranger = await strangerIdentity()
  const args2 = [...options(t, 'stranger', stranger).slice(0, 4), ...trusting(t, server)]
  t.equal(await begin(['connect', ...args2, '127.0.0.1', String(port)], 'stranger').code, 1)
  const admitted = dial('alice', alice)
  t.same(await Promise.all([admitted.code, listening.code]), [0, 0])
  t.equal(String(admitted.stdout), 'for alice')
  t.equal(String(listening.stdout), 'alice')
})

t.test('a pre-shared key comes from a file', async t => {
  const folder = t.testdir({ key: `${'a5'.repeat(32)}\n`, other: 'b6'.repeat(32) })
  const psk = (file: string) => ['--psk-identity', 'sensor-17', '--psk-file', join(folder, file)]
  const listening = begin([...local, ...psk('key'), '0'], 'to the sensor')
  const { port } = await listening.told('listening')
  const wrong = begin(['connect', ...psk('other'), '127.0.0.1', String(port)], 'wrong')
  t.equal(await wrong.code, 1)
  const right = begin(['connect', ...psk('key'), '127.0.0.1', String(port)], 'from the sensor')
  t.same(await Promise.all([right.code, listening.code]), [0, 0])
  t.equal(String(listening.stdout), 'from the sensor')
  t.match(await listening.told('secured'), { identity: { pskIdentity: 'sensor-17' } })
})

t.test('a peer that is too slow is given up', async t => {
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1')
  await event(silent, 'listening')
  const { port } = silent.address() as net.AddressInfo
  const args = ['--timeout', '0.2', '127.0.0.1', String(port)]
  const connected = begin(['connect', ...trusting(t, server), ...args], '')
  t.equal(await connected.code, 1)
  t.match(await connected.told('failed'), { message: 'was not secured within 0.2 s' })
  silent.close()

  const alone = begin([...local, ...options(t, 'server', server), '--timeout', '0.2', '0'], '')
  t.equal(await alone.code, 1)
  t.match(await alone.told('failed'), { message: 'nobody came within 0.2 s' })
})

t.test('a stream on which nothing happens fails, where that was asked for', async t => {
  const listening = begin([...local, ...options(t, 'server', server).slice(0, 4), '0'])
  const { port } = await listening.told('listening')
  const args = ['connect', ...trusting(t, server), '--idle', '0.3', '127.0.0.1', String(port)]
  const connected = begin(args)
  t.equal(await connected.code, 1)
  t.match(await connected.told('failed'), { message: 'nothing came or went for 0.3 s' })
  listening.stdin.end()
  await listening.code
})

t.test('an output that is gone ends it', async t => {
  const listening = begin([...local, ...options(t, 'server', server).slice(0, 4), '0'], 'much')
  const { port } = await listening.told('listening')
  const broken = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    },
  })
  const args = ['connect', ...trusting(t, server), '127.0.0.1', String(port)]
  const connected = beginWith(args, new PassThrough(), broken)
  t.equal(await connected.code, 1)
  t.match(await connected.told('failed'), { message: 'stdout: write EPIPE' })
  await listening.code
})

t.test('an output that is gone ends a listener for many, too', async t => {
  const stdin = new PassThrough()
  const broken = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    },
  })
  const identity = options(t, 'server', server).slice(0, 4)
  const listening = beginWith([...local, '--keep', ...identity, '0'], stdin, broken)
  const { port } = await listening.told('listening')
  // Whoever came next would send its data to nobody, and think that all went well.
  const connected = begin(['connect', ...trusting(t, server), '127.0.0.1', String(port)], 'lost')
  t.equal(await listening.code, 1)
  t.match(await listening.told('failed'), { message: 'stdout: write EPIPE' })
  await connected.code
})

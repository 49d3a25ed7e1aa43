import t from 'tap'
import { createSocket } from '../../../src/dgram.js'
import { event } from '../../support/events.js'
import { testIdentity } from '../../support/identities.js'
import { begin, noise, options } from './session.js'

const server = await testIdentity()
const alice = await testIdentity(['spiffe://example.com/alice'])
const bob = await testIdentity(['spiffe://example.com/bob'])

const local = ['listen', '--udp', '--host', '127.0.0.1']

t.test('datagrams go both ways, binary, and both ends end', async t => {
  const listening = begin([...local, ...options(t, 'server', server), '0'], 'an answer')
  const { port } = await listening.told('listening')
  const args = ['connect', '--udp', ...options(t, 'alice', alice), '127.0.0.1', String(port)]
  const connected = begin(args)
  connected.stdin.write(noise(10_000))
  await listening.wrote(10_000)
  await connected.wrote('an answer')
  connected.stdin.end()
  // Its answers have been waited for, and its end is the other's.
  t.same(await Promise.all([connected.code, listening.code]), [0, 0])
  t.ok(listening.stdout.equals(noise(10_000)))
  t.match(await connected.told('secured'), {
    protocol: 'dtls',
    version: 'DTLSv1.2',
    identity: { targetName: '127.0.0.1', pin: server.pin },
  })
  t.match(await listening.told('secured'), { identity: { pin: alice.pin } })
})

t.test('a line is a datagram, and a datagram is a line', async t => {
  const { cert, key, ca } = server
  const peer = createSocket({ type: 'udp4', security: { cert, key, ca } })
  t.teardown(() => peer.close())
  peer.bind(0, '127.0.0.1')
  await event(peer, 'listening')
  const heard: string[] = []
  const all = new Promise<void>(resolve => {
    peer.on('message', (message, { port, address }) => {
      heard.push(String(message))
      peer.send(`${heard.length} of them`, port, address)
      if (heard.length === 3) resolve()
    })
  })
  const connected = begin([
    ...['connect', '--udp', '--lines', ...options(t, 'alice', alice)],
    ...['127.0.0.1', String(peer.address().port)],
  ])
  connected.stdin.write('one\n\ntw')
  connected.stdin.write('o\r\n')
  connected.stdin.end('three')
  await all
  t.same(heard, ['one', 'two\r', 'three'])
  await connected.wrote('3 of them\n')
  peer.closePeer(peer.peers()[0])
  t.equal(await connected.code, 0)
  t.equal(String(connected.stdout), '1 of them\n2 of them\n3 of them\n')
})

t.test('what is larger than a datagram is cut; a line is not, and fails', async t => {
  const listening = begin([...local, ...options(t, 'server', server), '0'], '')
  const { port } = await listening.told('listening')
  const args = ['connect', '--udp', ...options(t, 'alice', alice), '127.0.0.1', String(port)]
  const connected = begin([...args, '--idle', '2'])
  connected.stdin.write(noise(40_000))
  await listening.wrote(40_000)
  connected.stdin.end()
  t.same(await Promise.all([connected.code, listening.code]), [0, 0])

  const again = begin([...local, ...options(t, 'server', server), '0'], '')
  const { port: other } = await again.told('listening')
  const lines = ['connect', '--udp', '--lines', ...options(t, 'alice', alice)]
  const failing = begin([...lines, '127.0.0.1', String(other)], `first\n${'x'.repeat(16_385)}\n`)
  t.equal(await failing.code, 1)
  t.match(await failing.told('failed'), { message: 'a line is longer than 16384 bytes' })
  t.equal(await again.code, 0)
})

t.test('a conversation is with the first that may speak, and with nobody else', async t => {
  const only = ['--peer-target-name', 'spiffe://example.com/alice']
  const listening = begin([...local, ...options(t, 'server', server), ...only, '0'], 'for alice')
  const { port } = await listening.told('listening')
  const dial = (name: string, identity: typeof alice) =>
    begin([
      ...['connect', '--udp', ...options(t, name, identity)],
      ...['--idle', '2', '127.0.0.1', String(port)],
    ])
  const refused = dial('bob', bob)
  refused.stdin.write('from bob')
  t.match(await listening.told('refused'), { code: 'ERR_PEER_TARGET_NAME_MISMATCH' })
  const admitted = dial('alice', alice)
  admitted.stdin.write('from alice')
  await admitted.wrote('for alice')
  refused.stdin.end()
  admitted.stdin.end()
  t.same(await Promise.all([refused.code, admitted.code, listening.code]), [0, 0, 0])
  t.equal(refused.stdout.length, 0)
  t.equal(String(listening.stdout), 'from alice')
})

t.test('a peer that is silent is given up, and a conversation that is over ends', async t => {
  const silent = (await import('node:dgram')).createSocket('udp4')
  t.teardown(() => silent.close())
  silent.bind(0, '127.0.0.1')
  await event(silent, 'listening')
  const late = ['--timeout', '0.3', '127.0.0.1', String(silent.address().port)]
  const connected = begin(['connect', '--udp', ...options(t, 'alice', alice), ...late], 'x')
  t.equal(await connected.code, 1)
  t.match(await connected.told('failed'), { message: 'was not secured within 0.3 s' })

  const listening = begin([...local, ...options(t, 'server', server), '--idle', '0.5', '0'])
  const { port } = await listening.told('listening')
  const idle = ['--idle', '0.5', '127.0.0.1', String(port)]
  const talking = begin(['connect', '--udp', ...options(t, 'alice', alice), ...idle])
  talking.stdin.write('x')
  t.same(await Promise.all([talking.code, listening.code]), [0, 0])
})

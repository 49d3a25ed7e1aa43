/** What the system is given, byte for byte, against vectors that were written by hand. */
import t from 'tap'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { noDouble, type WinsockFunction } from '../support/winsock-double.js'
import { calls, freshDouble, onlyCall } from './log.js'
import { client, datagramSocket, LOOPBACK, plainPeer, plainServer, security } from './scenes.js'
import * as vectors from './vectors.js'

if (noDouble) t.plan(0, noDouble)
else {
  t.test('WSASetSocketSecurity: every setting', async t => {
    for (const [title, settings, bytes] of [
      ['protocol alone', security, vectors.encrypting()],
      ['an account and policies', vectors.everything.settings, vectors.everything.bytes()],
      ['the other flags', vectors.otherFlags.settings, vectors.otherFlags.bytes()],
    ] as const)
      await t.test(title, async t => {
        const double = freshDouble(t)
        const peer = await plainServer(t)
        const socket = new SecureSocket({ security: settings, ...vectors.nameFor(settings) })
        t.teardown(() => socket.destroy())
        socket.connect(peer.port, LOOPBACK)
        await event(socket, 'connect')
        const { bytes: given, length } = onlyCall(double.takeLog(), 'WSASetSocketSecurity')
        t.equal(given, bytes)
        t.equal(length, bytes.length / 2)
      })
  })

  t.test('WSASetSocketPeerTargetName: of streams', async t => {
    const double = freshDouble(t)
    const peer = await plainServer(t)
    const socket = client(t, peer.port, { peerTargetName: 'host/a.example' })
    await event(socket, 'connect')
    const { bytes, length } = onlyCall(double.takeLog(), 'WSASetSocketPeerTargetName')
    t.equal(bytes, vectors.nameOfPeer4(peer.port))
    t.equal(length, vectors.nameOfPeer4().length / 2)
  })

  t.test('WSASetSocketPeerTargetName: of streams on IPv6', async t => {
    const double = freshDouble(t)
    // Nobody listens there: the name is told before that is known.
    const socket = client(t, 9, { host: '::1', peerTargetName: 'host/a.example' })
    await socket.failed
    const { bytes, family } = onlyCall(double.takeLog(), 'WSASetSocketPeerTargetName')
    t.equal(family, 23)
    t.equal(bytes, vectors.nameOfPeer6(9))
  })

  t.test('datagrams: a name, the question about a peer, and a name that is deleted', async t => {
    const double = freshDouble(t)
    const peer = await plainPeer(t)
    const { port } = peer
    const socket = datagramSocket(t)
    await socket.setPeerTargetName({ address: LOOPBACK, port, targetName: 'host/a.example' })
    socket.send('hello', port, LOOPBACK)
    await event(socket, 'secure')
    await socket.querySecurity({ address: LOOPBACK, port })
    await socket.deletePeerTargetName({ address: LOOPBACK, port })
    const log = double.takeLog()
    t.equal(onlyCall(log, 'WSASetSocketPeerTargetName').bytes, vectors.nameOfPeer4(port))
    for (const { bytes = '', length } of calls(log, 'WSAQuerySocketSecurity')) {
      const template = vectors.templateOfPeer4(port)
      t.equal(bytes.slice(0, template.length), template)
      // Then PeerTokenAccessMask, which is the test's of tokens, Flags, FieldMask and 4 of padding.
      t.equal(bytes.slice(template.length + 8), '00000000' + '03000000' + '00000000')
      t.equal(length, 152)
    }
    const deleted = onlyCall(log, 'WSADeleteSocketPeerTargetName')
    t.equal(deleted.bytes, vectors.address4(port))
    t.equal(deleted.length, 128)
  })

  t.test('a system that knows no IPSEC2 is asked the older question', async t => {
    const double = freshDouble(t)
    double.behave('WSAQuerySocketSecurity', { mode: 'fail', error: 10022, times: 1 })
    const peer = await plainServer(t)
    const socket = client(t, peer.port)
    await event(socket, 'connect')
    const [first, second] = calls(double.takeLog(), 'WSAQuerySocketSecurity')
    t.match(first?.bytes, /^02000000/)
    t.equal(first?.length, 152)
    t.ok(second?.length === 144 || second?.length === 0)
    if (second?.length === 144) t.match(second.bytes, /^01000000/)
    t.match(await socket.secured, { secured: true, encrypted: true })
  })

  t.test('what is given stays as it was until the call is over', async t => {
    const double = freshDouble(t)
    const slow: WinsockFunction[] = [
      'WSASetSocketSecurity',
      'WSASetSocketPeerTargetName',
      'WSAQuerySocketSecurity',
    ]
    for (const name of slow) double.behave(name, { mode: 'pend', delay: 100 })
    const peer = await plainServer(t)
    const socket = new SecureSocket({ security: vectors.everything.settings })
    t.teardown(() => socket.destroy())
    socket.connect(peer.port, LOOPBACK)
    await event(socket, 'connect')
    const completions = double.takeLog().filter(({ phase }) => phase === 'complete')
    t.ok(completions.length >= 2)
    t.notOk(completions.some(({ inputChanged }) => inputChanged))
  })
}

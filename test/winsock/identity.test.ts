/** Who the peer is, and acting as it, from a program's side: streams, what a server accepts, datagrams. */
import t, { type Test } from 'tap'
import { currentPeer } from '../../src/sockets/impersonation.js'
import { SecureSocket } from '../../src/sockets/secure-socket.js'
import { event } from '../support/events.js'
import { noDouble, winsockDouble } from '../support/winsock-double.js'
import { client, datagramSocket, LOOPBACK, plainPeer, security, server } from './scenes.js'
import { actingBy } from './sockets.js'

/** Each begins with a double that knows of nothing, and ends as the process with every token closed. */
function test(name: string, run: (t: Test, double: Double) => Promise<void>): void {
  t.test(name, { skip: noDouble }, async t => {
    const double = winsockDouble()
    double.reset()
    await run(t, double)
    t.equal(actingBy(), '', 'the thread acts as its process')
    t.equal(double.openTokens(), 0, 'no token is left open')
  })
}

type Double = ReturnType<typeof winsockDouble>

// The double's tokens are those of the account that this process runs as.
const ACCOUNT = { sid: /^S-1-5-\d+(-\d+)*$/, name: /^[^\\]+\\.+$/ }

test('both ends of a connection know the other’s accounts, and can act as it', async (t, double) => {
  double.answers({ mmSaId: 5n, qmSaId: 6n })
  const { port, accepts } = await server(t)
  const one = client(t, port, { peerTargetName: 'host/db.example.com' })
  await event(one, 'connect')
  const [other] = await accepts(1)
  if (!other) throw new Error('nothing was accepted')
  for (const [socket, targetName] of [
    [one, 'host/db.example.com'],
    [other, undefined],
  ] as const) {
    const info = await socket.querySecurity()
    t.match(info, {
      secured: true,
      encrypted: true,
      protocol: 'ipsec',
      ipsec: { impersonated: false, mainModeSaId: '5', quickModeSaId: '6' },
      peer: { user: ACCOUNT, machine: ACCOUNT, names: [] },
    })
    t.equal(info.peer?.targetName, targetName)
    const result = socket.impersonatePeer(() => {
      t.not(actingBy(), '', 'to the system')
      t.match(currentPeer(), { user: ACCOUNT }, 'and to the program')
      return 'what it returns'
    })
    t.equal(result, 'what it returns')
    t.equal(actingBy(), '')
    t.equal(currentPeer(), undefined)
    t.throws(() => socket.impersonatePeer(async () => t.fail('it ran')), { code: 'EINVAL' })
  }
})

test('a peer that Windows cannot name is nobody to act as', async (t, double) => {
  double.answers({ userToken: false, machineToken: false })
  const { port, accepts } = await server(t)
  const one = client(t, port)
  await event(one, 'connect')
  const [other] = await accepts(1)
  t.notOk((await other?.querySecurity())?.peer)
  for (const socket of [one, other])
    t.throws(() => socket?.impersonatePeer(() => t.fail('it ran')), {
      code: 'ERR_PEER_NOT_AUTHENTICATED',
    })
})

test('a name that need not be proved is not the peer’s', async t => {
  const { port } = await server(t)
  const optional = { ...security, ipsec: { optionalPeerNameVerification: true } }
  const one = new SecureSocket({ security: optional }).connect({ port, host: LOOPBACK })
  t.teardown(() => one.destroy())
  await event(one, 'connect')
  const { peer } = await one.querySecurity()
  t.match(peer, { user: ACCOUNT })
  t.notOk(peer && 'targetName' in peer)
})

test('a closed socket is nobody', async t => {
  const { port, accepts } = await server(t)
  const one = client(t, port)
  await event(one, 'connect')
  const [other] = await accepts(1)
  for (const socket of [one, other]) {
    socket?.destroy()
    t.throws(() => socket?.impersonatePeer(() => t.fail('it ran')), { code: /ENOTSOCK|ENOTCONN/ })
    await t.rejects(socket?.querySecurity() as Promise<unknown>, { code: /ENOTSOCK|ENOTCONN/ })
  }
})

test('a datagram socket acts as one peer of many', async (t, double) => {
  const [first, second] = [await plainPeer(t), await plainPeer(t)]
  const socket = datagramSocket(t)
  for (const { port } of [first, second]) {
    await new Promise<void>((resolve, reject) =>
      socket.send('hello', port, LOOPBACK, error => (error ? reject(error) : resolve())),
    )
    const peer = { address: LOOPBACK, port }
    t.match(await socket.querySecurity(peer), { secured: true, peer: { user: ACCOUNT } })
    double.takeLog()
    socket.impersonatePeer(peer, () => {
      t.not(actingBy(), '')
      t.match(currentPeer(), { user: ACCOUNT })
    })
    const call = double.takeLog().find(each => each.function === 'WSAImpersonateSocketPeer')
    t.equal(call?.bytes?.slice(4, 8), port.toString(16).padStart(4, '0'), 'by its port')
  }
})

test('connections that come and go leave no handle behind', async (t, double) => {
  const { port, accepted, accepts } = await server(t)
  const once = async () => {
    const count = accepted.length
    const one = client(t, port)
    await event(one, 'connect')
    const other = (await accepts(count + 1)).at(-1)
    one.impersonatePeer(() => other?.impersonatePeer(() => {}))
    const closed = [event(one, 'close'), other && event(other, 'close')]
    one.destroy()
    other?.destroy()
    await Promise.all(closed)
  }
  for (let i = 0; i < 5; i++) await once()
  const before = double.handles()
  for (let i = 0; i < 20; i++) await once()
  t.ok(double.handles() - before <= 2, `${double.handles() - before} more handles`)
})

// The daemon's interface in several processes of host a, with the same on hosts b and c, and real packets.
import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { daemonAt } from '../../src/providers/strongswan/daemon/daemons.js'
import type { FiveTuple } from '../../src/providers/strongswan/plans/plans.js'
import { certified, shared } from './daemon-plans.js'
import { type DaemonProcess, startOn } from './daemon-processes.js'

t.setTimeout(75_000)

const daemon = daemonAt('/run/a/charon.vici')
/** Whoever comes in by the plans of this test. */
const anybody = [
  certified('a', '%any'),
  shared('fqdn:a.psk', 'fqdn:b.example', 'a secret of 24 bytes....'),
]
let b: DaemonProcess

t.before(async () => {
  b = await startOn('b')
  await b.ask('echo', 5000, '0.0.0.0')
  await b.ask('guard', 'guard', 'udp', 5000)
  await b.ask('listener', 'listener', 'udp', '0.0.0.0', 5000, ['certified', 'b', '%any'])
})

t.teardown(async () => {
  await b.ask('remove', 'listener')
  await b.ask('release', 'guard')
  await b.end()
})

/** From host a to the echo of host b. */
function tuple(localPort: number, remotePort = 5000): FiveTuple {
  const addresses = { localAddress: '10.9.0.1', remoteAddress: '10.9.0.2' }
  return { transport: 'udp', ...addresses, localPort, remotePort }
}

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, '10.9.0.1')
  await once(socket, 'listening')
  return socket
}

/** The echo of what was sent; the code of the error, or undefined where no echo comes in that time. */
async function echo(
  socket: Socket,
  text: string,
  milliseconds = 10_000,
): Promise<string | undefined> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(milliseconds) }).then(
    ([data]) => String(data),
    () => undefined,
  )
  const error = await new Promise<Error | null>(resolve =>
    socket.send(text, 5000, '10.9.0.2', resolve),
  )
  return error ? (error as NodeJS.ErrnoException).code : answer
}

/** What the daemon of a host knows of us, by swanctl. */
function known(host: string): string {
  return execFileSync('on', [host, 'swanctl', '--list-conns'], { encoding: 'utf8' })
}

t.test('a guard, a flow, keys, and away again', async t => {
  const socket = await bound(6000)
  t.equal(await echo(socket, 'clear', 300), undefined, 'b answers nobody in clear')
  const guard = await daemon.guard('udp', 6000, '10.9.0.1')
  t.equal(guard.holds('10.9.0.2'), true)
  t.equal(await echo(socket, 'guarded'), 'EPERM')
  const flow = await daemon.addFlow({
    ...tuple(6000),
    connection: certified('a', 'fqdn:b.example'),
  })
  t.equal(await daemon.find(tuple(6000), anybody), null)
  await flow.initiate({ timeout: 10_000 })
  t.match(await daemon.find(tuple(6000), [certified('a', 'fqdn:b.example')]), {
    remoteId: 'b.example',
    demandedId: 'fqdn:b.example',
    cipher: 'AES_GCM_16-128',
    encrypted: true,
  })
  const stricter = { ...certified('a', 'fqdn:b.example'), espProposals: ['aes256gcm16-ecp384'] }
  await t.rejects(daemon.find(tuple(6000), [stricter]), { code: 'ERR_PEER_NOT_AUTHENTICATED' })
  t.equal(await echo(socket, 'secured'), 'secured')
  const up = await b.hears(({ changed }) => changed?.up === true)
  t.match(up.changed, { remoteId: 'a.example', flow: { remotePort: 6000 } })
  await flow.initiate({ timeout: 10_000 })
  await flow.remove()
  t.equal(await daemon.find(tuple(6000), anybody), null)
  t.equal(await echo(socket, 'after'), 'EPERM')
  await guard.release()
  t.equal(await echo(socket, 'clear', 300), undefined, 'b answers nobody in clear')
  socket.close()
})

t.test('a peer of another name gets nothing', async t => {
  const socket = await bound(6000)
  const guard = await daemon.guard('udp', 6000, '10.9.0.1')
  const connection = certified('a', 'fqdn:other.example')
  const flow = await daemon.addFlow({ ...tuple(6000), connection })
  await t.rejects(flow.initiate({ timeout: 10_000 }), { name: 'SocketSecurityError' })
  t.equal(await daemon.find(tuple(6000), anybody), null)
  t.equal(await echo(socket, 'dropped', 300), undefined)
  await flow.remove()
  await guard.release()
  socket.close()
})

t.test('a peer that does not answer is given up, and asked anew', async t => {
  const guard = await daemon.guard('udp', 6000, '10.9.0.1')
  const connection = certified('a', 'fqdn:d.example')
  const nobody = { ...tuple(6000), remoteAddress: '10.9.0.77' }
  const flow = await daemon.addFlow({ ...nobody, connection })
  await t.rejects(flow.initiate({ timeout: 500 }), { code: 'ETIMEDOUT' })
  await t.rejects(flow.initiate({ timeout: 500 }), { code: 'ETIMEDOUT' })
  await flow.remove()
  await guard.release()
})

t.test('with a secret', async t => {
  await b.ask('echo', 5002, '0.0.0.0')
  await b.ask('guard', 'guard 2', 'udp', 5002)
  const plan = ['shared', 'fqdn:b.example', 'fqdn:a.psk', 'a secret of 24 bytes....'] as const
  await b.ask('listener', 'psk', 'udp', '0.0.0.0', 5002, plan)
  const guard = await daemon.guard('udp', 6002, '10.9.0.1')
  const connection = shared('fqdn:a.psk', 'fqdn:b.example', 'a secret of 24 bytes....')
  const flow = await daemon.addFlow({ ...tuple(6002, 5002), connection })
  await flow.initiate({ timeout: 10_000 })
  t.match(await daemon.find(tuple(6002, 5002), anybody), { remoteId: 'b.example' })
  await flow.remove()
  const wrong = shared('fqdn:a.psk', 'fqdn:b.example', 'another secret, as long..')
  const refused = await daemon.addFlow({ ...tuple(6002, 5002), connection: wrong })
  await t.rejects(refused.initiate({ timeout: 10_000 }), { code: 'ERR_PEER_NOT_AUTHENTICATED' })
  await refused.remove()
  await guard.release()
  await b.ask('remove', 'psk')
  await b.ask('release', 'guard 2')
})

t.test('many flows of one socket at once', async t => {
  const guard = await daemon.guard('udp', 6003, '10.9.0.1')
  const connection = certified('a', 'fqdn:b.example')
  await b.ask('listener', 'more', 'udp', '0.0.0.0', 5003, ['certified', 'b', '%any'])
  const ports = Array.from({ length: 12 }, (_, each) => 6100 + each)
  const guards = await Promise.all(ports.map(port => daemon.guard('udp', port, '10.9.0.1')))
  const flows = await Promise.all(
    ports.map(port => daemon.addFlow({ ...tuple(port, 5003), connection })),
  )
  await Promise.all(flows.map(each => each.initiate({ timeout: 30_000 })))
  const found = await Promise.all(ports.map(port => daemon.find(tuple(port, 5003), anybody)))
  t.strictSame(
    found.map(each => each?.remoteId),
    ports.map(() => 'b.example'),
  )
  t.equal(new Set(found.map(each => each?.ikeId)).size, 1, 'they share what authenticates them')
  await Promise.all(flows.map(each => each.remove()))
  await Promise.all([guard, ...guards].map(each => each.release()))
  await b.ask('remove', 'more')
})

t.test("a listener of one process behind another process's flow", async t => {
  const other = await startOn('a')
  await other.ask('guard', 'guard', 'udp', 6200, '10.9.0.1')
  await other.ask('flow', 'flow', tuple(6200), ['certified', 'a', 'fqdn:b.example'])
  await other.ask('initiate', 'flow')

  // From now on b's daemon finds the other process's connection when it calls: one to b itself.
  const guard = await daemon.guard('udp', 5001)
  const listener = await daemon.addListener({
    transport: 'udp',
    localAddress: '0.0.0.0',
    localPort: 5001,
    connections: [certified('a', '%any')],
  })
  const back = {
    transport: 'udp',
    localAddress: '10.9.0.2',
    localPort: 7000,
    remoteAddress: '10.9.0.1',
    remotePort: 5001,
  } as const
  await b.ask('guard', 'back', 'udp', 7000)
  await b.ask('flow', 'back flow', back, ['certified', 'b', 'fqdn:a.example'])
  await b.ask('initiate', 'back flow')
  t.match(await daemon.find(tuple(5001, 7000), anybody), {
    remoteId: 'b.example',
    demandedId: 'fqdn:b.example',
  })
  t.ok(await other.ask('find', tuple(6200)), 'the other one has kept its keys')

  await other.kill()
  t.match(known('a'), /flow_udp_10\.9\.0\.1_6200/, 'what it leaves behind')
  const third = await startOn('a')
  await third.ask('guard', 'guard', 'udp', 6201, '10.9.0.1')
  await third.ask('flow', 'flow', tuple(6201), ['certified', 'a', 'fqdn:b.example'])
  t.notMatch(known('a'), /6200/, 'the next one has taken away')
  await third.ask('initiate', 'flow')
  t.ok(await daemon.find(tuple(5001, 7000), anybody), "and the listener's keys are there")
  await third.ask('remove', 'flow')
  await third.ask('release', 'guard')
  await third.end()

  await b.ask('remove', 'back flow')
  await b.ask('release', 'back')
  await listener.remove()
  await guard.release()
})

t.test('nothing is left', async t => {
  const one = await startOn('a')
  await one.ask('guard', 'guard', 'udp', 6300, '10.9.0.1')
  await one.ask('flow', 'flow', tuple(6300), ['certified', 'a', 'fqdn:b.example'])
  await one.ask('remove', 'flow')
  await one.ask('release', 'guard')
  await one.end()
  t.notMatch(known('a'), new RegExp(`-${one.child.pid}-`))
})

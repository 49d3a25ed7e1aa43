// What becomes of flows when strongSwan ends, is killed, or is told to forget: the daemon's interface.
import { execFileSync } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import type { Flow, Guard } from '../../src/providers/strongswan/daemon/daemon.js'
import { daemonAt } from '../../src/providers/strongswan/daemon/daemons.js'
import type { FiveTuple } from '../../src/providers/strongswan/plans/plans.js'
import { certified } from './daemon-plans.js'
import { type DaemonProcess, startOn } from './daemon-processes.js'

t.setTimeout(75_000)

const daemon = daemonAt('/run/a/charon.vici')
const flow: FiveTuple = {
  transport: 'udp',
  localAddress: '10.9.0.1',
  localPort: 6000,
  remoteAddress: '10.9.0.2',
  remotePort: 5000,
}
const told: string[] = []
const heard = new EventEmitter()
let b: DaemonProcess
let socket: Socket
let guard: Guard
let secured: Flow

t.before(async () => {
  daemon.watch({
    interrupted: () => tell('interrupted'),
    restored: () => tell('restored'),
    lost: () => tell('lost'),
  })
  b = await startOn('b')
  await b.ask('echo', 5000, '0.0.0.0')
  await b.ask('guard', 'guard', 'udp', 5000)
  await b.ask('listener', 'listener', 'udp', '0.0.0.0', 5000, ['certified', 'b', '%any'])
  socket = createSocket('udp4')
  socket.bind(6000, '10.9.0.1')
  await once(socket, 'listening')
  guard = await daemon.guard('udp', 6000, '10.9.0.1')
  secured = await daemon.addFlow({ ...flow, connection: certified('a', 'fqdn:b.example') })
  await secured.initiate({ timeout: 10_000 })
})

t.beforeEach(() => {
  told.length = 0
})

t.teardown(async () => {
  await secured.remove()
  await guard.release()
  socket.close()
  await b.ask('remove', 'listener')
  await b.ask('release', 'guard')
  await b.end()
})

function tell(what: string): void {
  told.push(what)
  heard.emit('told')
}

async function until(what: string): Promise<void> {
  const signal = AbortSignal.timeout(30_000)
  while (!told.includes(what)) await once(heard, 'told', { signal })
}

/** Keeps sending, as a program that looks at the guard before each datagram, until it is told to stop. */
function keepSending(): { stop: () => { sent: number; held: number } } {
  let sent = 0
  let held = 0
  const timer = setInterval(() => {
    if (!guard.holds('10.9.0.2')) held++
    else socket.send('on and on', 5000, '10.9.0.2', error => error || sent++)
  }, 1)
  return {
    stop() {
      clearInterval(timer)
      return { sent, held }
    },
  }
}

/** Packets of the flow in clear, by what the kernel of host b drops: none may come. */
function clearAtB(): number {
  const text = execFileSync('on', ['b', 'cat', '/proc/net/xfrm_stat'], { encoding: 'utf8' })
  const counts = [...text.matchAll(/XfrmIn(?:PolBlock|TmplMismatch|NoPols)\s+(\d+)/g)]
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

async function echoes(): Promise<boolean> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
  socket.send('still there', 5000, '10.9.0.2', () => {})
  return answer.then(
    () => true,
    () => false,
  )
}

t.test('a daemon that is killed and started again', async t => {
  const before = clearAtB()
  const sending = keepSending()
  execFileSync('charon', ['kill', 'a'])
  execFileSync('charon', ['start', 'a'])
  execFileSync('charon', ['wait', 'a'])
  await until('restored')
  t.notOk(told.includes('interrupted'), 'the kernel has kept all policies')
  await secured.initiate({ timeout: 10_000 })
  t.match(await daemon.find(flow, [certified('a', 'fqdn:b.example')]), { remoteId: 'b.example' })
  const { sent } = sending.stop()
  t.ok(sent > 0)
  t.ok(await echoes())
  t.equal(clearAtB(), before, 'nothing has come in clear')
})

t.test('a daemon that is stopped and started again', async t => {
  const before = clearAtB()
  const sending = keepSending()
  execFileSync('charon', ['stop', 'a'])
  await until('interrupted')
  t.equal(guard.holds('10.9.0.2'), false)
  t.equal(await daemon.find(flow, [certified('a', 'fqdn:b.example')]), null)
  execFileSync('charon', ['start', 'a'])
  await until('restored')
  t.equal(guard.holds('10.9.0.2'), true)
  await secured.initiate({ timeout: 10_000 })
  t.match(await daemon.find(flow, [certified('a', 'fqdn:b.example')]), { remoteId: 'b.example' })
  const { sent, held } = sending.stop()
  t.ok(sent > 0 && held > 0)
  t.ok(await echoes())
  t.equal(clearAtB(), before, 'nothing has come in clear')
})

t.test('an administrator who loads his own connections', async t => {
  const before = clearAtB()
  const sending = keepSending()
  execFileSync('on', ['a', 'swanctl', '--load-conns'])
  await until('restored')
  t.same(told, ['interrupted', 'restored'])
  await secured.initiate({ timeout: 10_000 })
  t.match(await daemon.find(flow, [certified('a', 'fqdn:b.example')]), { remoteId: 'b.example' })
  t.ok(sending.stop().sent > 0)
  t.ok(await echoes())
  t.equal(clearAtB(), before, 'nothing has come in clear')
})

t.test('a peer whose daemon is stopped', async t => {
  const down = new Promise<Error>(resolve => secured.onDown(resolve))
  execFileSync('charon', ['stop', 'b'])
  t.match(await down, { code: 'ECONNRESET' })
  t.equal(await daemon.find(flow, [certified('a', 'fqdn:b.example')]), null)
  execFileSync('charon', ['start', 'b'])
  await b.hears(({ event }) => event === 'restored')
  await secured.initiate({ timeout: 10_000 })
  t.ok(await echoes())
})

// The daemon's interface on host a, with the same on host b, and real packets between them.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { daemonAt } from '../../src/providers/strongswan/daemon.js'
import { certified } from './daemon-plans.js'

const daemon = daemonAt('/run/a/charon.vici')
let peer: ChildProcessWithoutNullStreams
const said: Record<string, unknown>[] = []

t.before(async () => {
  const program = fileURLToPath(new URL('./daemon-peer.ts', import.meta.url))
  peer = spawn('on', ['b', process.execPath, program])
  peer.stderr.pipe(process.stderr)
  const lines = createInterface(peer.stdout)
  lines.on('line', line => {
    console.error('b says', line)
    said.push(JSON.parse(line))
  })
  await once(lines, 'line')
})

t.teardown(async () => {
  peer.stdin.end()
  await once(peer, 'exit')
})

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(port, '10.9.0.1')
  await once(socket, 'listening')
  return socket
}

/** The echo of what was sent; undefined where none comes in that time. */
async function echo(
  socket: Socket,
  text: string,
  milliseconds: number,
): Promise<string | undefined> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(milliseconds) })
  const sent = new Promise<Error | null>(resolve => socket.send(text, 5000, '10.9.0.2', resolve))
  const error = await sent
  if (error) {
    answer.catch(() => {})
    return (error as NodeJS.ErrnoException).code
  }
  return answer.then(
    ([data]) => String(data),
    () => undefined,
  )
}

t.test('a guard, a flow, keys, and away again', async t => {
  const begin = performance.now()
  const step = (what: string) => console.error(what, Math.round(performance.now() - begin))
  const socket = await bound(6000)
  t.equal(await echo(socket, 'clear', 300), undefined, 'b answers nobody in clear')
  const guard = await daemon.guard('udp', 6000, '10.9.0.1')
  step('guarded')
  t.equal(daemon.holds('10.9.0.2'), true)
  t.equal(await echo(socket, 'guarded', 300), 'EPERM')
  const tuple = {
    transport: 'udp',
    localAddress: '10.9.0.1',
    localPort: 6000,
    remoteAddress: '10.9.0.2',
    remotePort: 5000,
  } as const
  const flow = await daemon.addFlow({ ...tuple, connection: certified('a', 'fqdn:b.example') })
  step('added')
  t.equal(await daemon.find(tuple), null)
  await flow.initiate({ timeout: 5000 })
  step('initiated')
  const association = await daemon.find(tuple)
  step('found')
  t.match(association, { remoteId: 'b.example', demandedId: 'fqdn:b.example', encrypted: true })
  console.error(association)
  t.equal(await echo(socket, 'secured', 2000), 'secured')
  await flow.initiate({ timeout: 5000 })
  await flow.remove()
  step('removed')
  t.equal(await echo(socket, 'after', 300), 'EPERM')
  await guard.release()
  step('released')
  t.equal(await echo(socket, 'clear', 300), undefined, 'b answers nobody in clear')
  socket.close()
})

/**
 * A socket that gets more than it can deal with: timers and other sockets of the same thread live on,
 * because it lets the event loop turn after a while, whatever waits. Measured in turns of the loop and
 * in CPU time, which do not depend on what else the machine does.
 */
import { fork } from 'node:child_process'
import t, { type Test } from 'tap'
import type { SecureDgramSocket } from '../../src/sockets/secure-dgram-socket.js'
import { event } from '../support/events.js'
import { inOneFile } from '../support/one-file.js'
import { boundSocket, datagramSocket, identified, LOOPBACK } from '../support/secured-datagrams.js'
import { until } from '../support/until.js'

const program = await inOneFile(t, new URL('flood-program.ts', import.meta.url))
/** Turns of the loop in which something of the flood is dealt with. */
const turns = 100
/** The first ones are not counted: what a message costs is learnt by its coming. */
const warmUp = 20

t.test('messages of a peer, of which each is dealt with at once', async t => {
  const { perTurn, cpu, pings } = await flooded(t, 'messages', () => {})
  t.ok(
    middle(cpu) < 10,
    `a turn takes ${middle(cpu)} ms of CPU time, for ${middle(perTurn)} messages`,
  )
  t.ok(pings > turns / 10, `another socket has ${pings} round trips in ${turns} turns`)
})

t.test('messages of a peer, of which each takes a while', async t => {
  const { perTurn, pings } = await flooded(t, 'messages', () => busy(0.2))
  // One message of the system can stand for 64 datagrams, and a plain socket reads 32.
  t.ok(Math.max(...perTurn) <= 128, `at most ${Math.max(...perTurn)} in one turn`)
  t.ok(pings > turns / 10, `another socket has ${pings} round trips in ${turns} turns`)
})

for (const what of ['hellos', 'garbage']) {
  t.test(`${what} of strangers`, async t => {
    const { heard, cpu, pings } = await flooded(t, what, () => {})
    t.equal(heard, 0, 'nothing of it is heard')
    t.ok(middle(cpu) < 10, `a turn takes ${middle(cpu)} ms of CPU time`)
    t.ok(pings > turns / 10, `another socket has ${pings} round trips in ${turns} turns`)
  })
}

interface Seen {
  /** Messages that were heard. */
  readonly heard: number
  /** Datagrams of the flood in each turn of the loop, which are heard, answered by a cookie or thrown away. */
  readonly perTurn: number[]
  /** Milliseconds of CPU time in each. */
  readonly cpu: number[]
  /** Round trips of another pair of sockets meanwhile. */
  readonly pings: number
}

/** What this thread does while its socket is flooded. */
async function flooded(t: Test, what: string, onMessage: () => void): Promise<Seen> {
  const security = await identified()
  const { socket, port } = await boundSocket(t, security)
  let heard = 0
  socket.on('message', () => {
    heard += 1
    onMessage()
  })
  const others = await pair(t)
  const flood = fork(program, [what, String(port)], {
    execArgv: [],
    env: { ...process.env, FLOOD_SECURITY: JSON.stringify(security) },
  })
  t.teardown(() => flood.kill('SIGKILL'))
  const flooding = () => heard + strange(socket)
  await until('the flood has come', () => flooding() > 100, 60_000)

  let before = 0
  const perTurn: number[] = []
  const cpu: number[] = []
  const deadline = Date.now() + 60_000
  while (perTurn.length < warmUp + turns) {
    if (Date.now() > deadline) throw new Error(`a flood in ${perTurn.length} turns only`)
    if (perTurn.length === warmUp) before = others.pings()
    const start = { flooding: flooding(), cpu: process.cpuUsage() }
    await nextTurn()
    if (flooding() === start.flooding) continue
    const { user, system } = process.cpuUsage(start.cpu)
    perTurn.push(flooding() - start.flooding)
    cpu.push((user + system) / 1000)
  }
  return {
    heard,
    perTurn: perTurn.slice(warmUp),
    cpu: cpu.slice(warmUp),
    pings: others.pings() - before,
  }
}

/** Another pair of sockets of this thread, which send one message to and fro. */
async function pair(t: Test): Promise<{ pings(): number }> {
  const security = await identified()
  const { socket: server, port } = await boundSocket(t, security)
  const client = datagramSocket(t, { security })
  let pings = 0
  server.on('message', (message, from) => server.send(message, from.port, from.address))
  client.on('message', message => {
    pings += 1
    client.send(message, port, LOOPBACK)
  })
  client.send('ping', port, LOOPBACK)
  await event(client, 'message')
  return { pings: () => pings }
}

/** What came of nobody who is known. */
function strange({ stats }: SecureDgramSocket): number {
  const { dropped, cookiesSent } = stats
  return cookiesSent + Object.values(dropped).reduce((all, each) => all + each, 0)
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

function middle(numbers: readonly number[]): number {
  return [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)] as number
}

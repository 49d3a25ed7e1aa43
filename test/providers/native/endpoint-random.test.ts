/**
 * The endpoint of a system's own security, with whatever an application, a network and a system can
 * do in any order: each message is answered once, nothing waits for ever, and nothing leaves or is
 * delivered that the system has not said to be secured.
 */
import t from 'tap'
import type { SecurityInfo } from '../../../src/model/security-info.js'
import { parseSettings } from '../../../src/model/settings.js'
import { parseTargetName } from '../../../src/model/target-name.js'
import { NativeEndpoint } from '../../../src/providers/native/endpoint.js'
import { type Random, seededRandom } from '../../model/random.js'
import { clearInfo, NativeStandIn, plainInfo, securedInfo } from '../../support/native-datagrams.js'

const addresses = ['10.0.0.1', '10.0.0.2', 'fe80::1%eth0']
const ports = [1, 2]
const RUNS = 60

/** What one run has shown to be wrong. */
async function run(random: Random): Promise<string[]> {
  const wrong: string[] = []
  let now = 0
  const clock = { now: () => now, wallTime: () => now }
  const later: (() => void)[] = []
  /** Datagrams under way: each is told of at last. */
  const leaving: (() => void)[] = []
  const system = new NativeStandIn()
  const secured = new Set<string>()
  /** The last message that has left for each peer. */
  const last = new Map<string, number>()

  /** Now, some time later, or never. */
  function outcome<T>(values: (T | Error)[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const value = random.of(values)
      const settle = () => (value instanceof Error ? reject(value) : resolve(value))
      const chance = random.below(10)
      if (chance < 4) settle()
      else if (chance < 9) later.push(settle)
    })
  }

  system.answer = () =>
    outcome<SecurityInfo>([securedInfo, securedInfo, clearInfo, plainInfo, new Error('query')])
  system.named = () => outcome<void>([undefined, undefined, undefined, new Error('name')])
  system.deleted = () => outcome<void>([undefined, undefined, new Error('delete')])

  const key = ({ address, port }: { address: string; port: number }) => `${address} ${port}`
  const endpoint = new NativeEndpoint(
    {
      settings: parseSettings(
        {
          protocol: 'ipsec',
          handshakeTimeout: 1000,
          idleTimeout: 5000,
          maxSessions: 5,
          maxQueuedDatagrams: 3,
        },
        'datagram',
      ),
      clock,
      provider: system,
      enter: call => call(),
    },
    {
      datagram(datagram, address, port, sent) {
        const [peer, number] = [key({ address, port }), Number(datagram)]
        if (number <= (last.get(peer) ?? -1)) wrong.push(`${number} left out of order`)
        last.set(peer, number)
        const error = random.below(10) === 0 ? new Error('unsent') : null
        if (random.below(2) === 0) queueMicrotask(() => sent?.(error))
        else leaving.push(() => sent?.(error))
      },
      message(_message, source) {
        if (!secured.has(key(source))) wrong.push(`a message of ${key(source)}, not secured`)
      },
      secured: peer => void secured.add(key(peer)),
      peerError() {},
      peerClosed(peer) {
        if (!secured.delete(key(peer))) wrong.push(`${key(peer)} closed, and was not secured`)
      },
      keylog() {},
    },
  )
  endpoint.attach(
    await system.openSocket({
      family: 4,
      settings: endpoint.settings,
      signal: new AbortController().signal,
    }),
  )

  const answers: number[] = []
  const settling: Promise<unknown>[] = []
  const steps: ((address: string, port: number) => void)[] = [
    (address, port) => {
      const index = answers.push(0) - 1
      endpoint.send(
        Buffer.from(String(index)),
        address,
        port,
        random.of([address, 'a.example']),
        () => {
          answers[index] = (answers[index] ?? 0) + 1
        },
      )
    },
    (address, port) => endpoint.receive(Buffer.from('y'), address, port),
    (address, port) => {
      try {
        const applied = endpoint.setTargetName(
          address,
          random.of([0, port]),
          parseTargetName('b.example'),
        )
        if (applied) settling.push(applied.catch(() => {}))
      } catch {
        // Too late.
      }
    },
    (address, port) => {
      const deleted = endpoint.deleteTargetName(address, random.of([0, port]))
      if (typeof deleted !== 'boolean') settling.push(deleted.catch(() => {}))
    },
    (address, port) => endpoint.closePeer(address, port),
    (address, port) => void endpoint.refresh(address, port).catch(() => {}),
    (address, port) => void endpoint.secure(address, port, address).catch(() => {}),
    () => {
      endpoint.acceptsStrangers = random.below(5) > 0
    },
    () => leaving.splice(random.below(leaving.length || 1), 1)[0]?.(),
    () => later.splice(random.below(later.length || 1), 1)[0]?.(),
    () => {
      now += random.below(700)
    },
  ]
  for (let i = 0; i < 150; i += 1) {
    random.of(steps)(random.of(addresses), random.of(ports))
    if (random.below(10) < 7) await new Promise(resolve => setImmediate(resolve))
    if (endpoint.deadline <= now) endpoint.tick()
  }
  // Whatever was never answered: time passes.
  for (let i = 0; i < 10; i += 1) {
    now += 1000
    endpoint.tick()
    await new Promise(resolve => setImmediate(resolve))
  }
  for (const tell of leaving) tell()
  if (endpoint.queued.datagrams !== 0) wrong.push('something waits for ever')
  endpoint.close()
  await new Promise(resolve => setImmediate(resolve))
  if (answers.some(count => count !== 1)) wrong.push(`callbacks: ${answers.join(' ')}`)
  for (const each of [endpoint.queued, endpoint.held]) {
    if (each.datagrams !== 0 || each.bytes !== 0) wrong.push(`still counted: ${each.bytes} bytes`)
  }
  if (endpoint.stats.handshaking !== 0 || secured.size !== 0) wrong.push('peers after the end')
  return wrong
}

t.test('in any order, nothing is lost, told twice, or let through', async t => {
  const random = seededRandom(t)
  for (let i = 0; i < RUNS; i += 1) t.same(await run(random), [], `run ${i}`)
})

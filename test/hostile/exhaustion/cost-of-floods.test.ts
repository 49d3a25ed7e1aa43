/**
 * What a flood of strangers costs: the server, in CPU for each datagram; an honest peer, in the time of its
 * echoes; the event loop, in delays.
 *
 * A machine that is busy must not break it. CPU time grows little by what else runs. Other times are compared
 * with quiet ones of the same run, by the middle of several rounds, to the full extent of the tables only; and
 * such a flood has a pace, which two cores that are busy can keep. bench/hostile.mjs measures closer.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { identified } from '../../support/secured-datagrams.js'
import { isAll } from '../extent.js'
import { type FloodKind, flooder } from './flood.js'
import { type Speaker, speaker } from './honest-peers.js'
import { floodedServer, type Held, type Server } from './server.js'

/** Not all of Linux's 127.0.0.0/8 is there elsewhere. */
const skip = process.platform !== 'linux' && 'loopback has one address'
const kinds = ['garbage', 'hellos', 'wrong cookies', 'pieces'] as const
/** Datagrams in one turn of a stranger, about. */
const inOneTurn = { garbage: 1, hellos: 1, 'wrong cookies': 5, pieces: 8 }

t.test('CPU of the server for each datagram', { skip }, async t => {
  const server = await floodedServer(t, await identified())
  const flooding = await flooder(t)
  const flood = (what: FloodKind, each: number) =>
    flooding.flood({
      what,
      port: server.port,
      addresses: 20,
      atOnce: 20,
      each,
      perSecond: 4000,
    })
  for (const what of kinds) {
    const turns = (of: number) => Math.ceil(of / 20 / inOneTurn[what])
    // What is compiled with the first ones is not of their cost.
    await flood(what, turns(1000))
    const before = await server.ask()
    await flood(what, turns(4000))
    const after = await server.ask()
    // The system drops what there is no room for, where the server has to wait for a core.
    const count = heard(after) - heard(before)
    t.ok(count > 100, `${count} ${what} have come`)
    const each = (cpuOf(after) - cpuOf(before)) / count
    // Measured: 3 to 40. One that begins a handshake would take 350.
    t.ok(each < 150, `${each.toFixed(1)} µs for each of them`)
  }
})

t.test(
  'echoes of an honest peer, and the event loop, at a paced flood',
  { skip: skip || (!isAll && 'full extent only') },
  async t => {
    const server = await floodedServer(t, { ...(await identified()), handshakeTimeout: 1500 })
    const flooding = await flooder(t)
    const honest = await speaker(t, server.port)
    const during = (over: Promise<unknown>) => p99During(over, honest, server)
    await during(setTimeout(1000))
    for (const what of [...kinds, 'half-open'] as const) {
      const quiet: P99[] = []
      const flooded: P99[] = []
      for (let round = 0; round < ROUNDS; round++) {
        quiet.push(await during(setTimeout(1500)))
        const flood = { what, port: server.port, addresses: 300, atOnce: 20, ...paceOf(what) }
        flooded.push(await during(flooding.flood(flood)))
        await server.quiet(1)
      }
      for (const of of ['echo', 'loop'] as const) {
        const [calm, now] = [quiet, flooded].map(all => median(all.map(each => each[of])))
        const figures = `${now?.toFixed(1)} ms, quiet ${calm?.toFixed(1)} ms`
        t.ok((now as number) < bound(calm as number), `${what}, p99 of the ${of}: ${figures}`)
      }
    }
  },
)

/** Datagrams of strangers that it has answered or dropped. */
function heard({ stats: { cookiesSent, dropped } }: Held): number {
  return Object.values(dropped).reduce((all, each) => all + each, cookiesSent)
}

/** Microseconds. */
function cpuOf({ cpu }: Held): number {
  return cpu.user + cpu.system
}

/** Quiet ones and floods take turns, so that what else runs for a while slows one or two of them down. */
const ROUNDS = 5

/** Ten times as much; and at least what waiting for a core takes by itself where others have them. */
function bound(quiet: number): number {
  return Math.max(10 * quiet, 100)
}

function paceOf(what: keyof typeof inOneTurn | 'half-open'): { each: number; perSecond: number } {
  return what === 'half-open'
    ? { each: 1, perSecond: 200 }
    : { each: Math.ceil(10 / inOneTurn[what]), perSecond: 2000 }
}

/** Milliseconds that 99 of 100 echoes, and turns of the event loop, were not late by. */
interface P99 {
  readonly echo: number
  readonly loop: number
}

async function p99During(over: Promise<unknown>, honest: Speaker, server: Server): Promise<P99> {
  await server.delays()
  let isOver = false
  const ended = over.finally(() => {
    isOver = true
  })
  const times: number[] = []
  while (!isOver) {
    times.push(await honest.echo())
    await setTimeout(5)
  }
  await ended
  times.sort((one, other) => one - other)
  const echo = times[Math.floor(times.length * 0.99)] as number
  return { echo, loop: (await server.delays()).p99 }
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[values.length >> 1] as number
}

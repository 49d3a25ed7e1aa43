/** The server of datagrams that is flooded: a process of its own, which is asked what it holds. */
import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import type { DatagramSecuritySettings } from '../../../src/model/settings.js'
import type { EndpointStats } from '../../../src/providers/datagram-provider.js'
import { event } from '../../support/events.js'
import { inOneFile } from '../../support/one-file.js'
import { until } from '../../support/until.js'

export interface Question {
  /** What it holds now, that after the collector has run, or how late its event loop was. */
  readonly what: 'now' | 'settled' | 'loop'
}

export interface Held {
  readonly stats: EndpointStats
  /** Associations in OpenSSL: made, not freed yet, and the most at one time. */
  readonly made: number
  readonly alive: number
  readonly most: number
  /** Peers, links and associations that the collector finds; of 'settled' only. */
  readonly instances: readonly number[]
  readonly resources: readonly string[]
  readonly descriptors: number
  /** Bytes; those of malloc() by its own count besides. */
  readonly memory: NodeJS.MemoryUsage & { readonly allocated: number }
  readonly cpu: NodeJS.CpuUsage
}

/** Of the event loop, in milliseconds. */
export interface Delays {
  readonly p99: number
  readonly most: number
}

export interface Server {
  readonly port: number
  ask(what?: 'now' | 'settled'): Promise<Held>
  /** How late its event loop was since the last question. */
  delays(): Promise<Delays>
  /** Waits until it has so many peers and no handshake in flight; then what it holds when all is collected. */
  quiet(peers: number): Promise<Held>
}

/** Seconds that a busy machine may take for an answer. */
const PATIENCE = 60_000

export async function floodedServer(t: Test, security: DatagramSecuritySettings): Promise<Server> {
  const program = await inOneFile(t, new URL('server-program.ts', import.meta.url))
  const child = fork(program, [JSON.stringify(security)], { execArgv: ['--expose-gc'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [{ port }] = (await event(child, 'message', PATIENCE)) as [{ port: number }]
  const server: Server = {
    port,
    ask: (what = 'now') => asked<Held>(child, { what }),
    delays: () => asked<Delays>(child, { what: 'loop' }),
    async quiet(peers) {
      const isQuiet = async () => {
        await setTimeout(50)
        const { stats } = await server.ask()
        return stats.handshaking === 0 && stats.peers === peers
      }
      await until(`it has ${peers} peers, and no handshake in flight`, isQuiet, PATIENCE)
      // What the collector has to visit twice is there for a while.
      let held = await server.ask('settled')
      for (let times = 0; times < 20 && held.instances.some(each => each > peers); times++)
        held = await server.ask('settled')
      return held
    },
  }
  return server
}

/** One question at a time. */
export async function asked<T>(child: ChildProcess, question: object): Promise<T> {
  const answered = event(child, 'message', PATIENCE)
  child.send(question)
  return (await answered)[0] as T
}

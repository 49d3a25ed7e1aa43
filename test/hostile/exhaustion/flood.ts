/** The process that floods. */
import { fork } from 'node:child_process'
import type { Test } from 'tap'
import { seededRandom } from '../../model/random.js'
import { event } from '../../support/events.js'
import { inOneFile } from '../../support/one-file.js'

export type FloodKind =
  | 'hellos'
  | 'wrong cookies'
  | 'pieces'
  | 'garbage'
  | 'half-open'
  | 'byte by byte'
  | 'large messages'
  | 'early records'

export interface Flood {
  readonly what: FloodKind
  readonly port: number
  /** Of all that is random in what they send; of each address the same each time. */
  readonly seed: number
  /** From how many, and how many of them at once. */
  readonly addresses: number
  readonly atOnce: number
  /** How much each of them sends. */
  readonly each: number
  /** Datagrams, or half-open handshakes, at most; as many as it can by default. */
  readonly perSecond?: number
  /** A cookie that was good once, and the random that it was good for. */
  readonly old?: { readonly cookie: string; readonly random: string }
}

/** What was sent and came back; without the hellos by which its end is seen, and their answers. */
export interface Report {
  readonly datagrams: number
  /** Bytes. */
  readonly sent: number
  readonly received: number
  /** Datagrams that came back, and those of them that are no HelloVerifyRequest. */
  readonly answers: number
  readonly other: number
  /** Of all addresses: the most bytes that came back for a byte that was sent. */
  readonly worst: number
  /** Those whose handshake has begun. */
  readonly welcomed: number
}

export interface Flooder {
  flood(flood: Omit<Flood, 'seed'>): Promise<Report>
  /** Ends one that goes on until it is told to stop. */
  stop(): void
}

const PATIENCE = 600_000

export async function flooder(t: Test): Promise<Flooder> {
  const random = seededRandom(t)
  const program = await inOneFile(t, new URL('flood-program.ts', import.meta.url))
  const child = fork(program, [], { execArgv: [] })
  t.teardown(() => child.kill('SIGKILL'))
  await event(child, 'message', PATIENCE)
  return {
    async flood(flood) {
      const reported = event(child, 'message', PATIENCE)
      child.send({ ...flood, seed: random.below(2 ** 32) } satisfies Flood)
      return (await reported)[0] as Report
    },
    stop: () => child.send('stop'),
  }
}

/** The loop of a fuzzer: takes inputs, changes them, and keeps those that reach what no other has. */
import { createHash } from 'node:crypto'
import type { Random } from '../../model/random.js'
import type { Coverage } from './coverage.js'
import { mutated } from './mutation.js'
import type { Parser, Violation } from './parser.js'

/** Of an input, in bytes. */
const INPUT_LIMIT = 2048
/** Inputs between two looks at the coverage, which takes longer than most of them; or at the time. */
const BATCH = { guided: 250, blind: 50 }

export interface Finding {
  readonly input: Buffer
  readonly error: Error
}

export interface Fuzzing {
  readonly parser: Parser
  readonly random: Random
  /** Seeds, and the corpus. */
  readonly inputs: readonly Buffer[]
  /** Says when it is enough; asked before each batch. */
  goesOn(done: number): boolean
  readonly coverage?: Coverage
  /** Told of an input that has reached something new. */
  keep?(input: Buffer): void
}

/** What each of these does, unchanged. */
export function replay(parser: Parser, inputs: readonly Buffer[]): Finding[] {
  return inputs.flatMap(input => violation(parser, input) ?? [])
}

/** @returns what was found, of each kind the first, made smaller; and how many inputs there were */
export function fuzz(fuzzing: Fuzzing): { findings: Finding[]; runs: number } {
  const { parser, random, inputs, coverage, keep } = fuzzing
  const words = (parser.words ?? []).map(each => Buffer.from(each as string))
  const pool = [...inputs]
  const findings = new Map<string, Finding>()
  const run = (input: Buffer) => {
    const found = violation(parser, input)
    const kind = found && kindOf(found.error)
    if (found && !findings.has(kind as string)) findings.set(kind as string, smaller(parser, found))
  }
  pool.forEach(run)
  coverage?.isNew()
  const size = coverage === undefined ? BATCH.blind : BATCH.guided
  let runs = pool.length
  while (fuzzing.goesOn(runs)) {
    const batch = Array.from({ length: size }, () =>
      mutated(random, random.of(pool), pool, words, INPUT_LIMIT),
    )
    batch.forEach(run)
    runs += size
    if (!coverage?.isNew(false)) continue
    for (const input of batch) {
      coverage.isNew(false)
      run(input)
      if (!coverage.isNew()) continue
      pool.push(input)
      keep?.(input)
    }
    coverage.settle()
  }
  return { findings: [...findings.values()], runs }
}

/** The name of an input's file. */
export function nameOf(input: Buffer): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12)
}

function violation(parser: Parser, input: Buffer): Finding | undefined {
  try {
    parser.check(input)
    return undefined
  } catch (error) {
    return { input, error: error as Error }
  }
}

/** What else an error is of: where it was thrown. */
function kindOf(error: Error): string {
  const { kind, cause } = error as Violation
  const place = /\n +at (.*)/.exec(String((cause as Error | undefined)?.stack ?? error.stack))?.[1]
  return cause === undefined && kind !== undefined ? kind : `${kind} ${place}`
}

/** Left out piece by piece, as long as the same is found. */
function smaller(parser: Parser, finding: Finding): Finding {
  const kind = kindOf(finding.error)
  let best = finding
  for (let size = best.input.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.input.length; ) {
      const input = Buffer.concat([best.input.subarray(0, at), best.input.subarray(at + size)])
      const found = violation(parser, input)
      if (found && kindOf(found.error) === kind) best = found
      else at += size
    }
  }
  return best
}

/**
 * Which blocks of the sources have run, as V8 counts them, and about how often: inputs that reach new
 * ones are worth to be changed further.
 */
import { Session } from 'node:inspector'

interface Script {
  readonly url: string
  readonly scriptId: string
  readonly functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[]
}

export class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()
  /** Seen in a batch of inputs, and not yet of which. */
  readonly #pending = new Set<string>()
  readonly #counts: (url: string) => boolean

  /** @param counts whether a script is one of those that count */
  constructor(counts: (url: string) => boolean) {
    this.#counts = counts
    this.#session.connect()
    this.#session.post('Profiler.enable')
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  get size(): number {
    return this.#seen.size
  }

  /** Has anything run since the last call that never had? @param remember false: of a whole batch */
  isNew(remember = true): boolean {
    let isNew = false
    // The session lives in this thread, so it answers before post() returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error) throw error
      for (const script of answer.result as Script[]) {
        if (this.#counts(script.url)) isNew = this.#look(script, remember) || isNew
      }
    })
    return isNew
  }

  #look({ scriptId, functions }: Script, remember: boolean): boolean {
    let isNew = false
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        if (count === 0) continue
        const key = `${scriptId}:${startOffset}:${endOffset}`
        if (this.#seen.has(key)) continue
        isNew = true
        const known = remember ? this.#seen : this.#pending
        known.add(key)
      }
    }
    return isNew
  }

  /** What a batch has reached is known, also what none of its inputs reaches a second time. */
  settle(): void {
    for (const key of this.#pending) this.#seen.add(key)
    this.#pending.clear()
  }

  close(): void {
    this.#session.disconnect()
  }
}

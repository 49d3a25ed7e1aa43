/**
 * The time, read once for all that is sent in one tick: to read it takes as long as a tenth of what
 * else a message costs.
 */
import { performance } from 'node:perf_hooks'

let isKept = false
/** Undefined as long as nobody has asked in this tick. */
let kept: number | undefined

/** By performance.now(); perhaps of earlier in this tick, where something of it has not left yet. */
export function tickTime(): number {
  if (!isKept) return performance.now()
  kept ??= performance.now()
  return kept
}

/** What is sent from now on is of the same time, until forgetTime(), which must follow. */
export function keepTime(): void {
  isKept = true
}

export function forgetTime(): void {
  isKept = false
  kept = undefined
}

/** What a process holds: for tests that compare an early count with a late one. */
import { setTimeout as pause } from 'node:timers/promises'
import { allocated, giveBack } from '../../support/allocated.js'
import { descriptors } from '../../support/descriptors.js'
import type { OpensslCount } from '../../support/openssl-objects.js'

export interface Held {
  /** Sockets, timers and other things of the system that are Node's, by their names. */
  readonly resources: string[]
  readonly descriptors: number
  /** Bytes: of V8's heap, of what it refers to, of the C heap, and of memory without V8's heap. */
  readonly heap: number
  readonly external: number
  readonly allocated: number
  readonly resident: number
  readonly openssl: OpensslCount
}

/** Collects what is garbage before; so the process needs `--expose-gc`. */
export async function held(openssl: () => OpensslCount): Promise<Held> {
  await collect()
  giveBack()
  const { heapUsed, heapTotal, external, rss } = process.memoryUsage()
  return {
    resources: process.getActiveResourcesInfo().sort(),
    descriptors: descriptors(),
    heap: heapUsed,
    external,
    allocated: allocated(),
    // V8 keeps room for its heap, sometimes 50 MB more and then less.
    resident: rss - heapTotal,
    openssl: openssl(),
  }
}

/** In several turns: what is freed when something else has been collected comes after that. */
export async function collect(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) {
    globalThis.gc?.()
    await pause(20)
  }
}

/** Waits until it holds, or for so long. */
export async function until(holds: () => boolean, milliseconds: number): Promise<boolean> {
  const end = performance.now() + milliseconds
  while (!holds()) {
    if (performance.now() > end) return false
    await pause(20)
  }
  return true
}

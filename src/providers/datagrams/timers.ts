/**
 * When each peer wants to be woken: a binary heap, so that ten thousand peers cost nothing between
 * their deadlines. A deadline that moves away is left where it is; the peer is woken early, once,
 * and says when it is due now. So sending and receiving never touch the heap.
 */

export interface Sleeper {
  /** When it is woken; Infinity: never. Only the timers write it. */
  wakeAt: number
  /** Its place in the heap; -1 where it is not in it. Only the timers write it. */
  heapIndex: number
}

export class Timers<T extends Sleeper> {
  readonly #heap: T[] = []

  /** When the next one is due; Infinity where nobody is. */
  get deadline(): number {
    return this.#heap[0]?.wakeAt ?? Number.POSITIVE_INFINITY
  }

  /** Wakes it at this time at the latest. */
  wake(sleeper: T, at: number): void {
    if (at >= sleeper.wakeAt) return
    if (sleeper.heapIndex < 0) sleeper.heapIndex = this.#heap.push(sleeper) - 1
    sleeper.wakeAt = at
    this.#up(sleeper)
  }

  /** Takes out the next one that is due. */
  take(now: number): T | undefined {
    const first = this.#heap[0]
    if (first === undefined || first.wakeAt > now) return undefined
    this.remove(first)
    return first
  }

  remove(sleeper: T): void {
    const index = sleeper.heapIndex
    if (index < 0) return
    sleeper.heapIndex = -1
    sleeper.wakeAt = Number.POSITIVE_INFINITY
    const last = this.#heap.pop() as T
    if (last === sleeper) return
    this.#place(last, index)
    this.#up(last)
    this.#down(last)
  }

  #up(sleeper: T): void {
    while (sleeper.heapIndex > 0) {
      const index = sleeper.heapIndex
      const parent = this.#heap[(index - 1) >> 1] as T
      if (parent.wakeAt <= sleeper.wakeAt) return
      this.#place(sleeper, parent.heapIndex)
      this.#place(parent, index)
    }
  }

  #down(sleeper: T): void {
    for (;;) {
      const index = sleeper.heapIndex
      const left = this.#heap[2 * index + 1]
      const right = this.#heap[2 * index + 2]
      const child = right !== undefined && right.wakeAt < (left as T).wakeAt ? right : left
      if (child === undefined || child.wakeAt >= sleeper.wakeAt) return
      this.#place(sleeper, child.heapIndex)
      this.#place(child, index)
    }
  }

  #place(sleeper: T, index: number): void {
    this.#heap[index] = sleeper
    sleeper.heapIndex = index
  }
}

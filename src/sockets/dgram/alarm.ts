/** One timer for a socket, at the deadline of its endpoint. */

/** setTimeout() makes 1 ms of anything longer. */
const LONGEST_MS = 0x7fffffff

export class Alarm {
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  /** When it rings, by performance.now(). */
  #at = Number.POSITIVE_INFINITY
  #holds = false

  constructor(ring: () => void) {
    this.#ring = ring
  }

  /**
   * Rings at this time at the latest. One that rings too early finds nothing to do and is set anew,
   * which is cheaper than moving it with every datagram.
   * @param holds whether the process has to live until then
   */
  set(deadline: number, holds: boolean): void {
    if (deadline < this.#at) {
      this.clear()
      if (deadline === Number.POSITIVE_INFINITY) return
      this.#at = deadline
      this.#holds = holds
      const delay = Math.ceil(deadline - performance.now())
      if (delay <= 0) this.#immediate = setImmediate(this.#rings)
      else this.#timer = setTimeout(this.#rings, Math.min(delay, LONGEST_MS))
      if (!holds) (this.#timer ?? this.#immediate)?.unref()
    } else if (holds !== this.#holds) {
      this.#holds = holds
      const pending = this.#timer ?? this.#immediate
      if (holds) pending?.ref()
      else pending?.unref()
    }
  }

  clear(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#timer = this.#immediate = undefined
    this.#at = Number.POSITIVE_INFINITY
  }

  readonly #rings = () => {
    this.clear()
    this.#ring()
  }
}

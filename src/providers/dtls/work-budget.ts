/**
 * Handshakes cost a thousand times as much as a message. Their work is done in portions, so that a
 * rush of them delays the messages of peers that are secured already by one portion, not by all.
 */

/** Milliseconds of handshake work at a time. */
export const HANDSHAKE_BUDGET = 2
/** Pieces of work that strangers can let wait; more are dropped, and come again by retransmission. */
const BACKLOG_LIMIT = 1024
/** What one of them can let wait in any case; more only while there is room for others too. */
const BACKLOG_LIMIT_EACH = 8
/** One address can be a gateway with many peers behind it: it may have this part of what is free. */
const SHARE_OF_FREE = 1 / 4

interface Piece {
  readonly work: () => void
  /** Whose it is; undefined for what the application has asked for. */
  readonly owner: string | undefined
}

export class WorkBudget {
  readonly #now: () => number
  #spent = 0
  #since: number
  readonly #backlog: Piece[] = []
  readonly #waitingOf = new Map<string, number>()

  constructor(now: () => number) {
    this.#now = now
    this.#since = now()
  }

  /** Does some wait for its turn? */
  get waiting(): boolean {
    return this.#backlog.length > 0
  }

  /** May work be done at once? Not before what waits already. */
  get open(): boolean {
    if (this.waiting) return false
    // Where nobody had to wait nobody calls tick(): time passes by itself.
    if (this.#now() - this.#since >= 2 * HANDSHAKE_BUDGET) this.#refill()
    return this.#spent < HANDSHAKE_BUDGET
  }

  /** Does it now, and takes the time. */
  spend<T>(work: () => T): T {
    const begin = this.#now()
    try {
      return work()
    } finally {
      this.#spent += this.#now() - begin
    }
  }

  /**
   * Lets it wait. False where too much waits already.
   * @param owner the address that it came from
   */
  defer(owner: string, work: () => void): boolean {
    const waiting = this.#waitingOf.get(owner) ?? 0
    const free = BACKLOG_LIMIT - this.#backlog.length
    if (free <= 0 || waiting >= Math.max(BACKLOG_LIMIT_EACH, free * SHARE_OF_FREE)) return false
    this.#waitingOf.set(owner, waiting + 1)
    this.#backlog.push({ work, owner })
    return true
  }

  /** Lets it wait, however much waits: for work that the application itself has asked for. */
  deferOwn(work: () => void): void {
    this.#backlog.push({ work, owner: undefined })
  }

  /** The next portion. */
  work(): void {
    this.#refill()
    let done = 0
    try {
      while (done < this.#backlog.length && this.#spent < HANDSHAKE_BUDGET) {
        const { work, owner } = this.#backlog[done] as Piece
        done += 1
        this.#begin(owner)
        this.spend(work)
      }
    } finally {
      this.#backlog.splice(0, done)
    }
  }

  clear(): void {
    this.#backlog.length = 0
    this.#waitingOf.clear()
  }

  #begin(owner: string | undefined): void {
    if (owner === undefined) return
    const left = (this.#waitingOf.get(owner) ?? 1) - 1
    if (left > 0) this.#waitingOf.set(owner, left)
    else this.#waitingOf.delete(owner)
  }

  #refill(): void {
    this.#spent = 0
    this.#since = this.#now()
  }
}

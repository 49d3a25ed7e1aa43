/** Who uses something that is to be put away some time after the last one has gone. */

/** Milliseconds: a program that opens one socket after the other need not begin anew for each. */
const LINGER = 10_000

interface Use {
  /**
   * The use lasts until this is called, which does `end` first, and once however often it is called.
   * It never rejects.
   */
  until(end: () => Promise<void>): () => Promise<void>
}

export class Users {
  readonly #stop: () => Promise<void>
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #stopping: Promise<void> | undefined

  /** @param stop puts it away; never rejects */
  constructor(stop: () => Promise<void>) {
    this.#stop = stop
  }

  get count(): number {
    return this.#count
  }

  /** Begins a use, which ends at once where `work` fails. */
  async during<T>(work: (use: Use) => Promise<T>): Promise<T> {
    this.#count++
    clearTimeout(this.#timer)
    process.off('beforeExit', this.#now)
    try {
      await this.#stopping
      return await work({ until: end => this.#once(end) })
    } catch (error) {
      this.#leave()
      throw error
    }
  }

  #once(end: () => Promise<void>): () => Promise<void> {
    let ended: Promise<void> | undefined
    return () => {
      ended ??= end()
        .catch(() => {})
        .then(() => this.#leave())
      return ended
    }
  }

  #leave(): void {
    if (--this.#count > 0) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#now, LINGER).unref()
    // A program that has nothing else to do does not wait for it.
    process.off('beforeExit', this.#now).once('beforeExit', this.#now)
  }

  readonly #now = (): void => {
    clearTimeout(this.#timer)
    process.off('beforeExit', this.#now)
    if (this.#count > 0 || this.#stopping !== undefined) return
    this.#stopping = this.#stop().finally(() => {
      this.#stopping = undefined
    })
  }
}

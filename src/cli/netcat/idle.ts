/** Calls back once nothing has been touched for so long. */
export class Idle {
  readonly #timer: NodeJS.Timeout | undefined

  /** @param milliseconds undefined: never */
  constructor(milliseconds: number | undefined, expired: () => void) {
    if (milliseconds !== undefined) this.#timer = setTimeout(expired, milliseconds)
  }

  touch(): void {
    this.#timer?.refresh()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

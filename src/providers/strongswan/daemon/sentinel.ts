/** Looks at the guards now and then, and more often while the daemon seems to end. */
import type { Guards } from './guards.js'

/** Milliseconds between two looks while all is well. */
const CALM = 50
/** The same while the daemon seems to end. */
const ALARMED = 4
/** Milliseconds that an alarm lasts. */
const ALARM = 3000
/** Guards that are looked at in one go. */
const MOST = 64

export class Sentinel {
  readonly #guards: Guards
  readonly #gone: () => void
  #timer: NodeJS.Timeout | undefined
  #alarmedUntil = 0

  /** @param gone called whenever it is found that a guard is gone */
  constructor(guards: Guards, gone: () => void) {
    this.#guards = guards
    this.#gone = gone
  }

  /** As long as there are guards. */
  watch(): void {
    if (this.#timer !== undefined || this.#guards.size === 0) return
    const alarmed = performance.now() < this.#alarmedUntil
    const look = () => {
      this.#timer = undefined
      if (!this.#guards.hold(MOST)) this.#gone()
      this.watch()
    }
    this.#timer = setTimeout(look, alarmed ? ALARMED : CALM).unref()
  }

  /** Something has happened that happens when the daemon ends. */
  alarm(): void {
    this.#alarmedUntil = performance.now() + ALARM
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.watch()
  }
}

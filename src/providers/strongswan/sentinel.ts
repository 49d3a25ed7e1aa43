/**
 * Keeps the canary behind all guards, looks at it now and then, and tells when it is gone.
 */
import { type Canary, noPolicies, openCanary } from './canary.js'
import type { Guards } from './guards.js'

/** Milliseconds between two looks while all is well. */
const CALM = 500
/** The same while the daemon seems to end. */
const ALARMED = 4
/** Milliseconds that an alarm lasts. */
const ALARM = 3000

export class Sentinel {
  readonly #path: string
  readonly #guards: Guards
  readonly #gone: () => void
  #canary: Canary | undefined
  #uncage: (() => Promise<void>) | undefined
  #moving: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #alarmedUntil = 0

  /** @param gone called whenever it is found that the policies are gone */
  constructor(path: string, guards: Guards, gone: () => void) {
    this.#path = path
    this.#guards = guards
    this.#gone = gone
  }

  /** False also where there is no canary yet. */
  lives(remoteAddress?: string): boolean {
    return this.#uncage !== undefined && this.#canary?.lives(remoteAddress) === true
  }

  /** Whether there is a canary whose life means something. */
  get watches(): boolean {
    return this.#uncage !== undefined
  }

  /** Puts the canary behind the guards that are there now: they are taken away after it. */
  follow(): Promise<void> {
    this.#moving = this.#moving.catch(() => {}).then(() => this.#move())
    return this.#moving
  }

  async #move(): Promise<void> {
    this.#canary ??= openCanary()
    const before = this.#uncage
    this.#uncage = await this.#guards.addBehind('udp', this.#canary.port)
    await before?.()
    this.#look()
    if (!this.#canary.lives()) throw noPolicies(this.#path)
  }

  /** Something has happened that happens when the daemon ends. */
  alarm(): void {
    if (!this.watches) return
    this.#alarmedUntil = performance.now() + ALARM
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#look()
  }

  /** Takes the canary away. Never rejects. */
  async stop(): Promise<void> {
    await this.#moving.catch(() => {})
    clearTimeout(this.#timer)
    this.#timer = undefined
    const uncage = this.#uncage
    const canary = this.#canary
    this.#uncage = undefined
    this.#canary = undefined
    await uncage?.()
    canary?.close()
  }

  #look(): void {
    if (this.#timer !== undefined) return
    const alarmed = performance.now() < this.#alarmedUntil
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        if (!this.watches) return
        if (!this.lives()) this.#gone()
        this.#look()
      },
      alarmed ? ALARMED : CALM,
    ).unref()
  }
}

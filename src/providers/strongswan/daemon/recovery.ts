/** Waits for a daemon that has gone, and puts everything back when it is there again. */
import { SocketSecurityError } from '../../../model/errors.js'

/** Milliseconds until a daemon that does not come back is given up. It is looked for further on. */
const PATIENCE = 15_000
/** Milliseconds between two attempts, before and after that. */
const RETRY = 250
const RETRY_LOST = 1000

export interface RecoveryOf {
  readonly path: string
  /** Whether anybody still waits. */
  needed(): boolean
  /** Puts everything back; rejects where the daemon is not there. Idempotent. */
  restore(): Promise<void>
  restored(): void
  lost(error: Error): void
  /** Nobody waits any more. */
  abandoned(): void
}

export class Recovery {
  readonly #of: RecoveryOf
  #running = false
  #attempt: Promise<void> | undefined
  #lost: Error | undefined
  /** Called when it is back, or given up. */
  #waiting: (() => void)[] = []

  constructor(of: RecoveryOf) {
    this.#of = of
  }

  /** It has gone. */
  begin(error: Error): void {
    if (this.#running) return
    this.#running = true
    void this.#run(error).finally(() => {
      this.#running = false
      this.#lost = undefined
      this.#settle()
    })
  }

  /**
   * Until everything is in its place.
   * @throws (rejects) SocketSecurityError ECONNRESET where the daemon was given up and is still gone
   */
  async ready(): Promise<void> {
    if (!this.#running) return
    if (this.#lost !== undefined) {
      // It may just have come.
      const { lost } = { lost: this.#lost }
      await this.#try().catch(() => {
        throw lost
      })
      return
    }
    await new Promise<void>(resolve => this.#waiting.push(resolve))
    if (this.#lost !== undefined) throw this.#lost
  }

  async #run(error: Error): Promise<void> {
    const end = performance.now() + PATIENCE
    while (this.#of.needed()) {
      try {
        await this.#try()
        this.#of.restored()
        return
      } catch (cause) {
        if (this.#lost === undefined && performance.now() >= end)
          this.#giveUp(new Error(error.message, { cause }))
      }
      await this.#pause()
    }
    this.#of.abandoned()
  }

  #try(): Promise<void> {
    this.#attempt ??= this.#of.restore().finally(() => {
      this.#attempt = undefined
    })
    return this.#attempt
  }

  #giveUp(cause: Error): void {
    this.#lost = new SocketSecurityError(
      'ECONNRESET',
      `strongSwan at ${this.#of.path} has gone and was not back within ${PATIENCE / 1000} s: what it secured is closed`,
      { cause },
    )
    this.#of.lost(this.#lost)
    this.#settle()
  }

  #pause(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, this.#lost === undefined ? RETRY : RETRY_LOST)
      if (this.#lost !== undefined) timer.unref()
    })
  }

  #settle(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

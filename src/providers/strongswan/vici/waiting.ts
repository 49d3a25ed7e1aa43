/** Waiting for the daemon, for so long and until the caller gives up. */
import { SocketSecurityError } from '../../../model/errors.js'
import { daemonSilent } from '../daemon/errors.js'
import type { RequestOptions } from './vici.js'

/** Milliseconds, where the caller says nothing else. */
export const TIMEOUT = 10_000

export class Waiting<T> {
  readonly done: Promise<T>
  /** Whatever comes now, nobody waits for it any more. */
  settled = false
  readonly #signal: AbortSignal | undefined
  #timer: NodeJS.Timeout | undefined
  #resolve!: (value: T) => void
  #reject!: (error: Error) => void
  readonly #giveUp = () =>
    this.fail(
      new SocketSecurityError('ECANCELED', `${this.what} was given up`, {
        cause: this.#signal?.reason,
      }),
    )

  /** @param what for messages: `list-sas` */
  constructor(
    readonly what: string,
    { signal, timeout = TIMEOUT }: RequestOptions,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#signal = signal
    signal?.addEventListener('abort', this.#giveUp)
    if (signal?.aborted) this.#giveUp()
    // What keeps the process alive is the connection, or not.
    else if (timeout !== Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.fail(daemonSilent(this.what, timeout)), timeout).unref()
  }

  succeed(value: T): void {
    this.#settle()
    this.#resolve(value)
  }

  fail(error: Error): void {
    this.#settle()
    this.#reject(error)
  }

  #settle(): void {
    this.settled = true
    clearTimeout(this.#timer)
    this.#signal?.removeEventListener('abort', this.#giveUp)
  }
}

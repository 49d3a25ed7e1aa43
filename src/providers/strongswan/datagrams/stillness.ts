/**
 * When a datagram socket must be still: while the policies are not in the kernel, what is sent can
 * leave in clear, and what comes may have come in clear.
 */
import { SocketSecurityError } from '../../../model/errors.js'
import type { Daemon, Guard } from '../daemon/daemon.js'

/** Milliseconds between two looks at the kernel, where the daemon has told nothing. */
const LOOK = 200

export interface StillnessObserver {
  /** From now on, until ends(). */
  began(error: Error): void
  /** Everything is in place again; to be done before anything is believed. It may throw: then it goes on. */
  ends(): void
}

export class Stillness {
  readonly #daemon: Daemon
  readonly #observer: StillnessObserver
  readonly #waiting = new Set<() => void>()
  #guard: Guard | undefined
  #interruption: Error | undefined
  /** It will hardly end: nobody needs to wait for that. */
  #isLost = false
  #isClosed = false
  #unwatch: (() => void) | undefined

  constructor(daemon: Daemon, observer: StillnessObserver) {
    this.#daemon = daemon
    this.#observer = observer
  }

  /** From when the port is guarded. */
  watch(guard: Guard): void {
    this.#guard = guard
    this.#unwatch ??= this.#daemon.watch({
      interrupted: error => this.#begin(error),
      restored: () => this.#end(),
      lost: error => {
        this.#isLost = true
        this.#begin(error)
        this.#wake()
      },
    })
  }

  close(): void {
    this.#unwatch?.()
    this.#isClosed = true
    this.#interruption ??= new SocketSecurityError('ENOTSOCK', 'the socket is closed')
    this.#wake()
  }

  /**
   * Why it must be still now; undefined where it need not. Asks the kernel: to be called for each
   * datagram, before it is sent and after it has come.
   * @param remoteAddress whom it is about
   */
  reason(remoteAddress?: string): Error | undefined {
    if (this.#interruption !== undefined) return this.#interruption
    return this.#guard?.holds(remoteAddress) === false ? policiesGone() : undefined
  }

  /**
   * When it need not be still any more.
   * @param timeout milliseconds
   * @throws (rejects) why it must be, where that lasts longer; ECANCELED
   */
  async over(timeout: number, signal: AbortSignal): Promise<void> {
    const end = performance.now() + timeout
    for (;;) {
      const reason = this.reason()
      if (reason === undefined) return
      const remaining = end - performance.now()
      if (this.#isLost || this.#isClosed || remaining <= 0) throw reason
      if (signal.aborted) throw new SocketSecurityError('ECANCELED', 'nobody waits any longer')
      await this.#turn(Math.min(LOOK, remaining), signal)
    }
  }

  #turn(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, milliseconds)
      this.#waiting.add(done)
      signal.addEventListener('abort', done)
    })
  }

  #begin(error: Error): void {
    const isNew = this.#interruption === undefined
    this.#interruption = error
    if (isNew) this.#observer.began(error)
  }

  #end(): void {
    if (this.#isClosed) return
    this.#isLost = false
    try {
      this.#observer.ends()
      this.#interruption = undefined
    } catch (error) {
      this.#interruption = error as Error
    }
    this.#wake()
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done()
  }
}

function policiesGone(): SocketSecurityError {
  return new SocketSecurityError(
    'ECONNRESET',
    'the IKE daemon has taken its policies out of the kernel: nothing is sent and nothing delivered until they are back; see that it runs',
  )
}

/** What is told when nothing of the socket's or of ours stands on the stack any more. */
import { nextTick } from 'node:process'
import type { Sent } from '../channel.js'

/** So often in one turn of the event loop before others get their turn. */
const runsPerTurn = 64

export class Callbacks {
  #calls: Sent[] = []
  #errors: (Error | null)[] = []
  #scheduled = false
  /** Runs since the event loop was seen to turn. */
  #runs = 0

  /** To be called by the next run(). */
  add(sent: Sent, error: Error | null): void {
    this.#calls.push(sent)
    this.#errors.push(error)
  }

  /** In a later tick, unless there is nothing to do by then. */
  runLater(): void {
    if (this.#scheduled || this.#calls.length === 0) return
    nextTick(this.#later)
    this.#scheduled = true
  }

  readonly #later = () => {
    this.#scheduled = false
    this.run()
  }

  /** Calls all of them, in order. */
  run(): void {
    if (this.#calls.length === 0) return
    this.#runs += 1
    if (this.#runs === runsPerTurn / 2) setImmediate(this.#turned)
    if (this.#runs > runsPerTurn) return
    const calls = this.#calls
    const errors = this.#errors
    this.#calls = []
    this.#errors = []
    let next = 0
    try {
      while (next < calls.length) {
        next += 1
        ;(calls[next - 1] as Sent)(errors[next - 1] as Error | null)
      }
    } finally {
      // One has thrown, which is the process's affair; the others wait no less for theirs.
      if (next < calls.length) {
        this.#calls = calls.slice(next).concat(this.#calls)
        this.#errors = errors.slice(next).concat(this.#errors)
        this.runLater()
      }
    }
  }

  readonly #turned = () => {
    this.#runs = 0
    this.run()
  }
}

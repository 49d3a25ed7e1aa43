/**
 * Reads what has come to one socket, when it is readable: many datagrams in one call, and never for
 * so long that timers and other sockets would have to wait.
 */
import { constants } from 'node:os'
import { INBOX_MESSAGES, inbox, type Received } from './inbox.js'
import { systemError } from './system-error.js'

const { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, ENOTSOCK } = constants.errno

/** How long one socket may keep the thread in one turn of the event loop, in milliseconds. */
const BUDGET_MS = 2

/** Errors in one turn: there is one for each ICMP message, which anybody can forge. */
const ERRORS_PER_TURN = 16

export interface IncomingHost {
  /** As of a ChannelObserver. */
  received(datagrams: Buffer, segment: number, address: string, port: number): boolean
  failed(error: Error): void
  /** Nothing will ever come of this descriptor. */
  broken(error: Error): void
}

/** Where datagrams and the time come from; a test gives its own. */
export interface Means {
  readonly inbox: Received
  now(): number
}

export class Incoming {
  readonly #fd: number
  readonly #host: IncomingHost
  readonly #inbox: Received
  readonly #now: () => number
  /** Messages that can be dealt with within the budget, as it seems. */
  #messages = 4
  #closed = false

  constructor(fd: number, host: IncomingHost, means?: Means) {
    this.#fd = fd
    this.#host = host
    this.#inbox = means?.inbox ?? inbox()
    this.#now = means?.now ?? now
  }

  /** The socket is readable, or has an error. What is left makes it readable again. */
  readable(): void {
    let begin = Number.NaN
    let last = Number.NaN
    let errors = 0
    while (!this.#closed && errors < ERRORS_PER_TURN) {
      const wanted = this.#messages
      const received = this.#inbox.receive(this.#fd, wanted)
      if (received === -EAGAIN) return
      if (received < 0) {
        this.#failed(received)
        errors += 1
        continue
      }
      const isEmpty = received < wanted
      // One that comes alone is not worth a look at the clock.
      if (isEmpty && received === 1) {
        this.#deliver(received)
        return
      }
      if (Number.isNaN(last)) last = begin = this.#now()
      if (!this.#deliver(received)) return
      const now = this.#now()
      this.#adapt(received, now - last)
      if (isEmpty || now - begin >= BUDGET_MS) return
      last = now
    }
  }

  /** Reads no more, also where it is reading now. */
  close(): void {
    this.#closed = true
  }

  /** False where nobody wants more of it. */
  #deliver(messages: number): boolean {
    const from = this.#inbox
    for (let index = 0; index < messages; index += 1) {
      const segment = from.segment(index)
      if (segment === 0) continue
      const { address, port } = from.source(index)
      if (!this.#host.received(from.message(index), segment, address, port)) return false
      if (this.#closed) return false
    }
    return true
  }

  /**
   * What has been read has to be delivered, however long that takes: so the next call reads what will
   * take half of the budget, at most twice as much as this one.
   */
  #adapt(messages: number, milliseconds: number): void {
    const fitting = Math.floor((messages * BUDGET_MS) / 2 / Math.max(milliseconds, 0.001))
    this.#messages = Math.max(1, Math.min(fitting, messages * 2, INBOX_MESSAGES))
  }

  #failed(status: number): void {
    if (status === -EINTR) return
    const error = systemError(status, 'recvmsg')
    if (!isForGood(status)) {
      this.#host.failed(error)
      return
    }
    this.close()
    this.#host.broken(error)
  }
}

function now(): number {
  return performance.now()
}

/** Would be met in each turn of the event loop. */
function isForGood(status: number): boolean {
  return [EBADF, EFAULT, EINVAL, ENOTSOCK].includes(-status)
}

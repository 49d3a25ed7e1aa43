/** What has come of one peer before it is secured: in order, and bounded for each and for all of them. */
import type { ParsedSettings } from '../../model/settings.js'
import type { QueueTotals } from '../datagrams/message-queue.js'

/** All peers together hold at most what so many of them may hold. */
const HOLDERS = 64

export class HeldMessages {
  /** What all peers hold. */
  readonly #totals: QueueTotals
  #messages: Buffer[] = []
  #bytes = 0

  constructor(totals: QueueTotals) {
    this.#totals = totals
  }

  get length(): number {
    return this.#messages.length
  }

  /** @returns whether there is room for it */
  push(message: Buffer, { maxQueuedDatagrams, maxQueuedBytes }: ParsedSettings): boolean {
    const totals = this.#totals
    const { length } = message
    if (this.#messages.length >= maxQueuedDatagrams) return false
    if (this.#bytes + length > maxQueuedBytes) return false
    if (totals.datagrams >= HOLDERS * maxQueuedDatagrams) return false
    if (totals.bytes + length > HOLDERS * maxQueuedBytes) return false
    this.#messages.push(message)
    this.#bytes += length
    totals.datagrams += 1
    totals.bytes += length
    return true
  }

  /** All of them, which are held no longer. */
  release(): Buffer[] {
    const messages = this.#messages
    this.#totals.datagrams -= messages.length
    this.#totals.bytes -= this.#bytes
    this.#messages = []
    this.#bytes = 0
    return messages
  }
}

/** Messages to one peer that wait for its handshake: in order, bounded, each answered once. */
import { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { SendCallback } from '../datagram-provider.js'
import { safely } from './safely.js'

export interface WaitingMessage {
  readonly message: Buffer
  /** What the application called the peer. */
  readonly host: string
  readonly callback: SendCallback
}

/** What all queues of an endpoint hold. */
export interface QueueTotals {
  datagrams: number
  bytes: number
}

export class MessageQueue {
  readonly #totals: QueueTotals
  #messages: WaitingMessage[] = []
  #bytes = 0

  constructor(totals: QueueTotals) {
    this.#totals = totals
  }

  get length(): number {
    return this.#messages.length
  }

  /** @returns what is wrong where there is no room: ENOBUFS */
  push(waiting: WaitingMessage, limits: ParsedSettings, peer: string): Error | undefined {
    const { length } = waiting.message
    const { maxQueuedDatagrams, maxQueuedBytes } = limits
    if (this.#messages.length >= maxQueuedDatagrams || this.#bytes + length > maxQueuedBytes) {
      return new SocketSecurityError(
        'ENOBUFS',
        `${this.#messages.length} datagrams (${this.#bytes} bytes) wait for the handshake with ${peer} already: send less before it is secured, or raise security.maxQueuedDatagrams or security.maxQueuedBytes`,
        { peer },
      )
    }
    // As if it had left: its owner may use the memory again.
    this.#messages.push({ ...waiting, message: Buffer.from(waiting.message) })
    this.#count(1, length)
    return undefined
  }

  get first(): WaitingMessage | undefined {
    return this.#messages[0]
  }

  shift(): WaitingMessage | undefined {
    const first = this.#messages.shift()
    if (first !== undefined) this.#count(-1, -first.message.length)
    return first
  }

  /** Tells every one of them that it will not be sent. */
  fail(error: Error): void {
    const messages = this.#messages
    this.#messages = []
    this.#count(-messages.length, -this.#bytes)
    for (const { callback } of messages) safely(() => callback(error))
  }

  #count(datagrams: number, bytes: number): void {
    this.#bytes += bytes
    this.#totals.datagrams += datagrams
    this.#totals.bytes += bytes
  }
}

/** Datagrams that the system had no room for, in memory of their own, in the order in which they leave. */
import type { Sent } from '../channel.js'
import type { Route } from './route.js'

export interface Waiting {
  readonly datagram: Buffer
  readonly route: Route
  readonly sent: Sent | undefined
  next: Waiting | undefined
}

export class WaitingLine {
  datagrams = 0
  bytes = 0
  /** Of these, how many are of flights. */
  flights = 0
  first: Waiting | undefined
  #last: Waiting | undefined

  /** @param datagram is copied */
  push(datagram: Uint8Array, route: Route, sent: Sent | undefined): void {
    const waiting = { datagram: Buffer.from(datagram), route, sent, next: undefined }
    if (this.#last === undefined) this.first = waiting
    else this.#last.next = waiting
    this.#last = waiting
    this.datagrams += 1
    this.bytes += datagram.length
    if (route.isBarrier) this.flights += 1
  }

  shift(): Waiting | undefined {
    const waiting = this.first
    if (waiting === undefined) return undefined
    this.first = waiting.next
    if (this.first === undefined) this.#last = undefined
    this.datagrams -= 1
    this.bytes -= waiting.datagram.length
    if (waiting.route.isBarrier) this.flights -= 1
    return waiting
  }

  /** All of `earlier` before these; it is empty afterwards. */
  prepend(earlier: WaitingLine): void {
    if (earlier.#last === undefined) return
    earlier.#last.next = this.first
    this.#last ??= earlier.#last
    this.first = earlier.first
    this.datagrams += earlier.datagrams
    this.bytes += earlier.bytes
    this.flights += earlier.flights
    earlier.first = undefined
    earlier.#last = undefined
    earlier.datagrams = 0
    earlier.bytes = 0
    earlier.flights = 0
  }
}

/** Gives runs of datagrams to the system: in one call where it can, and whatever it says to that. */
import { constants } from 'node:os'
import * as linux from '../../../lib/linux-sockets.js'
import type { Pointer } from '../../../lib/memory.js'
import { HEADERS, MessageHeaders } from './message-headers.js'
import { isPassing, mayBeIcmp, refusesSegments } from './refusals.js'
import type { Route } from './route.js'
import { sockaddrBytes } from './sockaddr.js'
import type { Run, Stage } from './stage.js'
import { systemError } from './system-error.js'

/** The system calls; a test gives its own. */
export type SendCalls = Pick<typeof linux, 'sendto' | 'sendmmsg'>

export const systemCalls: SendCalls = { sendto: linux.sendto, sendmmsg: linux.sendmmsg }

/** What the system had no room for: from that datagram of that run on. */
export interface Rest {
  readonly run: Run
  readonly datagram: number
  readonly errno: number
}

const { EAGAIN, EIO } = constants.errno

export class Sender {
  readonly #fd: number
  readonly #nameBytes: number
  readonly #calls: SendCalls
  readonly #stage: Stage
  readonly #headers: MessageHeaders
  readonly #icmpError: (error: Error) => void
  /** Is the socket connected? Then errors come that belong to no datagram of this call. */
  connected = false

  constructor(
    fd: number,
    family: 4 | 6,
    stage: Stage,
    calls: SendCalls,
    icmpError: (error: Error) => void,
  ) {
    this.#fd = fd
    this.#nameBytes = sockaddrBytes(family)
    this.#calls = calls
    this.#stage = stage
    this.#headers = headersOf(stage)
    this.#icmpError = icmpError
  }

  /**
   * Sends runs, linked by `next`; what will never leave is told to the stage.
   * @returns what has to wait, with all that is behind it
   */
  send(first: Run): Rest | undefined {
    if (first.next === undefined && first.count === 1) return this.#sendOneByOne(first)
    let run: Run | undefined = first
    while (run !== undefined) {
      const rest = this.#sendBatch(run)
      if (rest !== undefined) return rest
      for (let sent = 0; sent < HEADERS && run !== undefined; sent += 1) run = run.next
    }
    return undefined
  }

  /** At most HEADERS messages, of which the system may take some at a time. */
  #sendBatch(first: Run): Rest | undefined {
    const messages = this.#describe(first)
    let run = first
    for (let at = 0; at < messages; ) {
      const vector = this.#headers.addressOf(at)
      let passed = this.#calls.sendmmsg(this.#fd, vector, messages - at, linux.MSG_DONTWAIT)
      if (passed <= 0) {
        const rest = this.#refused(run, vector, -passed || EIO)
        if (rest !== undefined) return rest
        passed = 1
      }
      at += passed
      for (; passed > 0 && at < messages; passed -= 1) run = run.next as Run
    }
    return undefined
  }

  /** Fills in the headers of the next messages: how many. */
  #describe(first: Run): number {
    const headers = this.#headers
    headers.clear()
    let messages = 0
    for (
      let run: Run | undefined = first;
      run !== undefined && messages < HEADERS;
      run = run.next
    ) {
      const { name, isPeer } = run.route as Route
      const segment = run.count === 1 ? 0 : run.segment
      const to = isPeer ? undefined : name
      headers.set(messages, to, this.#nameBytes, run.first, run.count, segment)
      messages += 1
    }
    return messages
  }

  /** A message that the system has not taken; its header stands there. */
  #refused(run: Run, header: Pointer, errno: number): Rest | undefined {
    const route = run.route as Route
    let reason = errno
    if (this.connected && mayBeIcmp(errno)) {
      const again = this.#calls.sendmmsg(this.#fd, header, 1, linux.MSG_DONTWAIT)
      if (again !== -errno) this.#icmpError(systemError(-errno, 'send', route))
      if (again > 0) return undefined
      reason = -again || EIO
    }
    if (run.count > 1 && reason !== EAGAIN) {
      // What the way there does not allow, it does not allow later either.
      if (refusesSegments(reason))
        route.tooLargeToSegment = Math.min(route.tooLargeToSegment, run.segment)
      return this.#sendOneByOne(run)
    }
    if (isPassing(reason)) return { run, datagram: run.first, errno: reason }
    this.#fail(run, run.first, reason)
    return undefined
  }

  #sendOneByOne(run: Run): Rest | undefined {
    const { nexts } = this.#stage
    let datagram = run.first
    for (let left = run.count; left > 0; left -= 1) {
      const errno = this.#sendOne(run.route as Route, datagram)
      if (errno !== 0) {
        if (isPassing(errno)) return { run, datagram, errno }
        this.#fail(run, datagram, errno)
      }
      datagram = nexts[datagram] as number
    }
    return undefined
  }

  /** 0, or an error number. */
  #sendOne(route: Route, datagram: number): number {
    const { offsets, sizes, arena } = this.#stage
    const data = arena.address + (offsets[datagram] as number)
    const length = sizes[datagram] as number
    const name = route.isPeer ? 0 : this.#headers.setName(route.name as Uint32Array)
    const nameBytes = route.isPeer ? 0 : this.#nameBytes
    const result = this.#calls.sendto(this.#fd, data, length, linux.MSG_DONTWAIT, name, nameBytes)
    if (result >= 0) return 0
    if (!this.connected || !mayBeIcmp(-result)) return -result
    const again = this.#calls.sendto(this.#fd, data, length, linux.MSG_DONTWAIT, name, nameBytes)
    if (again !== result) this.#icmpError(systemError(result, 'send', route))
    return again >= 0 ? 0 : -again
  }

  #fail({ route }: Run, datagram: number, errno: number): void {
    if (this.#stage.isWaitedFor(datagram))
      this.#stage.fail(datagram, systemError(-errno, 'send', route as Route))
  }
}

let headers: MessageHeaders | undefined

/** Those of this thread. */
function headersOf(stage: Stage): MessageHeaders {
  headers ??= new MessageHeaders(stage)
  return headers
}

/**
 * Calls that wait until the socket is bound, or until the target name of their host is looked up. In
 * order for each destination, and bounded for each as what waits for a handshake is.
 */
import type { ParsedSettings } from '../../model/settings.js'
import { hostKey } from './addresses.js'

export interface WaitingCall {
  readonly run: () => void
  readonly fail: (error: Error) => void
  /** Where it goes, as the application has said it. */
  readonly host: string
  readonly port: number
  /** Bytes of the message. */
  readonly bytes: number
}

type Limits = Pick<ParsedSettings, 'maxQueuedDatagrams' | 'maxQueuedBytes'>

interface Size {
  datagrams: number
  bytes: number
}

export class WaitingCalls {
  #calls: WaitingCall[] = []
  readonly #sizes = new Map<string, Size>()
  datagrams = 0
  bytes = 0

  /** False where too much waits for that destination already. */
  add(call: WaitingCall, limits: Limits): boolean {
    const key = destination(call)
    const size = this.#sizes.get(key) ?? { datagrams: 0, bytes: 0 }
    if (
      size.datagrams >= limits.maxQueuedDatagrams ||
      size.bytes + call.bytes > limits.maxQueuedBytes
    )
      return false
    size.datagrams += 1
    size.bytes += call.bytes
    this.#sizes.set(key, size)
    this.datagrams += 1
    this.bytes += call.bytes
    this.#calls.push(call)
    return true
  }

  /** Does something wait for this destination, which must come first? */
  has(host: string, port: number): boolean {
    return this.datagrams > 0 && this.#sizes.has(destination({ host, port }))
  }

  some(matches: (call: WaitingCall) => boolean): boolean {
    return this.#calls.some(matches)
  }

  /** Runs, in order, all that is not held up any longer, and what comes behind it meanwhile. */
  run(isHeldUp: (call: WaitingCall) => boolean): void {
    while (this.#calls.some(call => !isHeldUp(call))) {
      const calls = this.#calls
      this.#calls = []
      try {
        for (let call = calls.shift(); call; call = calls.shift()) {
          if (isHeldUp(call)) {
            this.#calls.push(call)
            continue
          }
          this.#forget(call)
          call.run()
        }
      } finally {
        this.#calls.unshift(...calls)
      }
    }
  }

  fail(error: Error): void {
    const calls = this.#calls
    this.#calls = []
    for (const call of calls) {
      this.#forget(call)
      call.fail(error)
    }
  }

  #forget(call: WaitingCall): void {
    const key = destination(call)
    const size = this.#sizes.get(key) as Size
    size.datagrams -= 1
    size.bytes -= call.bytes
    if (size.datagrams === 0) this.#sizes.delete(key)
    this.datagrams -= 1
    this.bytes -= call.bytes
  }
}

function destination({ host, port }: Pick<WaitingCall, 'host' | 'port'>): string {
  return `${hostKey(host)} ${port}`
}

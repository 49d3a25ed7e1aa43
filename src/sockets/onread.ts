/**
 * node:net's `onread` option over a channel: the application's own buffer is filled and handed to
 * its callback. One TLS record can hold more than the buffer, and the application can stop in the
 * middle of it; what is left waits here, at most what one read of the channel gave.
 */
export interface OnreadOptions {
  readonly buffer: Uint8Array | (() => Uint8Array)
  readonly callback: (bytes: number, buffer: Uint8Array) => boolean
}

export class OnreadGate {
  #buffer: Uint8Array
  #paused = false
  #held: Buffer[] = []
  readonly #options: OnreadOptions

  constructor(options: OnreadOptions) {
    this.#options = options
    this.#buffer = typeof options.buffer === 'function' ? options.buffer() : options.buffer
  }

  /** Hands a chunk over; false when the application wants no more for now. */
  deliver(socket: Destroyable, chunk: Buffer): boolean {
    this.#held.push(chunk)
    return this.#drain(socket)
  }

  pause(): void {
    this.#paused = true
  }

  /** Hands over what waits; false when it was stopped again. */
  resume(socket: Destroyable): boolean {
    this.#paused = false
    return this.#drain(socket)
  }

  get empty(): boolean {
    return this.#held.length === 0
  }

  #drain(socket: Destroyable): boolean {
    const { buffer, callback } = this.#options
    while (!this.#paused && this.#held.length > 0) {
      if (this.#buffer.length === 0) socket.destroy(noRoom())
      if (socket.destroyed) {
        this.#held = []
        return false
      }
      const chunk = this.#held.shift() as Buffer
      const length = Math.min(chunk.length, this.#buffer.length)
      this.#buffer.set(chunk.subarray(0, length))
      if (length < chunk.length) this.#held.unshift(chunk.subarray(length))
      if (callback.call(socket, length, this.#buffer) === false) this.#paused = true
      if (typeof buffer === 'function') {
        const next = buffer()
        if (next instanceof Uint8Array) this.#buffer = next
      }
    }
    return !this.#paused
  }
}

/** What is destroyed is handed nothing more. */
interface Destroyable {
  readonly destroyed: boolean
  destroy(error: Error): unknown
}

/** As node:net has it for a buffer() that gives none. */
function noRoom(): Error {
  return Object.assign(new Error('onread.buffer() returned an empty buffer'), { code: 'ENOBUFS' })
}

/** The gate of these options, where they ask for one as node:net understands it. */
export function onreadGate(onread: unknown): OnreadGate | null {
  if (typeof onread !== 'object' || onread === null) return null
  const { buffer, callback } = onread as Partial<OnreadOptions>
  const usable = (buffer instanceof Uint8Array && buffer.length > 0) || typeof buffer === 'function'
  return usable && typeof callback === 'function' ? new OnreadGate(onread as OnreadOptions) : null
}

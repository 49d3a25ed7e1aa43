/**
 * The secured sockets of one connect(): one for each address that may be tried. Each is closed once,
 * by the handle that has opened it or here, whenever it comes.
 */
import type { NativeSocket } from '../../providers/provider.js'

export class PreparedSockets {
  readonly #ready = new Map<string, NativeSocket>()
  readonly #failures = new Map<string, Error>()
  readonly #abort = new AbortController()

  /** Prepares the socket of an address; its failure is kept for whoever takes it. */
  async prepare(
    address: string,
    open: (signal: AbortSignal) => Promise<NativeSocket>,
  ): Promise<void> {
    const { signal } = this.#abort
    try {
      const socket = await open(signal)
      if (signal.aborted || this.#ready.has(address)) socket.discard()
      else this.#ready.set(address, socket)
    } catch (error) {
      this.#failures.set(address, error as Error)
    }
  }

  /** Is there one for any address? */
  get any(): boolean {
    return this.#ready.size > 0
  }

  /** The socket of an address, for a handle to open; whoever takes it owns it. */
  take(address: string): NativeSocket | undefined {
    const socket = this.#ready.get(address)
    this.#ready.delete(address)
    return socket
  }

  /** Why there is none for this address; or, without one, for the first that failed. */
  failure(address?: string): Error | undefined {
    return address === undefined
      ? this.#failures.values().next().value
      : this.#failures.get(address)
  }

  /** Closes what no handle has taken, also what is still to come. */
  discard(): void {
    this.#abort.abort()
    for (const socket of this.#ready.values()) socket.discard()
    this.#ready.clear()
  }
}

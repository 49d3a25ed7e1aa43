/** Whom the peers of a datagram socket must prove to be, and when the security of a deleted name ends. */
import type { TargetName } from '../../../model/target-name.js'

export interface PeerName {
  readonly name: TargetName
  /** The application set it; else it is the host that a message is sent to. */
  readonly isSet: boolean
}

export class PeerNames {
  readonly #names = new Map<string, PeerName>()
  readonly #ends = new Map<string, NodeJS.Timeout>()

  get(key: string): PeerName | undefined {
    return this.#names.get(key)
  }

  set(key: string, name: PeerName): void {
    this.#stay(key)
    this.#names.set(key, name)
  }

  /**
   * Serves nobody any longer (R21).
   * @param end what becomes of whoever has proved it, in so many milliseconds; undefined: nobody has
   */
  delete(key: string, end?: { readonly after: number; call(): void }): void {
    this.#stay(key)
    this.#names.delete(key)
    if (end === undefined) return
    const ends = () => {
      this.#ends.delete(key)
      end.call()
    }
    this.#ends.set(key, setTimeout(ends, Math.max(0, end.after)).unref())
  }

  close(): void {
    for (const timer of this.#ends.values()) clearTimeout(timer)
    this.#ends.clear()
  }

  #stay(key: string): void {
    clearTimeout(this.#ends.get(key))
    this.#ends.delete(key)
  }
}

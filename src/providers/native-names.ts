/**
 * The target names that the system was told for the peers of a native datagram socket. The calls for
 * one address and port follow each other; those for different ones do not wait for each other.
 */
import { SocketSecurityError } from '../model/errors.js'
import { peerText } from '../model/peer-text.js'
import type { TargetName } from '../model/target-name.js'
import type { NativeDatagramSocket } from './datagram-provider.js'

interface Entry {
  /** What the system has. */
  name: TargetName | undefined
  /** What the last call gives it that has not ended; none where it takes the name away. */
  coming: { readonly name: TargetName; readonly done: Promise<void> } | undefined
  /** Ends when all calls so far have, whatever came of them. */
  last: Promise<void>
  calls: number
}

export class NativeNames {
  #socket: NativeDatagramSocket | undefined
  readonly #entries = new Map<string, Entry>()

  /** From now on there is somebody to tell. */
  attach(socket: NativeDatagramSocket): void {
    this.#socket = socket
  }

  /** Nothing is told any more. */
  close(): void {
    this.#socket = undefined
  }

  /**
   * Tells the system, unless it has that name already.
   * @param host the canonical text of an address
   * @param port 0: all ports of the address
   */
  apply(host: string, port: number, name: TargetName, isSet: boolean): Promise<void> {
    const entry = this.#entry(host, port)
    if (entry.coming?.name.text === name.text) return entry.coming.done
    const done = this.#next(host, port, entry, async () => {
      if (entry.name?.text === name.text) return
      if (entry.name !== undefined) await this.#delete(host, port, entry)
      await this.#attached().setTargetName(host, port, name, isSet)
      entry.name = name
    })
    entry.coming = { name, done }
    return done
  }

  /** Takes the name away, where the system has one. */
  remove(host: string, port: number): Promise<void> {
    const entry = this.#entries.get(key(host, port))
    if (entry === undefined) return Promise.resolve()
    entry.coming = undefined
    return this.#next(host, port, entry, async () => {
      if (entry.name !== undefined) await this.#delete(host, port, entry)
    })
  }

  /** When the calls for just this have ended; rejects where the last one has failed just now. */
  settled(host: string, port: number): Promise<void> {
    const entry = this.#entries.get(key(host, port))
    return entry?.coming?.done ?? entry?.last ?? Promise.resolve()
  }

  async #delete(host: string, port: number, entry: Entry): Promise<void> {
    await this.#attached().deleteTargetName(host, port)
    entry.name = undefined
  }

  /** The call comes after those before it; a failure of theirs is not its own. */
  #next(host: string, port: number, entry: Entry, call: () => Promise<void>): Promise<void> {
    entry.calls += 1
    const done = entry.calls === 1 ? call() : entry.last.then(call)
    const ended = () => {
      entry.calls -= 1
      if (entry.calls > 0) return
      entry.coming = undefined
      if (entry.name === undefined) this.#entries.delete(key(host, port))
    }
    entry.last = done.then(ended, ended)
    return done
  }

  #entry(host: string, port: number): Entry {
    const known = this.#entries.get(key(host, port))
    if (known !== undefined) return known
    const entry = { name: undefined, coming: undefined, last: Promise.resolve(), calls: 0 }
    this.#entries.set(key(host, port), entry)
    return entry
  }

  #attached(): NativeDatagramSocket {
    if (this.#socket === undefined) {
      throw new SocketSecurityError('ECANCELED', 'the socket was closed', {
        syscall: 'WSASetSocketPeerTargetName',
      })
    }
    return this.#socket
  }
}

function key(host: string, port: number): string {
  return peerText(host, port)
}

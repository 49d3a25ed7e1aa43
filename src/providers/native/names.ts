/**
 * The target names that the system was told for the peers of a native datagram socket. The calls for
 * one address and port follow each other; those for different ones do not wait for each other.
 */
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { TargetName } from '../../model/target-name.js'
import type { NativeDatagramSocket } from '../datagram-provider.js'

interface Entry {
  /** What the system has; undefined where it has none, or may have refused what it was told. */
  name: TargetName | undefined
  /** A call that was given up, and may take effect at any time: what the system has is not known. */
  lost: Error | undefined
  /** The name that such a call was to set; there is no other that can be told then. */
  doubtful: TargetName | undefined
  /** How often a name was asked for. */
  applied: number
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
    entry.applied += 1
    if (entry.coming?.name.text === name.text) return entry.coming.done
    const done = this.#next(host, port, entry, async () => {
      if (entry.name?.text === name.text) return
      if (entry.name !== undefined) await this.#delete(host, port, entry)
      if (entry.doubtful !== undefined && entry.doubtful.text !== name.text)
        entry.lost ??= new Error(`the name ${entry.doubtful.text} may still be set`)
      if (entry.lost !== undefined) throw unknown(host, port, entry.lost)
      await this.#set(host, port, name, isSet, entry)
    })
    entry.coming = { name, done }
    return done
  }

  /**
   * Takes the name away, where the system has one and nobody has asked for one meanwhile.
   * @param after what has to be over before: who is being authenticated by the name
   */
  async remove(host: string, port: number, after?: Promise<void>): Promise<void> {
    const entry = this.#entries.get(key(host, port))
    if (entry === undefined) return
    const { applied } = entry
    if (after) {
      await after
      if (entry.applied !== applied) return
    }
    entry.coming = undefined
    await this.#next(host, port, entry, async () => {
      if (entry.applied === applied && entry.name !== undefined)
        await this.#delete(host, port, entry)
    })
  }

  /** When the calls for just this have ended; rejects where the last one has failed just now. */
  settled(host: string, port: number): Promise<void> {
    const entry = this.#entries.get(key(host, port))
    return entry?.coming?.done ?? entry?.last ?? Promise.resolve()
  }

  async #set(
    host: string,
    port: number,
    name: TargetName,
    isSet: boolean,
    entry: Entry,
  ): Promise<void> {
    try {
      await this.#attached().setTargetName(host, port, name, isSet)
      entry.doubtful = undefined
      entry.name = name
    } catch (error) {
      if (isGivenUp(error)) entry.doubtful = name
      throw error
    }
  }

  /** Where it fails, the system is told again before the name is relied on. */
  async #delete(host: string, port: number, entry: Entry): Promise<void> {
    entry.name = undefined
    try {
      await this.#attached().deleteTargetName(host, port)
    } catch (error) {
      if (isGivenUp(error)) entry.lost = error as Error
      throw error
    }
  }

  /** The call comes after those before it; a failure of theirs is not its own. */
  #next(host: string, port: number, entry: Entry, call: () => Promise<void>): Promise<void> {
    entry.calls += 1
    const done = entry.calls === 1 ? call() : entry.last.then(call)
    const ended = () => {
      entry.calls -= 1
      if (entry.calls > 0) return
      entry.coming = undefined
      const { name, lost, doubtful } = entry
      if (!name && !lost && !doubtful) this.#entries.delete(key(host, port))
    }
    entry.last = done.then(ended, ended)
    return done
  }

  #entry(host: string, port: number): Entry {
    const known = this.#entries.get(key(host, port))
    if (known !== undefined) return known
    const entry: Entry = {
      name: undefined,
      lost: undefined,
      doubtful: undefined,
      applied: 0,
      coming: undefined,
      last: Promise.resolve(),
      calls: 0,
    }
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

/** The system was not waited for any longer. */
function isGivenUp(error: unknown): boolean {
  const { code } = Object(error) as { code?: string }
  return code === 'ETIMEDOUT' || code === 'ECANCELED'
}

function unknown(host: string, port: number, cause: Error): SocketSecurityError {
  const peer = peerText(host, port)
  return new SocketSecurityError(
    'EPROTO',
    `which target name the system has for ${peer} is not known, since it did not answer in time: use another socket`,
    { peer, cause, syscall: 'WSASetSocketPeerTargetName' },
  )
}

function key(host: string, port: number): string {
  return peerText(host, port)
}

/**
 * Guards: policies of the kernel that drop what has no keys. Each is a connection of its own, so
 * that a process needs no lock for its guards and no other's change can touch them.
 */
import { SocketSecurityError } from '../../model/errors.js'
import type { Link } from './link.js'
import { hasGuard } from './listing.js'
import { guardMessage } from './messages.js'
import { ANY, type GuardDescription, guardName, newOwnerName } from './names.js'
import type { Transport } from './plans.js'

interface Entry {
  readonly description: GuardDescription
  readonly name: string
  readonly loaded: Promise<void>
  holders: number
}

export class Guards {
  readonly #link: Link
  readonly #entries = new Map<string, Entry>()
  /** What could not be taken away while the daemon was gone. */
  readonly #left = new Map<string, GuardDescription>()

  constructor(link: Link) {
    this.#link = link
  }

  get size(): number {
    return this.#entries.size
  }

  /** @returns releases it; never rejects */
  async add(
    transport: Transport,
    localPort: number,
    localAddress: string = ANY,
  ): Promise<() => Promise<void>> {
    const key = `${transport} ${localAddress} ${localPort}`
    const held = this.#entries.get(key) ?? this.#make(key, { transport, localAddress, localPort })
    return this.#hold(key, held)
  }

  /** A new one behind all others, also where there is one of the port. */
  addBehind(transport: Transport, localPort: number): Promise<() => Promise<void>> {
    const key = `${transport} ${ANY} ${localPort}`
    return this.#hold(key, this.#make(key, { transport, localAddress: ANY, localPort }))
  }

  #make(key: string, port: Omit<GuardDescription, 'owner'>): Entry {
    const description = { owner: newOwnerName(), ...port }
    const { owner, transport, localAddress, localPort } = description
    const name = guardName(owner, transport, localAddress, localPort)
    const entry = { description, name, loaded: this.#load(description, name), holders: 0 }
    this.#entries.set(key, entry)
    return entry
  }

  async #hold(key: string, held: Entry): Promise<() => Promise<void>> {
    held.holders++
    let released: Promise<void> | undefined
    const release = () => {
      released ??= this.#release(key, held)
      return released
    }
    try {
      await held.loaded
    } catch (error) {
      await release()
      throw error
    }
    return release
  }

  /** The guard of that port that the daemon says it has given to the kernel; undefined where there is none. */
  nameFor(transport: Transport, localAddress: string, localPort: number): string | undefined {
    const exact = this.#entries.get(`${transport} ${localAddress} ${localPort}`)
    return (exact ?? this.#entries.get(`${transport} ${ANY} ${localPort}`))?.name
  }

  /** All of them again, after the daemon was restarted. */
  async restore(): Promise<void> {
    for (const { description, name } of [...this.#entries.values()])
      await this.#load(description, name)
    // The kernel may have kept them longer than the daemon: it forgets only what the daemon knows.
    for (const [name, description] of [...this.#left]) {
      await this.#load(description, name)
      await this.#unload(name, description)
    }
  }

  async #load(description: GuardDescription, name: string): Promise<void> {
    await this.#link.request('load-conn', guardMessage(description))
    // That says nothing of the kernel.
    if (await hasGuard(this.#link, name)) return
    throw new SocketSecurityError(
      'ERR_PROVIDER_UNAVAILABLE',
      `strongSwan could not give the kernel a policy for ${description.transport} port ${description.localPort}: see its log; the kernel needs xfrm_user, and the daemon its plugin kernel-netlink`,
    )
  }

  async #release(key: string, entry: Entry): Promise<void> {
    if (--entry.holders > 0) return
    if (this.#entries.get(key) === entry) this.#entries.delete(key)
    await entry.loaded.catch(() => {})
    await this.#unload(entry.name, entry.description)
  }

  async #unload(name: string, description: GuardDescription): Promise<void> {
    this.#left.set(name, description)
    try {
      await this.#link.request('unload-conn', { name })
      this.#left.delete(name)
    } catch (error) {
      // It was not there: then there is nothing to be taken away.
      if (/not found/.test(String((error as Error).message))) this.#left.delete(name)
    }
  }
}

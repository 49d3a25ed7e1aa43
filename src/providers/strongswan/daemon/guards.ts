/**
 * Guards: policies of the kernel that drop what has no keys. Each is a connection of its own, so
 * that a process needs no lock for its guards and no other's change can touch them, and each has a
 * canary, which dies before it.
 */
import { SocketSecurityError } from '../../../model/errors.js'
import type { Transport } from '../plans/plans.js'
import { type Canary, noPolicies, openCanary } from './canary.js'
import { CommandError } from './errors.js'
import type { Link } from './link.js'
import { hasGuard } from './listing.js'
import { guardMessage } from './messages.js'
import { ANY, type GuardDescription, guardName, newOwnerName } from './names.js'

/** A guard that is held by one or several sockets. */
export interface HeldGuard {
  /** The name of its connection and of its child. */
  readonly name: string
  /** Whether it is in the kernel. */
  holds(remoteAddress?: string): boolean
}

interface Entry extends HeldGuard {
  readonly description: GuardDescription
  readonly canary: Canary
  loaded: Promise<void>
  /** The daemon may have it. */
  sent: boolean
  holders: number
}

export class Guards {
  readonly #link: Link
  readonly #entries = new Map<string, Entry>()
  /** What could not be taken away while the daemon was gone. */
  readonly #left = new Map<string, Entry>()
  /** Whose turn it is to be looked at. */
  #looked = 0

  constructor(link: Link) {
    this.#link = link
  }

  get size(): number {
    return this.#entries.size
  }

  async add(
    transport: Transport,
    localPort: number,
    localAddress: string = ANY,
  ): Promise<{ guard: HeldGuard; release: () => Promise<void> }> {
    const key = `${transport} ${localAddress} ${localPort}`
    const entry = this.#entries.get(key) ?? this.#make({ transport, localAddress, localPort })
    this.#entries.set(key, entry)
    entry.holders++
    let released: Promise<void> | undefined
    const release = () => {
      released ??= this.#release(key, entry)
      return released
    }
    try {
      await entry.loaded
    } catch (error) {
      await release()
      throw error
    }
    return { guard: entry, release }
  }

  /** The guard of that port; undefined where there is none. */
  of(transport: Transport, localAddress: string, localPort: number): HeldGuard | undefined {
    const exact = this.#entries.get(`${transport} ${localAddress} ${localPort}`)
    return exact ?? this.#entries.get(`${transport} ${ANY} ${localPort}`)
  }

  /**
   * Whether those that should be in the kernel are.
   * @param most how many are looked at, others next time
   */
  hold(most: number, remoteAddress?: string): boolean {
    const entries = [...this.#entries.values()].filter(each => each.holds !== notYet)
    for (let count = Math.min(most, entries.length); count > 0; count--) {
      this.#looked = (this.#looked + 1) % entries.length
      if (entries[this.#looked]?.holds(remoteAddress) === false) return false
    }
    return true
  }

  /** All of them again, after the daemon was restarted. */
  async restore(): Promise<void> {
    for (const entry of [...this.#entries.values()]) {
      if (entry.holders === 0) continue
      // Whoever takes it back meanwhile waits for that.
      entry.loaded = this.#load(entry)
      await entry.loaded
    }
    // The kernel may have kept them longer than the daemon: it forgets only what the daemon knows.
    for (const entry of [...this.#left.values()]) {
      await this.#load(entry)
      await this.#unload(entry)
    }
  }

  #make(port: Omit<GuardDescription, 'owner'>): Entry {
    const description = { owner: newOwnerName(), ...port }
    const { owner, transport, localAddress, localPort } = description
    const canary = openCanary(localAddress === ANY ? undefined : localAddress)
    const entry: Entry = {
      description,
      name: guardName(owner, transport, localAddress, localPort),
      canary,
      holds: notYet,
      loaded: Promise.resolve(),
      sent: false,
      holders: 0,
    }
    entry.loaded = this.#load(entry)
    return entry
  }

  async #load(entry: Entry): Promise<void> {
    const { description, name, canary } = entry
    await this.#link.connect()
    entry.sent = true
    await this.#link.request('load-conn', guardMessage(description, canary.port))
    // That says nothing of the kernel.
    if (!(await hasGuard(this.#link, name))) throw refused(description)
    if (!canary.lives()) throw noPolicies(this.#link.path)
    Object.assign(entry, { holds: (address?: string) => canary.lives(address) })
  }

  async #release(key: string, entry: Entry): Promise<void> {
    if (--entry.holders > 0) return
    if (this.#entries.get(key) === entry) this.#entries.delete(key)
    await entry.loaded.catch(() => {})
    await this.#unload(entry)
  }

  async #unload(entry: Entry): Promise<void> {
    const { name } = entry
    if (!entry.sent) {
      entry.canary.close()
      return
    }
    this.#left.set(name, entry)
    try {
      await this.#link.request('unload-conn', { name })
    } catch (error) {
      // Where it was not there, there is nothing to be taken away.
      if (!(error instanceof CommandError)) return
    }
    // Not twice: it may have been taken away while everything was put back.
    if (this.#left.delete(name)) entry.canary.close()
  }
}

function notYet(): boolean {
  return false
}

function refused({ transport, localPort }: GuardDescription): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `strongSwan could not give the kernel a policy for ${transport} port ${localPort}: see its log; the kernel needs xfrm_user, and the daemon its plugin kernel-netlink`,
  )
}

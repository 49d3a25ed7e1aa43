/** The daemon behind its interface: guards, connections and the canary, kept in step with each other. */
import { SocketSecurityError } from '../../model/errors.js'
import { associationFor, changesOf, type InstalledKeys, listKeys } from './associations.js'
import { type Canary, noPolicies, openCanary } from './canary.js'
import { Connections, type Placed } from './connections.js'
import type { Daemon, DaemonWatcher, Flow, Guard, Listener } from './daemon.js'
import { Guards } from './guards.js'
import { initiate } from './initiation.js'
import { Link } from './link.js'
import { hasGuard } from './listing.js'
import { ANY, type ChildDescription, childName, newOwnerName } from './names.js'
import type {
  Association,
  ConnectionPlan,
  FiveTuple,
  FlowPlan,
  ListenerPlan,
  Transport,
} from './plans.js'
import { ALARM, ALARMED, CALM, PATIENCE, RETRY } from './recovery.js'
import type { Section } from './vici/section.js'

export class StrongswanDaemon implements Daemon {
  readonly #path: string
  readonly #link: Link
  readonly #guards: Guards
  readonly #connections: Connections
  readonly #watchers = new Set<DaemonWatcher>()
  /** Whose keys' end is told. */
  readonly #downs = new Map<string, Set<(error: Error) => void>>()
  #canary: Canary | undefined
  /** Guards the canary's port. */
  #cage: (() => Promise<void>) | undefined
  #caging: Promise<void> = Promise.resolve()
  #listing: Promise<InstalledKeys[]> | undefined
  /** Guards, flows and listeners. */
  #users = 0
  #timer: NodeJS.Timeout | undefined
  #alarmedUntil = 0
  #recovering: Promise<void> | undefined
  #interrupted = false

  constructor(path: string) {
    this.#path = path
    this.#link = new Link(path, {
      event: (_, section) => this.#event(section),
      lost: error => this.#recover(error),
    })
    this.#guards = new Guards(this.#link)
    this.#connections = new Connections(this.#link)
  }

  async guard(transport: Transport, localPort: number, localAddress?: string): Promise<Guard> {
    return this.#using(async () => {
      const release = await this.#guards.add(transport, localPort, localAddress)
      try {
        await this.#cageCanary()
      } catch (error) {
        await release()
        throw error
      }
      return { release: this.#once(release) }
    })
  }

  async addFlow(plan: FlowPlan): Promise<Flow> {
    return this.#using(async () => {
      const { localAddress, remoteAddress, remotePort } = plan
      const placed = await this.#connections.add(
        this.#wanted(plan, plan.connection, {
          kind: 'flow',
          ...{ localAddress, remoteAddress, remotePort },
        }),
      )
      return {
        initiate: options => this.#initiate(placed, plan, options),
        onDown: listener => this.#onDown(placed.child, listener),
        remove: this.#once(() => this.#connections.remove(placed)),
      }
    })
  }

  async addListener(plan: ListenerPlan): Promise<Listener> {
    return this.#using(async () => {
      const every = ['0.0.0.0', '::'].includes(plan.localAddress)
      const localAddress = every ? ANY : plan.localAddress
      const adding = plan.connections.map(connection =>
        this.#connections.add(
          this.#wanted(plan, connection, {
            kind: 'listener',
            ...{ localAddress, remoteAddress: ANY, remotePort: 0 },
          }),
        ),
      )
      const placed = await all(adding, each => this.#connections.remove(each))
      return {
        remove: this.#once(async () => {
          await Promise.all(placed.map(each => this.#connections.remove(each)))
        }),
      }
    })
  }

  async find(flow: FiveTuple): Promise<Association | null> {
    const guard = this.#guards.nameFor(flow.transport, flow.localAddress, flow.localPort)
    // Without it, what has no keys could come and go in clear.
    if (guard === undefined || !this.holds(flow.remoteAddress)) return null
    const [keys, guarded] = await Promise.all([this.#keys(), hasGuard(this.#link, guard)])
    return guarded && this.holds(flow.remoteAddress) ? associationFor(keys, flow) : null
  }

  holds(remoteAddress?: string): boolean {
    if (this.#interrupted) return false
    if (this.#canary === undefined || this.#cage === undefined) return false
    if (this.#canary.lives(remoteAddress)) return true
    this.#recover(noPolicies(this.#path))
    return false
  }

  watch(watcher: DaemonWatcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  #wanted(
    { transport, localPort }: FlowPlan | ListenerPlan,
    plan: ConnectionPlan,
    rest: Pick<ChildDescription, 'kind' | 'localAddress' | 'remoteAddress' | 'remotePort'>,
  ) {
    const { rekeySeconds = 0, rekeyBytes = 0, inactivitySeconds = 0 } = plan.lifetimes
    const lifetimes = { rekeySeconds, rekeyBytes, inactivitySeconds }
    const description = { ...rest, transport, localPort, ...lifetimes }
    return { child: childName(newOwnerName(), description), description, plan }
  }

  async #initiate(
    placed: Placed,
    flow: FiveTuple,
    options: { timeout: number; signal?: AbortSignal },
  ): Promise<void> {
    const present = await this.#keys()
    if (present.some(each => each.child === placed.child)) return
    await this.#connections.reloadCredential(placed.plan)
    await initiate(this.#path, placed, options)
    // The daemon says so when it has given the keys to the kernel; policies are another matter.
    if (!this.holds(flow.remoteAddress)) throw noPolicies(this.#path)
  }

  /** One listing for all who ask before it is asked for. */
  #keys(): Promise<InstalledKeys[]> {
    this.#listing ??= Promise.resolve().then(() => {
      this.#listing = undefined
      return listKeys(this.#link, name => this.#connections.describe(name))
    })
    return this.#listing
  }

  #onDown(child: string, listener: (error: Error) => void): () => void {
    const listeners = this.#downs.get(child) ?? new Set()
    this.#downs.set(child, listeners)
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.#downs.delete(child)
    }
  }

  #event(section: Section): void {
    const { up, changed } = changesOf(section)
    // A daemon that is being stopped first ends all keys.
    if (!up) this.#alarm()
    for (const { child, flow, remoteId } of changed) {
      for (const watcher of [...this.#watchers]) watcher.changed?.({ flow, remoteId, up })
      if (!up && this.#downs.has(child)) void this.#tellDown(child)
    }
  }

  async #tellDown(child: string): Promise<void> {
    // Others may have come instead.
    const left = await this.#keys().catch(() => [])
    if (left.some(each => each.child === child)) return
    const error = new SocketSecurityError(
      'ECONNRESET',
      "the keys with the peer have ended: the peer has deleted them, or does not answer any more; see strongSwan's log",
    )
    for (const listener of [...(this.#downs.get(child) ?? [])]) listener(error)
  }

  // --- The canary

  /** Puts the canary behind all guards, one at a time. */
  #cageCanary(): Promise<void> {
    this.#caging = this.#caging.catch(() => {}).then(() => this.#moveCanary())
    return this.#caging
  }

  async #moveCanary(): Promise<void> {
    this.#canary ??= openCanary()
    const before = this.#cage
    this.#cage = await this.#guards.addAnother('udp', this.#canary.port)
    this.#interrupted = false
    await before?.()
    this.#watchCanary()
    if (!this.#canary.lives()) throw noPolicies(this.#path)
  }

  #watchCanary(): void {
    if (this.#timer !== undefined || this.#canary === undefined) return
    const pause = performance.now() < this.#alarmedUntil ? ALARMED : CALM
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.holds()
      this.#watchCanary()
    }, pause).unref()
  }

  #alarm(): void {
    this.#alarmedUntil = performance.now() + ALARM
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#watchCanary()
  }

  // --- The daemon's end

  #recover(error: Error): void {
    if (this.#users === 0 && this.#cage === undefined) return
    this.#alarm()
    this.#lookForPolicies(error)
    this.#recovering ??= this.#comeBack(error).finally(() => {
      this.#recovering = undefined
    })
  }

  /** Tells, once, that they are gone. */
  #lookForPolicies(error: Error): void {
    if (this.#interrupted || this.#canary === undefined || this.#canary.lives()) return
    this.#interrupted = true
    for (const watcher of [...this.#watchers]) watcher.interrupted?.(error)
  }

  async #comeBack(error: Error): Promise<void> {
    const end = performance.now() + PATIENCE
    let last: unknown = error
    while (performance.now() < end && this.#users > 0) {
      this.#lookForPolicies(error)
      try {
        await this.#link.connect()
        await this.#guards.restore()
        await this.#connections.restore()
        await this.#cageCanary()
        for (const watcher of [...this.#watchers]) watcher.restored?.()
        return
      } catch (cause) {
        last = cause
        await new Promise(resolve => setTimeout(resolve, RETRY))
      }
    }
    if (this.#users === 0) return
    const lost = new SocketSecurityError(
      'ECONNRESET',
      `strongSwan at ${this.#path} has gone and was not back within ${PATIENCE / 1000} s: what it secured is closed`,
      { cause: last },
    )
    this.#interrupted = true
    for (const watcher of [...this.#watchers]) watcher.lost?.(lost)
  }

  // --- Who uses it

  async #using<T>(work: () => Promise<T>): Promise<T> {
    this.#users++
    try {
      return await work()
    } catch (error) {
      await this.#leave()
      throw error
    }
  }

  /** Ends a use, whoever calls it however often. Never rejects. */
  #once(end: () => Promise<void>): () => Promise<void> {
    let ended: Promise<void> | undefined
    return () => {
      ended ??= end()
        .catch(() => {})
        .then(() => this.#leave())
      return ended
    }
  }

  async #leave(): Promise<void> {
    if (--this.#users > 0) return
    await this.#caging.catch(() => {})
    if (this.#users > 0) return
    const cage = this.#cage
    const canary = this.#canary
    this.#cage = undefined
    this.#canary = undefined
    this.#interrupted = false
    clearTimeout(this.#timer)
    this.#timer = undefined
    await cage?.()
    canary?.close()
    if (this.#users === 0) this.#link.close()
  }
}

/** All of them, or none. */
async function all<T>(promises: Promise<T>[], undo: (each: T) => Promise<void>): Promise<T[]> {
  const results = await Promise.allSettled(promises)
  const done = results.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = results.find(each => each.status === 'rejected')
  if (failed === undefined) return done
  await Promise.all(done.map(undo))
  throw failed.reason
}

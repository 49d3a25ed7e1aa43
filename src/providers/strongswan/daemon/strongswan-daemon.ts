/** The daemon behind its interface: guards, connections and the canary, kept in step with each other. */
import { SocketSecurityError } from '../../../model/errors.js'
import type {
  Association,
  ConnectionPlan,
  FiveTuple,
  FlowPlan,
  ListenerPlan,
  Transport,
} from '../plans/plans.js'
import type { Section } from '../vici/section.js'
import { associationFor, changesOf, type InstalledKeys, listKeys } from './associations.js'
import { noPolicies } from './canary.js'
import { Connections, type Placed } from './connections.js'
import type { Daemon, DaemonWatcher, Flow, Guard, Listener } from './daemon.js'
import { Guards, type HeldGuard } from './guards.js'
import { initiate } from './initiation.js'
import { letsIn } from './likeness.js'
import { Link } from './link.js'
import { hasGuard } from './listing.js'
import { ANY, ANY_IPV4, ANY_IPV6, type ChildDescription, childName, newOwnerName } from './names.js'
import { Recovery } from './recovery.js'
import { Sentinel } from './sentinel.js'
import { Users } from './users.js'

export class StrongswanDaemon implements Daemon {
  readonly #path: string
  readonly #link: Link
  readonly #guards: Guards
  readonly #connections: Connections
  readonly #sentinel: Sentinel
  readonly #users: Users
  readonly #watchers = new Set<DaemonWatcher>()
  /** Whose keys' end is told, by child. */
  readonly #downs = new Map<string, Set<(error: Error) => void>>()
  #listing: Promise<InstalledKeys[]> | undefined
  /** Whether the daemon knows a guard. */
  readonly #asked = new Map<string, Promise<boolean>>()
  readonly #recovery: Recovery
  /** The policies are gone from the kernel, and not yet there again. */
  #interrupted = false

  constructor(path: string) {
    this.#path = path
    this.#link = new Link(path, {
      event: (_, section) => this.#event(section),
      lost: error => this.#recover(error),
    })
    this.#guards = new Guards(this.#link)
    this.#connections = new Connections(this.#link)
    this.#sentinel = new Sentinel(this.#guards, () => this.#recover(noPolicies(path)))
    this.#users = new Users(() => this.#stop())
    this.#recovery = new Recovery({
      path,
      needed: () => this.#users.count > 0,
      restore: () => this.#restore(),
      restored: () => this.#tell(watcher => watcher.restored?.()),
      lost: error => this.#tell(watcher => watcher.lost?.(error)),
      abandoned: () => void this.#stop(),
    })
  }

  guard(transport: Transport, localPort: number, localAddress?: string): Promise<Guard> {
    return this.#users.during(async use => {
      await this.#recovery.ready()
      const { guard, release } = await this.#guards.add(transport, localPort, localAddress)
      this.#sentinel.watch()
      return {
        holds: remoteAddress => this.#holds(guard, remoteAddress),
        release: use.until(release),
      }
    })
  }

  addFlow(plan: FlowPlan): Promise<Flow> {
    return this.#users.during(async use => {
      await this.#recovery.ready()
      const { localAddress, remoteAddress, remotePort } = plan
      const addresses = { localAddress, remoteAddress, remotePort }
      const wanted = describe(plan, plan.connection, { kind: 'flow', ...addresses })
      const placed = await this.#connections.add(wanted)
      return {
        initiate: options => this.#initiate(placed, plan, options),
        onDown: listener => this.#onDown(placed.child, listener),
        remove: use.until(() => this.#connections.remove(placed)),
      }
    })
  }

  addListener(plan: ListenerPlan): Promise<Listener> {
    return this.#users.during(async use => {
      await this.#recovery.ready()
      const localAddress = listeningAddress(plan)
      const addresses = { localAddress, remoteAddress: ANY, remotePort: 0 }
      const adding = plan.connections.map(connection =>
        this.#connections.add(describe(plan, connection, { kind: 'listener', ...addresses })),
      )
      const remove = (placed: Placed) => this.#connections.remove(placed)
      const placed = await all(adding, remove)
      return {
        remove: use.until(async () => {
          await Promise.all(placed.map(remove))
        }),
      }
    })
  }

  async find(flow: FiveTuple, admitted: readonly ConnectionPlan[]): Promise<Association | null> {
    const { transport, localAddress, localPort, remoteAddress } = flow
    const guard = this.#guards.of(transport, localAddress, localPort)
    // Without it, what has no keys could come and go in clear.
    if (guard === undefined || !this.#holds(guard, remoteAddress)) return null
    const [keys, guarded] = await Promise.all([this.#keys(), this.#knowsGuard(guard.name)])
    if (!guarded || !this.#holds(guard, remoteAddress)) return null
    return associationFor(keys, flow, connection => this.#admits(connection, admitted))
  }

  #admits(connection: string, plans: readonly ConnectionPlan[]): boolean {
    const description = this.#connections.describe(connection)
    return description !== undefined && plans.some(plan => letsIn(plan, description))
  }

  holds(remoteAddress?: string): boolean {
    if (this.#interrupted) return false
    if (this.#guards.hold(Number.POSITIVE_INFINITY, remoteAddress)) return true
    this.#recover(noPolicies(this.#path))
    return false
  }

  #holds(guard: HeldGuard, remoteAddress: string | undefined): boolean {
    if (this.#interrupted) return false
    if (guard.holds(remoteAddress)) return true
    this.#recover(noPolicies(this.#path))
    return false
  }

  watch(watcher: DaemonWatcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  async #initiate(
    placed: Placed,
    flow: FiveTuple,
    options: { timeout: number; signal?: AbortSignal },
  ): Promise<void> {
    const installed = async () =>
      (await this.#keys()).some(({ child, lives }) => lives && child === placed.child)
    if (await installed()) return
    await this.#connections.reloadCredential(placed.plan)
    await initiate(this.#link, placed, { ...options, installed })
    // The daemon says so when it has given the keys to the kernel; policies are another matter.
    const guard = this.#guards.of(flow.transport, flow.localAddress, flow.localPort)
    if (guard === undefined || !this.#holds(guard, flow.remoteAddress)) throw noPolicies(this.#path)
  }

  /** One listing for all who ask before it is asked for. */
  #keys(): Promise<InstalledKeys[]> {
    this.#listing ??= Promise.resolve().then(() => {
      this.#listing = undefined
      return listKeys(this.#link, name => this.#connections.describe(name))
    })
    return this.#listing
  }

  #knowsGuard(name: string): Promise<boolean> {
    const asked =
      this.#asked.get(name) ??
      Promise.resolve().then(() => {
        this.#asked.delete(name)
        return hasGuard(this.#link, name)
      })
    this.#asked.set(name, asked)
    return asked
  }

  // --- What the daemon tells

  #event(section: Section): void {
    const { up, changed } = changesOf(section)
    // A daemon that is being stopped ends all keys first.
    if (!up) this.#sentinel.alarm()
    for (const { child, flow, remoteId } of changed) {
      this.#tell(watcher => watcher.changed?.({ flow, remoteId, up }))
      if (!up && this.#downs.has(child)) void this.#tellDown(child)
    }
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

  async #tellDown(child: string): Promise<void> {
    // Others may have come instead.
    const left = await this.#keys().catch(() => [])
    if (left.some(each => each.child === child)) return
    const error = new SocketSecurityError(
      'ECONNRESET',
      "the keys with the peer have ended: it has deleted them, or does not answer any more; see strongSwan's log",
    )
    for (const listener of [...(this.#downs.get(child) ?? [])]) listener(error)
  }

  #tell(what: (watcher: DaemonWatcher) => void): void {
    for (const watcher of [...this.#watchers]) what(watcher)
  }

  // --- When it is gone

  #recover(error: Error): void {
    if (this.#users.count === 0) {
      this.#connections.forget()
      return
    }
    this.#sentinel.alarm()
    this.#noticePolicies(error)
    this.#recovery.begin(error)
  }

  /** Tells, once, that they are gone. */
  #noticePolicies(error: Error): void {
    if (this.#interrupted || this.#guards.hold(Number.POSITIVE_INFINITY)) return
    this.#interrupted = true
    this.#tell(watcher => watcher.interrupted?.(error))
  }

  async #restore(): Promise<void> {
    try {
      await this.#link.connect()
      await this.#guards.restore()
      await this.#connections.restore()
    } catch (error) {
      this.#noticePolicies(error as Error)
      throw error
    }
    this.#interrupted = false
  }

  /** Nothing uses it any more. */
  async #stop(): Promise<void> {
    await this.#connections.clear()
    this.#interrupted = false
    if (this.#users.count === 0) this.#link.close()
  }
}

function listeningAddress({ localAddress, ipv6Only }: ListenerPlan): string {
  if (localAddress === '0.0.0.0') return ANY_IPV4
  if (localAddress !== '::') return localAddress
  return ipv6Only ? ANY_IPV6 : ANY
}

function describe(
  { transport, localPort }: FlowPlan | ListenerPlan,
  plan: FlowPlan['connection'],
  rest: Pick<ChildDescription, 'kind' | 'localAddress' | 'remoteAddress' | 'remotePort'>,
) {
  const { rekeySeconds = 0, rekeyBytes = 0, inactivitySeconds = 0 } = plan.lifetimes
  const lifetimes = { rekeySeconds, rekeyBytes, inactivitySeconds }
  const description = { ...rest, transport, localPort, ...lifetimes }
  return { child: childName(newOwnerName(), description), description, plan }
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

/**
 * The connections of the daemon that flows and listeners belong to.
 *
 * For a peer that calls, the daemon chooses one connection by addresses and identities, and only the
 * children of that one count. So all sockets, of all processes of this host, whose peers could be
 * taken for each other's share connections: a listener's child stands in every connection that is
 * chosen for a peer which the listener may accept. The daemon replaces connections as a whole; so
 * whoever changes one first reads what is in it, and no other process does so meanwhile.
 */
import { createHash } from 'node:crypto'
import { CommandError } from './errors.js'
import type { Link } from './link.js'
import { hasKeys, type Listing, list } from './listing.js'
import {
  anotherSecret,
  type CredentialName,
  loadCredential,
  rivalsOf,
  unloadCredential,
} from './loaded-credentials.js'
import { locked } from './lock.js'
import { connectionMessage } from './messages.js'
import {
  ANY,
  type ChildDescription,
  type ConnectionDescription,
  childName,
  connectionName,
  credentialOf,
  isOurs,
  isStale,
  newOwnerName,
  ownerOf,
  parseChildName,
  parseConnectionName,
  parseGuardName,
} from './names.js'
import type { ConnectionPlan } from './plans.js'
import { readTcpTable, type TcpTable } from './tcp-table.js'

/** A child of ours that is to be in the daemon. */
export interface Wanted {
  /** The child's name. */
  readonly child: string
  readonly description: ChildDescription
  readonly plan: ConnectionPlan
}

/** A child that is there. */
export interface Placed extends Wanted {
  /** The connection that it was made for; a listener's child stands in others, too. */
  readonly connection: string
}

/** A connection that this process can make again, because it has all that it is made of. */
interface Known {
  readonly description: ConnectionDescription
  readonly plan: ConnectionPlan
}

/** Keeps a connection that has lost its last flow. */
interface Idle {
  readonly child: string
  readonly description: ChildDescription
  /** By performance.now(). */
  readonly until: number
}

/** Milliseconds that a connection stays without a flow: as long as a client needs for its next request. */
const LINGER = 10_000
/** Milliseconds that a peer has to agree that keys are deleted. */
const FAREWELL = 1000

/** A child that is on its way into the daemon. */
interface Joining {
  readonly wanted: Wanted
  placed?: Placed
  error?: unknown
}

export class Connections {
  readonly #link: Link
  readonly #placed = new Map<string, Placed>()
  readonly #known = new Map<string, Known>()
  #joining: Joining[] = []
  /** Connections without a flow, which the next one saves authenticating. */
  readonly #idle = new Map<string, Idle>()
  #sweep: NodeJS.Timeout | undefined
  #table: TcpTable | undefined
  /** What is asked for while another change is made is made in one go. */
  #next: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()

  constructor(link: Link) {
    this.#link = link
  }

  /** What a connection stands for; undefined for those of others that do not say it. */
  describe(name: string): ConnectionDescription | undefined {
    return this.#known.get(name)?.description ?? parseConnectionName(name)
  }

  /** Makes the child known to the daemon. */
  async add(wanted: Wanted): Promise<Placed> {
    const joining: Joining = { wanted }
    this.#joining.push(joining)
    try {
      await this.#change()
    } catch (error) {
      joining.error ??= error
    }
    const { placed, error } = joining
    if (error === undefined && placed !== undefined) return placed
    if (placed !== undefined) this.#placed.delete(placed.child)
    throw error
  }

  /** Takes the child out of the daemon, and ends its keys. Never rejects. */
  async remove(placed: Placed): Promise<void> {
    const { child, connection, description } = placed
    if (!this.#placed.delete(child)) return
    if (description.kind === 'flow') this.#idle.set(connection, newIdle())
    try {
      await this.#change()
      await this.#terminate(child)
    } catch {
      // The daemon is gone, and with it the child.
    }
    this.#sweepLater()
  }

  /** Forgets the connections without a flow. Never rejects. */
  async clear(): Promise<void> {
    clearTimeout(this.#sweep)
    this.#sweep = undefined
    if (this.#idle.size === 0) return
    this.#idle.clear()
    await this.#change().catch(() => {})
  }

  /** The daemon has gone, and with it what was kept for later. */
  forget(): void {
    this.#idle.clear()
  }

  /** Everything that should be there, there again: after the daemon was restarted. */
  async restore(): Promise<void> {
    this.#idle.clear()
    const plans = new Map([...this.#placed.values()].map(each => [each.connection, each.plan]))
    for (const plan of plans.values()) await this.reloadCredential(plan)
    await this.#change()
  }

  /** Until the kernel has no keys of it any more, or the peer does not answer. */
  async #terminate(child: string): Promise<void> {
    await this.#dismiss({ child })
    const end = performance.now() + FAREWELL
    for (let pause = 2; performance.now() < end; pause = Math.min(2 * pause, 50)) {
      if (!(await hasKeys(this.#link, child))) return
      await new Promise(resolve => setTimeout(resolve, pause))
    }
  }

  /** Unloads what has been idle for long enough. */
  #sweepLater(): void {
    if (this.#sweep !== undefined || this.#idle.size === 0) return
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined
      void this.#change().catch(() => {})
      this.#sweepLater()
    }, LINGER).unref()
  }

  /** Somebody may have told the daemon to forget it (swanctl --load-creds). */
  async reloadCredential(plan: ConnectionPlan): Promise<void> {
    const inUse = new Set([...this.#known.keys()].map(credentialOf) as string[])
    await loadCredential(this.#link, plan, inUse)
  }

  /** One reconciliation for all who ask before it begins. */
  #change(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined
      const done = locked(this.#link.path, () => this.#reconcile())
      this.#last = done.catch(() => {})
      return done
    })
    return this.#next
  }

  async #reconcile(): Promise<void> {
    const joining = this.#joining
    this.#joining = []
    const listing = await list(this.#link)
    this.#table = await readTcpTable()
    this.#forgetIdle()
    for (const each of joining) await this.#place(each, listing)
    const homes = [...this.#placed.values()].map(each => each.connection)
    const gone: string[] = []
    for (const name of new Set([...listing.connections.keys(), ...homes])) {
      const present = listing.connections.get(name)
      const known = this.#known.get(name) ?? this.#remember(name)
      const children = this.#childrenOf(name, known?.description, listing)
      if (children.size === 0 && present !== undefined) gone.push(name)
      if (children.size === 0 || known === undefined || sameNames(present, children)) continue
      const message = connectionMessage(name, known.plan, known.description, children)
      try {
        await this.#link.request('load-conn', message)
        for (const each of present ?? [])
          if (!children.has(each) && !isOurs(each)) await this.#dismiss({ child: each })
      } catch (error) {
        // It has stayed as it was. Only who has asked for the change needs to know.
        for (const each of joining) if (each.placed?.connection === name) each.error = error
      }
    }
    for (const name of gone) await this.#unload(name)
    await this.#forgetCredentials(listing, gone)
    await this.#removeStaleGuards(listing)
  }

  async #place(joining: Joining, listing: Listing): Promise<void> {
    const { wanted } = joining
    try {
      for (const each of rivalsOf(wanted.plan, usedCredentials(listing)))
        await this.#oust(each, listing, wanted.plan.remoteId)
      const inUse = usedCredentials(listing)
      const credential = await loadCredential(this.#link, wanted.plan, inUse)
      const description = describe(wanted, credential)
      const connection = connectionName(description)
      this.#known.set(connection, { description, plan: wanted.plan })
      joining.placed = { ...wanted, connection }
      this.#placed.set(wanted.child, joining.placed)
    } catch (error) {
      joining.error = error
    }
  }

  /** Makes way for another secret, where nobody uses this one any more. */
  async #oust(rival: CredentialName, listing: Listing, remoteId: string): Promise<void> {
    const users = [...listing.connections].filter(([name]) => credentialOf(name) === rival)
    const used = ([name, children]: [string, ReadonlySet<string>]) =>
      [...this.#placed.values()].some(each => each.connection === name) ||
      [...children].some(each => parseChildName(each)?.kind !== 'idle' && this.#lives(each))
    if (users.some(used)) throw anotherSecret(remoteId)
    for (const [name] of users) {
      this.#idle.delete(name)
      await this.#unload(name)
      listing.connections.delete(name)
    }
    await unloadCredential(this.#link, rival).catch(() => {})
  }

  /** A connection of another process, if one of ours differs from it in nothing but what its name says. */
  #remember(name: string): Known | undefined {
    const description = parseConnectionName(name)
    if (description === undefined) return undefined
    const { credential, likeness, localId, remoteId } = description
    for (const known of this.#known.values()) {
      const { description: own, plan } = known
      if (own.credential === credential && own.likeness === likeness)
        return { description, plan: { ...plan, localId, remoteId } }
    }
    return undefined
  }

  /** What should be in that connection: whoever owns it, unless he is dead. */
  #childrenOf(
    name: string,
    description: ConnectionDescription | undefined,
    { connections }: Listing,
  ): Map<string, ChildDescription> {
    const children = new Map<string, ChildDescription>()
    const add = (child: string, described: ChildDescription | undefined) => {
      if (described !== undefined) children.set(child, described)
    }
    for (const child of connections.get(name) ?? []) {
      const described = parseChildName(child)
      if (described === undefined || !this.#lives(child)) continue
      if (described.kind !== 'listener') add(child, described)
      // In its own connection, or where we cannot tell what else belongs there.
      else if (description === undefined || isHome(description)) add(child, described)
    }
    for (const placed of this.#placed.values())
      if (placed.connection === name) add(placed.child, placed.description)
    const idle = this.#idle.get(name)
    if (idle !== undefined && children.size === 0) children.set(idle.child, idle.description)
    if (description === undefined) return children
    for (const [other, names] of connections) {
      const home = this.#known.get(other)?.description ?? parseConnectionName(other)
      if (home === undefined || !isHome(home) || !admits(home, description)) continue
      for (const child of names) {
        const described = parseChildName(child)
        if (described?.kind === 'listener' && this.#lives(child)) add(child, described)
      }
    }
    for (const placed of this.#placed.values()) {
      const home = this.#known.get(placed.connection)?.description
      if (placed.description.kind === 'listener' && home && admits(home, description))
        add(placed.child, placed.description)
    }
    // Without a flow of its own nobody needs a connection to one peer.
    const needed =
      isHome(description) || [...children.values()].some(each => each.kind !== 'listener')
    return needed ? children : new Map()
  }

  #lives(child: string): boolean {
    if (isOurs(child)) {
      const idle = [...this.#idle.values()].some(each => each.child === child)
      return idle || this.#placed.has(child)
    }
    if (!isStale(ownerOf(child))) return true
    // The kernel still sends what a dead process has written.
    const described = parseChildName(child)
    return described?.kind === 'flow' && described.transport === 'tcp'
      ? this.#table?.connection(described) !== 'gone'
      : false
  }

  #forgetIdle(): void {
    const now = performance.now()
    const used = new Set([...this.#placed.values()].map(each => each.connection))
    for (const [name, { until }] of this.#idle)
      if (until <= now || used.has(name)) this.#idle.delete(name)
  }

  /** Its IKE associations, too: what they were made for would be asked in vain for new children. */
  async #unload(name: string): Promise<void> {
    await this.#link.request('unload-conn', { name })
    this.#known.delete(name)
    await this.#dismiss({ ike: name })
  }

  /** Ends keys without waiting for the peer. */
  async #dismiss(what: { ike: string } | { child: string }): Promise<void> {
    try {
      await this.#link.request('terminate', { ...what, timeout: -1 })
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
    }
  }

  /** Of dead processes, when the kernel has nothing more to send for them. */
  async #removeStaleGuards({ guards }: Listing): Promise<void> {
    for (const name of guards) {
      const guard = parseGuardName(name)
      if (guard === undefined || isOurs(guard.owner) || !isStale(guard.owner)) continue
      if (guard.transport === 'tcp' && this.#table?.port(guard.localPort) !== 'gone') continue
      await this.#link.request('unload-conn', { name }).catch(() => {})
    }
  }

  async #forgetCredentials(listing: Listing, gone: readonly string[]): Promise<void> {
    const left = new Set([...listing.connections.keys(), ...this.#known.keys()])
    for (const name of gone) left.delete(name)
    const used = new Set([...left].map(credentialOf))
    const unused = new Set(gone.map(credentialOf).filter(each => !used.has(each)))
    for (const each of unused)
      if (each !== undefined) await unloadCredential(this.#link, each).catch(() => {})
  }
}

function newIdle(): Idle {
  // Addresses that are nobody's (RFC 5737).
  const nobody = {
    localAddress: '192.0.2.0',
    remoteAddress: '192.0.2.0',
    localPort: 9,
    remotePort: 9,
  }
  const lifetimes = { rekeySeconds: 0, rekeyBytes: 0, inactivitySeconds: 0 }
  const description = { kind: 'idle', transport: 'udp', ...nobody, ...lifetimes } as const
  const child = childName(newOwnerName(), description)
  return { child, description, until: performance.now() + LINGER }
}

/** A listener's own connection. */
function isHome({ remoteAddress }: ConnectionDescription): boolean {
  return remoteAddress === ANY
}

/** Whether whoever comes in by that connection may also be a peer of the listener at `home`. */
function admits(home: ConnectionDescription, connection: ConnectionDescription): boolean {
  return (
    home.credential === connection.credential &&
    home.likeness === connection.likeness &&
    [ANY, connection.localAddress].includes(home.localAddress) &&
    ['%any', connection.localId].includes(home.localId) &&
    ['%any', connection.remoteId].includes(home.remoteId)
  )
}

function describe(
  { description, plan }: Wanted,
  credential: CredentialName,
): ConnectionDescription {
  const { localAddress, remoteAddress } = description
  const { localId, remoteId } = plan
  return { credential, likeness: likenessOf(plan), localAddress, remoteAddress, localId, remoteId }
}

/** What two connections must have in common so that a child may move from one to the other. */
function likenessOf({ credential, trust, ikeProposals, espProposals, lifetimes }: ConnectionPlan) {
  const chain = credential.kind === 'certificate' ? credential.chain.map(sha256) : []
  const { ikeRekeySeconds = 0, reauthenticationSeconds = 0 } = lifetimes
  const parts = [
    credential.kind,
    chain,
    trust?.map(sha256).sort() ?? null,
    ikeProposals,
    espProposals,
    ikeRekeySeconds,
    reauthenticationSeconds,
  ]
  return sha256(JSON.stringify(parts)).slice(0, 16)
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function usedCredentials({ connections }: Listing): Set<CredentialName> {
  return new Set([...connections.keys()].map(credentialOf) as string[])
}

function sameNames(
  present: ReadonlySet<string> | undefined,
  wanted: ReadonlyMap<string, unknown>,
): boolean {
  return present?.size === wanted.size && [...present].every(each => wanted.has(each))
}

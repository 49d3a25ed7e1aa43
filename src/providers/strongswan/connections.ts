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
import type { Link } from './link.js'
import { type Listing, list } from './listing.js'
import { type CredentialName, loadCredential, unloadCredential } from './loaded-credentials.js'
import { locked } from './lock.js'
import { connectionMessage } from './messages.js'
import {
  ANY,
  type ChildDescription,
  type ConnectionDescription,
  connectionName,
  credentialOf,
  isOurs,
  isStale,
  ownerOf,
  parseChildName,
  parseConnectionName,
} from './names.js'
import type { ConnectionPlan } from './plans.js'

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
  /** What is asked for while another change is made is made in one go. */
  #next: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()

  constructor(link: Link) {
    this.#link = link
  }

  get size(): number {
    return this.#placed.size + this.#joining.length
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
    if (!this.#placed.delete(placed.child)) return
    const { child } = placed
    try {
      await this.#change()
      // Not waited for: the peer may be gone.
      await this.#link.request('terminate', { child, timeout: -1 })
    } catch {
      // Nothing to terminate; or the daemon is gone, and with it the child.
    }
  }

  /** Everything that should be there, there again: after the daemon was restarted. */
  async restore(): Promise<void> {
    const plans = new Map([...this.#placed.values()].map(each => [each.connection, each.plan]))
    for (const plan of plans.values()) await this.reloadCredential(plan)
    await this.#change()
  }

  /** Somebody may have told the daemon to forget it (swanctl --load-creds). */
  async reloadCredential(plan: ConnectionPlan): Promise<void> {
    await loadCredential(
      this.#link,
      plan,
      new Set([...this.#known.keys()].map(credentialOf) as string[]),
    )
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
    for (const each of joining) await this.#place(each, usedCredentials(listing))
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
      } catch (error) {
        // It has stayed as it was. Only who has asked for the change needs to know.
        for (const each of joining) if (each.placed?.connection === name) each.error = error
      }
    }
    for (const name of gone) await this.#unload(name)
    await this.#forgetCredentials(listing, gone)
  }

  async #place(joining: Joining, inUse: ReadonlySet<CredentialName>): Promise<void> {
    const { wanted } = joining
    try {
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
      if (described?.kind === 'flow' && this.#lives(child)) add(child, described)
      // In its own connection, or where we cannot tell what else belongs there.
      if (
        described?.kind === 'listener' &&
        this.#lives(child) &&
        (description === undefined || isHome(description))
      )
        add(child, described)
    }
    for (const placed of this.#placed.values())
      if (placed.connection === name) add(placed.child, placed.description)
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
    const needed = isHome(description) || [...children.values()].some(each => each.kind === 'flow')
    return needed ? children : new Map()
  }

  #lives(child: string): boolean {
    return isOurs(child) ? this.#placed.has(child) : !isStale(ownerOf(child))
  }

  /** Its IKE associations, too: what they were made for would be asked in vain for new children. */
  async #unload(name: string): Promise<void> {
    await this.#link.request('unload-conn', { name })
    this.#known.delete(name)
    await this.#link.request('terminate', { ike: name, timeout: -1 }).catch(() => {})
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

/**
 * The connections of the daemon that flows and listeners belong to.
 *
 * For a peer that calls, the daemon chooses one connection by addresses and identities, and only the
 * children of that one count. So all sockets, of all processes of this host, whose peers could be
 * taken for each other's share connections: a listener's child stands in every connection that is
 * chosen for a peer which the listener may accept. The daemon replaces connections as a whole; so
 * whoever changes one first reads what is in it, and no other process does so meanwhile.
 */

import { readTcpTable } from '../host/tcp-table.js'
import type { ConnectionPlan } from '../plans/plans.js'
import { CommandError } from './errors.js'
import { IdleConnections, LINGER } from './idle-connections.js'
import { connectionFor } from './likeness.js'
import type { Link } from './link.js'
import { endIke, holdersOf, ikeAssociations, list } from './listing.js'
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
  type ChildDescription,
  type ConnectionDescription,
  connectionName,
  credentialOf,
  isOurs,
  parseConnectionName,
} from './names.js'
import { Survey } from './survey.js'

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

/** A child that is on its way into the daemon. */
interface Joining {
  readonly wanted: Wanted
  placed?: Placed
  error?: unknown
}

/** A connection that this process can make again, because it has all that it is made of. */
interface Known {
  readonly description: ConnectionDescription
  readonly plan: ConnectionPlan
}

/** Milliseconds that a peer has to agree that keys are deleted. */
const FAREWELL = 1500

export class Connections {
  readonly #link: Link
  readonly #placed = new Map<string, Placed>()
  readonly #known = new Map<string, Known>()
  readonly #idle = new IdleConnections()
  #joining: Joining[] = []
  #sweep: NodeJS.Timeout | undefined
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
  async remove({ child, connection, description }: Placed): Promise<void> {
    if (!this.#placed.delete(child)) return
    if (description.kind === 'flow') this.#idle.add(connection)
    try {
      await this.#change()
      await this.#terminate(child)
    } catch {
      // The daemon is gone, and with it the child.
    }
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

  /** Somebody may have told the daemon to forget it (swanctl --load-creds). */
  async reloadCredential(plan: ConnectionPlan): Promise<void> {
    const inUse = [...this.#known.keys()].map(credentialOf).filter(each => each !== undefined)
    await loadCredential(this.#link, plan, new Set(inUse))
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

  /** Makes the daemon have what it should have. */
  async #reconcile(): Promise<void> {
    const joining = this.#joining
    this.#joining = []
    const survey = new Survey({
      listing: await list(this.#link),
      table: await readTcpTable(),
      idle: this.#idle,
      placed: this.#placed,
      describe: name => this.describe(name),
    })
    for (const each of joining) await this.#place(each, survey)
    this.#idle.forget(name => [...this.#placed.values()].some(each => each.connection === name))
    const before = survey.credentials
    for (const name of survey.names) await this.#update(name, survey, joining)
    for (const name of [...this.#known.keys()])
      if (!survey.names.has(name)) this.#known.delete(name)
    const after = survey.credentials
    for (const each of before)
      if (!after.has(each)) await unloadCredential(this.#link, each).catch(() => {})
    for (const name of survey.staleGuards())
      await this.#link.request('unload-conn', { name }).catch(() => {})
    if (survey.lingering || this.#idle.size > 0) this.#sweepLater()
  }

  async #place(joining: Joining, survey: Survey): Promise<void> {
    const { wanted } = joining
    const { child, description, plan } = wanted
    try {
      for (const each of rivalsOf(plan, survey.credentials))
        await this.#oust(each, survey, plan.remoteId)
      const credential = await loadCredential(this.#link, plan, survey.credentials)
      const home = connectionFor(description, plan, credential)
      const connection = connectionName(home)
      this.#known.set(connection, { description: home, plan })
      joining.placed = { ...wanted, connection }
      this.#placed.set(child, joining.placed)
    } catch (error) {
      joining.error = error
    }
  }

  /** Makes way for another secret, where nobody uses this one any more. */
  async #oust(rival: CredentialName, survey: Survey, remoteId: string): Promise<void> {
    const users = [...survey.names].filter(name => credentialOf(name) === rival)
    if (users.some(name => survey.isUsed(name))) throw anotherSecret(remoteId)
    for (const name of users) {
      this.#idle.delete(name)
      await this.#unload(name, survey)
    }
    await unloadCredential(this.#link, rival).catch(() => {})
  }

  async #update(name: string, survey: Survey, joining: readonly Joining[]): Promise<void> {
    const present = survey.present(name)
    const children = survey.childrenOf(name)
    if (children.size === 0) return this.#unload(name, survey)
    const known = this.#known.get(name) ?? this.#remember(name)
    if (known === undefined || hasNames(present, children)) return
    try {
      if (present === undefined) await this.#endAssociations(name)
      const message = connectionMessage(name, known.plan, known.description, children)
      await this.#link.request('load-conn', message)
      for (const each of present ?? [])
        if (!children.has(each) && !isOurs(each)) await this.#dismiss({ child: each })
    } catch (error) {
      // It has stayed as it was. Only who has asked for the change needs to know.
      for (const each of joining) if (each.placed?.connection === name) each.error = error
    }
  }

  /** A connection of another process, if one of ours differs from it in nothing but what its name says. */
  #remember(name: string): Known | undefined {
    const description = parseConnectionName(name)
    if (description === undefined) return undefined
    const { credential, likeness, localId, remoteId } = description
    for (const { description: own, plan } of this.#known.values())
      if (own.credential === credential && own.likeness === likeness)
        return { description, plan: { ...plan, localId, remoteId } }
    return undefined
  }

  async #unload(name: string, survey: Survey): Promise<void> {
    if (survey.present(name) === undefined) return
    try {
      await this.#link.request('unload-conn', { name })
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
    }
    survey.remove(name)
    this.#known.delete(name)
    await this.#dismiss({ ike: name })
  }

  /**
   * Of a connection that somebody has unloaded: they know nothing of new children, and their keys
   * must not be taken for new ones.
   */
  async #endAssociations(connection: string): Promise<void> {
    const associations = () => ikeAssociations(this.#link, connection)
    if ((await associations()).length === 0) return
    await this.#dismiss({ ike: connection })
    for (const each of await left(associations)) await endIke(this.#link, each)
  }

  /**
   * Until the kernel has no keys of it any more. A peer that does not agree in time loses everything:
   * it could go on with keys whose owner has gone.
   */
  async #terminate(child: string): Promise<void> {
    await this.#dismiss({ child })
    const holders = () => holdersOf(this.#link, child)
    for (const each of await left(holders)) await endIke(this.#link, each)
  }

  /** Ends keys without waiting for the peer. */
  async #dismiss(what: { ike: string } | { child: string }): Promise<void> {
    try {
      await this.#link.request('terminate', { ...what, timeout: -1 })
    } catch (error) {
      // There were none.
      if (!(error instanceof CommandError)) throw error
    }
  }

  /** Takes away what has been idle for long enough, and what dead processes needed for a while. */
  #sweepLater(): void {
    this.#sweep ??= setTimeout(() => {
      this.#sweep = undefined
      void this.#change().catch(() => {})
    }, LINGER).unref()
  }
}

/** What is listed when the peer has had time enough, or nothing as soon as there is nothing. */
async function left<T>(list: () => Promise<readonly T[]>): Promise<readonly T[]> {
  const end = performance.now() + FAREWELL
  for (let pause = 2; ; pause = Math.min(2 * pause, 50)) {
    const listed = await list()
    if (listed.length === 0 || performance.now() >= end) return listed
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

function hasNames(
  present: ReadonlySet<string> | undefined,
  wanted: ReadonlyMap<string, unknown>,
): boolean {
  return present?.size === wanted.size && [...present].every(each => wanted.has(each))
}

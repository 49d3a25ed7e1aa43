/** What is in the daemon, what should be, and whose it is: looked at once for a change. */

import type { TcpTable } from '../host/tcp-table.js'
import type { IdleConnections } from './idle-connections.js'
import { admits, isHome } from './likeness.js'
import type { Listing } from './listing.js'
import type { CredentialName } from './loaded-credentials.js'
import {
  type ChildDescription,
  type ConnectionDescription,
  credentialOf,
  isOurs,
  isStale,
  ownerOf,
  parseChildName,
  parseGuardName,
} from './names.js'

/** A child of ours, and the connection that it was made for; a listener's child stands in others, too. */
interface Own {
  readonly child: string
  readonly connection: string
  readonly description: ChildDescription
}

export interface SurveyOf {
  readonly listing: Listing
  readonly table: TcpTable
  readonly idle: IdleConnections
  readonly placed: ReadonlyMap<string, Own>
  describe(connection: string): ConnectionDescription | undefined
}

export class Survey {
  readonly #of: SurveyOf
  readonly #stale = new Map<string, boolean>()
  /** Something of a dead process has to stay a little longer. */
  lingering = false

  constructor(of: SurveyOf) {
    this.#of = of
  }

  /** Of all connections that are there or should be. */
  get names(): Set<string> {
    const { listing, placed } = this.#of
    return new Set([...listing.connections.keys(), ...this.#connections(placed.values())])
  }

  /** Credentials of connections that are there or should be. */
  get credentials(): Set<CredentialName> {
    return new Set([...this.names].map(credentialOf).filter(each => each !== undefined))
  }

  /** The names of its children; undefined where it is not there. */
  present(connection: string): ReadonlySet<string> | undefined {
    return this.#of.listing.connections.get(connection)
  }

  /** It has been unloaded. */
  remove(connection: string): void {
    this.#of.listing.connections.delete(connection)
  }

  /** Whether anybody has a socket that needs it. */
  isUsed(connection: string): boolean {
    if (this.#connections(this.#of.placed.values()).has(connection)) return true
    const children = [...(this.present(connection) ?? [])]
    return children.some(each => parseChildName(each)?.kind !== 'idle' && this.lives(each))
  }

  /** What should be in that connection, by name: of whoever owns it, unless he is dead. */
  childrenOf(connection: string): Map<string, ChildDescription> {
    const { placed, idle } = this.#of
    const description = this.#of.describe(connection)
    const children = new Map<string, ChildDescription>()
    for (const child of this.present(connection) ?? []) {
      const described = parseChildName(child)
      if (described === undefined || !this.lives(child)) continue
      // Of listeners: in their own connection, or where we cannot tell what else belongs there.
      if (described.kind !== 'listener' || description === undefined || isHome(description))
        children.set(child, described)
    }
    for (const each of placed.values())
      if (each.connection === connection) children.set(each.child, each.description)
    const nothing = idle.of(connection)
    if (nothing !== undefined && children.size === 0)
      children.set(nothing.child, nothing.description)
    if (description === undefined) return children
    // Without a flow nobody needs a connection to one peer.
    if (children.size > 0 || isHome(description)) this.#addListeners(description, children)
    return children
  }

  #addListeners(description: ConnectionDescription, children: Map<string, ChildDescription>): void {
    for (const { home, child, described } of this.#listeners())
      if (admits(home, description)) children.set(child, described)
  }

  /** All listeners, of all processes. */
  *#listeners() {
    const { listing, placed, describe } = this.#of
    for (const [name, children] of listing.connections) {
      const home = describe(name)
      if (home === undefined || !isHome(home)) continue
      for (const child of children) {
        const described = parseChildName(child)
        if (described?.kind === 'listener' && this.lives(child)) yield { home, child, described }
      }
    }
    for (const { child, connection, description } of placed.values()) {
      const home = describe(connection)
      if (description.kind === 'listener' && home !== undefined)
        yield { home, child, described: description }
    }
  }

  /** Whether the owner of the child needs it, or the kernel on his behalf. */
  lives(child: string): boolean {
    const { placed, idle, table } = this.#of
    if (isOurs(child)) return placed.has(child) || idle.has(child)
    if (!this.#isStale(ownerOf(child))) return true
    const described = parseChildName(child)
    if (described?.kind !== 'flow' || described.transport !== 'tcp') return false
    // What a dead process has written is still sent.
    const busy = table.connection(described) !== 'gone'
    this.lingering ||= busy
    return busy
  }

  /** Guards of dead processes for which the kernel has nothing more to send. */
  staleGuards(): string[] {
    return [...this.#of.listing.guards].filter(name => {
      const guard = parseGuardName(name)
      if (guard === undefined || isOurs(guard.owner) || !this.#isStale(guard.owner)) return false
      const busy = guard.transport === 'tcp' && this.#of.table.port(guard.localPort) !== 'gone'
      this.lingering ||= busy
      return !busy
    })
  }

  /** Asked once for each: a process does not come back. */
  #isStale(owner: string): boolean {
    const stale = this.#stale.get(owner) ?? isStale(owner)
    this.#stale.set(owner, stale)
    return stale
  }

  #connections(placed: Iterable<Own>): Set<string> {
    return new Set([...placed].map(each => each.connection))
  }
}

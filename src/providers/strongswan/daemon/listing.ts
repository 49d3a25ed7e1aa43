/** What the daemon knows of us: all connections and guards that this library has given it, of every process. */

import { sectionOf, sectionsOf, textOf } from '../vici/section.js'
import { CommandError } from './errors.js'
import type { Link } from './link.js'
import { isConnection, parseGuardName } from './names.js'

export interface Listing {
  /** Names of connections, each with the names of its children. */
  readonly connections: Map<string, ReadonlySet<string>>
  readonly guards: ReadonlySet<string>
}

export async function list(link: Link): Promise<Listing> {
  const connections = new Map<string, ReadonlySet<string>>()
  const guards = new Set<string>()
  await link.stream('list-conns', {}, 'list-conn', event => {
    for (const [name, connection] of sectionsOf(event)) {
      if (parseGuardName(name) !== undefined) guards.add(name)
      if (!isConnection(name)) continue
      const children = sectionsOf(sectionOf(connection, 'children')).map(([child]) => child)
      connections.set(name, new Set(children))
    }
  })
  return { connections, guards }
}

/** Whether the daemon says that the kernel has that guard. */
export async function hasGuard(link: Link, name: string): Promise<boolean> {
  let found = false
  await link.stream('list-policies', { drop: true, ike: name }, 'list-policy', event => {
    found ||= sectionsOf(event).length > 0
  })
  return found
}

export interface IkeAssociation {
  /** The daemon's number of it. */
  readonly id: string
  /** As strongSwan calls it: CONNECTING, ESTABLISHED…. */
  readonly state: string
}

/** The IKE associations of a connection. */
export async function ikeAssociations(link: Link, connection: string): Promise<IkeAssociation[]> {
  const found: IkeAssociation[] = []
  await link.stream('list-sas', { ike: connection }, 'list-sa', event => {
    for (const [, ike] of sectionsOf(event)) {
      const id = textOf(ike, 'uniqueid')
      if (id !== undefined) found.push({ id, state: textOf(ike, 'state') ?? '' })
    }
  })
  return found
}

/** The IKE associations that have keys of that child, in whatever state. */
export async function holdersOf(link: Link, child: string): Promise<IkeAssociation[]> {
  const found: IkeAssociation[] = []
  await link.stream('list-sas', { child }, 'list-sa', event => {
    for (const [, ike] of sectionsOf(event)) {
      const id = textOf(ike, 'uniqueid')
      const has = sectionsOf(sectionOf(ike, 'child-sas')).length > 0
      if (id !== undefined && has) found.push({ id, state: textOf(ike, 'state') ?? '' })
    }
  })
  return found
}

/** Ends an IKE association whose peer does not answer, without waiting for it. */
export async function endIke(link: Link, { id }: IkeAssociation): Promise<void> {
  try {
    await link.request('terminate', { 'ike-id': id, force: true, timeout: -1 })
  } catch (error) {
    // It has ended by itself.
    if (!(error instanceof CommandError)) throw error
  }
}

/**
 * Connections that have lost their last flow. They stay for a while, with a child that lets nothing
 * through: the next flow to the same peer needs no authentication then.
 */
import { type ChildDescription, childName, newOwnerName } from './names.js'

/** Milliseconds: as long as a client needs for its next request. */
export const LINGER = 10_000

export interface IdleChild {
  readonly child: string
  readonly description: ChildDescription
}

export class IdleConnections {
  readonly #children = new Map<string, IdleChild & { readonly until: number }>()

  get size(): number {
    return this.#children.size
  }

  add(connection: string): void {
    const child = childName(newOwnerName(), nothing)
    this.#children.set(connection, {
      child,
      description: nothing,
      until: performance.now() + LINGER,
    })
  }

  of(connection: string): IdleChild | undefined {
    return this.#children.get(connection)
  }

  has(child: string): boolean {
    return [...this.#children.values()].some(each => each.child === child)
  }

  delete(connection: string): void {
    this.#children.delete(connection)
  }

  clear(): void {
    this.#children.clear()
  }

  /** Those whose time is over, and those that have a flow again. */
  forget(isUsed: (connection: string) => boolean): void {
    const now = performance.now()
    for (const [connection, { until }] of this.#children)
      if (until <= now || isUsed(connection)) this.#children.delete(connection)
  }
}

/** Between addresses that are nobody's (RFC 5737). */
const nothing: ChildDescription = {
  kind: 'idle',
  transport: 'udp',
  localAddress: '192.0.2.0',
  localPort: 9,
  remoteAddress: '192.0.2.0',
  remotePort: 9,
  rekeySeconds: 0,
  rekeyBytes: 0,
  inactivitySeconds: 0,
}

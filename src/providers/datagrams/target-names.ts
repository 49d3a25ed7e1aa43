/** The names that were set, one for each peer: that of a port before that of the whole address (R19). */
import { SocketSecurityError } from '../../model/errors.js'
import type { TargetName } from '../../model/target-name.js'

/** Port 0 stands for all ports of an address. */
const ALL_PORTS = 0

/** Whose name counts for a peer: the one that was set, or another, or none. */
export type ChooseName = (
  address: string,
  port: number,
  set: TargetName | undefined,
) => TargetName | undefined

export class TargetNames {
  readonly #hosts = new Map<string, Map<number, TargetName>>()
  readonly #choose: ChooseName | undefined

  /** @param choose absent: the name that was set counts */
  constructor(choose?: ChooseName) {
    this.#choose = choose
  }

  /** @param host the canonical text of an address */
  get(host: string, port: number): TargetName | undefined {
    const names = this.#hosts.get(host)
    const set = names && (names.get(port) ?? names.get(ALL_PORTS))
    return this.#choose ? this.#choose(host, port, set) : set
  }

  /** The name that was set for just this. */
  exact(host: string, port: number): TargetName | undefined {
    return this.#hosts.get(host)?.get(port)
  }

  /** All of them. */
  *[Symbol.iterator](): Generator<[host: string, port: number, name: TargetName]> {
    for (const [host, names] of this.#hosts) {
      for (const [port, name] of names) yield [host, port, name]
    }
  }

  set(host: string, port: number, name: TargetName): void {
    const names = this.#hosts.get(host)
    if (names === undefined) this.#hosts.set(host, new Map([[port, name]]))
    else names.set(port, name)
  }

  /** The name that was set for just this, and is no more. */
  delete(host: string, port: number): TargetName | undefined {
    const names = this.#hosts.get(host)
    const name = names?.get(port)
    if (names === undefined || name === undefined) return undefined
    names.delete(port)
    if (names.size === 0) this.#hosts.delete(host)
    return name
  }
}

/**
 * A name comes before the first message to the peers that it is for, and before they are secured (R18).
 * @throws SocketSecurityError EISCONN
 */
export function checkUncommitted(
  peers: readonly { readonly isCommitted: boolean; readonly text: string }[],
): void {
  const committed = peers.find(peer => peer.isCommitted)
  if (committed === undefined) return
  throw new SocketSecurityError(
    'EISCONN',
    `the target name of ${committed.text} must be set before the first message to it, and before it is secured`,
    { peer: committed.text, syscall: 'WSASetSocketPeerTargetName' },
  )
}

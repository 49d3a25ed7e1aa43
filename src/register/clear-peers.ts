/** Whom one datagram socket speaks to in clear. */
import type { Policy } from '../model/policy/policy.js'
import { nameKey } from '../sockets/dgram/addresses.js'
import { isClear, policyNow } from './decisions.js'

/** The oldest are forgotten; the next datagram to them makes them known again. */
const LIMIT = 10_000

export class ClearPeers {
  readonly #known = new Set<string>()
  readonly #ownPort: () => number | undefined
  /** The policy by which they are known. */
  #policy: Policy | null = policyNow()
  #securedHost: string | undefined
  #securedPort = 0
  /** Whom the last datagram came from, or went to: most often the next one's peer, too. */
  #lastHost: string | undefined
  #lastPort = 0

  /** @param ownPort the port that the socket is bound to, once it is */
  constructor(ownPort: () => number | undefined) {
    this.#ownPort = ownPort
  }

  /** A datagram has come from there: have we spoken to it in clear, or may it speak to us so? */
  has(address: string, port: number): boolean {
    this.#follow()
    if (address === this.#lastHost && port === this.#lastPort) return true
    const key = nameKey(address, port)
    if (this.#known.has(key)) return this.#keep(address, port)
    const isIn = { transport: 'udp', direction: 'in', address, port: this.#ownPort() } as const
    if (!isClear(isIn)) return false
    this.#add(key)
    return this.#keep(address, port)
  }

  /** Does what goes there go in clear? Then it may answer. */
  takes(host: string, port: number): boolean {
    this.#follow()
    if (host === this.#lastHost && port === this.#lastPort) return true
    if (host === this.#securedHost && port === this.#securedPort) return false
    const key = nameKey(host, port)
    if (this.#known.has(key)) return this.#keep(host, port)
    if (isClear({ transport: 'udp', direction: 'out', host, port })) {
      this.#add(key)
      return this.#keep(host, port)
    }
    this.#securedHost = host
    this.#securedPort = port
    return false
  }

  #keep(host: string, port: number): true {
    this.#lastHost = host
    this.#lastPort = port
    return true
  }

  #add(key: string): void {
    // It may have been secured until now.
    this.#securedHost = undefined
    const [oldest] = this.#known
    if (this.#known.size >= LIMIT && oldest !== undefined) this.#known.delete(oldest)
    this.#known.add(key)
  }

  #follow(): void {
    const policy = policyNow()
    if (policy === this.#policy) return
    this.#policy = policy
    this.#known.clear()
    this.#securedHost = this.#lastHost = undefined
  }
}

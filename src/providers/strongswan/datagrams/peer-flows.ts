/** The flows of a datagram socket, one for each of its peers; those of one peer follow each other. */
import { rethrowLater } from '../../datagrams/safely.js'
import type { Daemon, Flow } from '../daemon/daemon.js'
import type { ConnectionPlan, FlowPlan } from '../plans/plans.js'

interface Entry {
  readonly plan: FlowPlan
  readonly flow: Promise<Flow>
}

export class PeerFlows {
  readonly #daemon: Daemon
  readonly #entries = new Map<string, Entry>()
  /** Those that are being removed: a peer's next flow must not meet them. */
  readonly #leaving = new Map<string, Promise<void>>()
  #isClosed = false

  constructor(daemon: Daemon) {
    this.#daemon = daemon
  }

  /** With whom that peer's flow is; undefined where there is none. */
  connectionOf(key: string): ConnectionPlan | undefined {
    return this.#entries.get(key)?.plan.connection
  }

  /**
   * The flow of that peer, made where there is none, or one to somebody else or from elsewhere.
   * @throws (rejects) SocketSecurityError as Daemon.addFlow()
   */
  async get(key: string, plan: FlowPlan): Promise<Flow> {
    const known = this.#entries.get(key)
    if (known !== undefined && isSamePlan(known.plan, plan)) return await known.flow
    if (known !== undefined) this.#remove(key)
    const flow = this.#add(plan, this.#leaving.get(key))
    const entry = { plan, flow }
    this.#entries.set(key, entry)
    try {
      return await flow
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      throw error
    }
  }

  async #add(plan: FlowPlan, after: Promise<void> | undefined): Promise<Flow> {
    await after
    return await this.#daemon.addFlow(plan)
  }

  /** Its keys end. Nothing is to be sent to the peer meanwhile. */
  remove(key: string): void {
    if (!this.#isClosed) this.#remove(key)
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    const before = this.#leaving.get(key)
    const leaving = Promise.all([
      before,
      entry.flow.then(
        flow => flow.remove(),
        () => {},
      ),
    ])
      .then(() => {})
      .finally(() => {
        if (this.#leaving.get(key) === leaving) this.#leaving.delete(key)
      })
    this.#leaving.set(key, leaving)
    leaving.catch(rethrowLater)
  }

  /** All of them go. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const key of [...this.#entries.keys()]) this.#remove(key)
    await Promise.all(this.#leaving.values())
  }
}

function isSamePlan(one: FlowPlan, other: FlowPlan): boolean {
  return (
    one.localAddress === other.localAddress &&
    one.connection.remoteId === other.connection.remoteId &&
    one.connection.localId === other.connection.localId
  )
}

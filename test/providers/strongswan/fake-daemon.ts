/** What stands in the place of the IKE daemon's interface: it does what a test wants, and keeps a record. */
import type {
  Daemon,
  DaemonWatcher,
  Flow,
  Guard,
  Listener,
} from '../../../src/providers/strongswan/daemon/daemon.js'
import type {
  Association,
  FiveTuple,
  FlowPlan,
  ListenerPlan,
} from '../../../src/providers/strongswan/plans/plans.js'

export class FakeDaemon implements Daemon {
  /** What was asked for and taken back, in order. */
  readonly record: string[] = []
  readonly plans: FlowPlan[] = []
  readonly listeners: ListenerPlan[] = []
  readonly watchers = new Set<DaemonWatcher>()
  /** Called before each step; what it throws, the step fails with. */
  before: (step: string) => Promise<void> | void = () => {}
  /** Whether the guards are in the kernel. */
  guarded = true
  /** Who secures a flow. */
  found: Association | null = association('b.example')

  async guard(transport: string, port: number, address = 'any'): Promise<Guard> {
    await this.#step('guard')
    this.record.push(`guarded ${transport} ${address}`)
    if (!(port > 0)) this.record.push(`no port: ${port}`)
    return { holds: () => this.guarded, release: this.#once(`unguarded ${transport} ${address}`) }
  }

  async addFlow(plan: FlowPlan): Promise<Flow> {
    await this.#step('flow')
    this.plans.push(plan)
    this.record.push('flow')
    return {
      initiate: async () => {
        await this.#step('initiate')
        this.record.push('initiated')
      },
      onDown: () => () => {},
      remove: this.#once('flow removed'),
    }
  }

  async addListener(plan: ListenerPlan): Promise<Listener> {
    await this.#step('listener')
    this.listeners.push(plan)
    this.record.push('listener')
    return { remove: this.#once('listener removed') }
  }

  async find(_flow: FiveTuple): Promise<Association | null> {
    await this.#step('find')
    return this.found
  }

  holds(): boolean {
    return true
  }

  watch(watcher: DaemonWatcher): () => void {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  tell(what: (watcher: DaemonWatcher) => void): void {
    for (const each of [...this.watchers]) what(each)
  }

  async #step(name: string): Promise<void> {
    await this.before(name)
  }

  #once(what: string): () => Promise<void> {
    let done = false
    return async () => {
      if (!done) this.record.push(what)
      done = true
    }
  }
}

export function association(remoteId: string): Association {
  return {
    remoteId,
    localId: 'a.example',
    demandedId: '%any',
    version: 'IKEv2',
    cipher: 'AES_GCM_16-128',
    encrypted: true,
    since: new Date(),
    spis: { in: '00000001', out: '00000002' },
    ikeId: '1',
    childId: '2',
  }
}

/** An IKE daemon that is made up: what it was asked for, and what it says, as a test has it. */
import type {
  Daemon,
  DaemonWatcher,
  Flow,
  FlowChange,
} from '../../../../src/providers/strongswan/daemon/daemon.js'
import type { Association, FlowPlan } from '../../../../src/providers/strongswan/plans/plans.js'

export class FakeDaemon implements Daemon {
  /** What was asked for, in order. */
  readonly log: string[] = []
  readonly watchers = new Set<DaemonWatcher>()
  isHolding = true
  association: Association | null = null
  /** What adding, negotiating and removing a flow waits for. */
  adding: () => Promise<void> = async () => {}
  initiating: () => Promise<void> = async () => {}
  removing: () => Promise<void> = async () => {}

  async guard(transport: string, port: number, address = 'any') {
    this.log.push(`guard ${transport} ${address} ${port}`)
    return {
      holds: () => this.isHolding,
      release: async () => void this.log.push(`release ${port}`),
    }
  }

  async addFlow(plan: FlowPlan): Promise<Flow> {
    const name = `${plan.remoteAddress}:${plan.remotePort} ${plan.connection.remoteId}`
    this.log.push(`add ${name}`)
    await this.adding()
    return {
      initiate: async () => {
        this.log.push(`initiate ${name}`)
        await this.initiating()
      },
      onDown: () => () => {},
      remove: async () => {
        this.log.push(`remove ${name}`)
        await this.removing()
        this.log.push(`removed ${name}`)
      },
    }
  }

  async addListener() {
    this.log.push('listen')
    return { remove: async () => void this.log.push('deaf') }
  }

  async find(): Promise<Association | null> {
    return this.association
  }

  holds(): boolean {
    return this.isHolding
  }

  watch(watcher: DaemonWatcher): () => void {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  changed(change: FlowChange): void {
    for (const each of this.watchers) each.changed?.(change)
  }

  interrupt(error: Error): void {
    for (const each of this.watchers) each.interrupted?.(error)
  }

  restore(): void {
    for (const each of this.watchers) each.restored?.()
  }

  lose(error: Error): void {
    for (const each of this.watchers) each.lost?.(error)
  }
}

/** The plan of a flow to that peer. */
export function planTo(remotePort: number, remoteId: string): FlowPlan {
  return {
    transport: 'udp',
    localAddress: '192.0.2.1',
    localPort: 6000,
    remoteAddress: '192.0.2.2',
    remotePort,
    connection: {
      localId: 'fqdn:a.example',
      remoteId,
      credential: { kind: 'daemon', auth: 'pubkey' },
      trust: null,
      ikeProposals: [],
      espProposals: [],
      lifetimes: {},
    },
  }
}

/** Keys that somebody has who has proved this. */
export function associationOf(remoteId: string, demandedId = `fqdn:${remoteId}`): Association {
  return {
    remoteId,
    demandedId,
    localId: 'a.example',
    version: 'IKEv2',
    cipher: 'AES_GCM_16-128',
    encrypted: true,
    since: new Date(),
    spis: { out: '00000001', in: '00000002' },
    ikeId: '1',
    childId: '1',
  }
}

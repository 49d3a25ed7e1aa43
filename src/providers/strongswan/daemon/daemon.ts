/**
 * The IKE daemon of this host, as the sockets of this process see it: what it has been asked to
 * secure, whether it still does, and what secures a flow now.
 */
import type {
  Association,
  ConnectionPlan,
  FiveTuple,
  FlowPlan,
  ListenerPlan,
  Transport,
} from '../plans/plans.js'

/** One per process and path of the daemon's socket. Every promise rejects with a SocketSecurityError. */
export interface Daemon {
  /**
   * From when it resolves, no packet to or from that local port leaves or enters in clear, whatever
   * else is asked for. What came in before is for the caller to throw away. Guards count: the last
   * one to be released takes it away.
   * @param localAddress only that address; absent: every one, over IPv4 and IPv6. That concerns what
   * this host forwards to the port for others, too
   */
  guard(transport: Transport, localPort: number, localAddress?: string): Promise<Guard>
  /** Makes the flow known, negotiates nothing yet. Its port must be guarded. */
  addFlow(plan: FlowPlan): Promise<Flow>
  /** Lets whoever is trusted negotiate with that port. It must be guarded. */
  addListener(plan: ListenerPlan): Promise<Listener>
  /**
   * What secures the flow now; null where nothing does. A packet that arrives in clear is dropped by
   * the guard; so a flow that is secured is secured for every packet. Cheap to call for many flows at
   * once: the daemon is asked once for all.
   * @param admitted the plans by one of which the peer must have come in
   * @throws (rejects) SocketSecurityError ERR_PEER_NOT_AUTHENTICATED where there are keys with a peer
   * that came in by another one, ERR_PEER_TARGET_NAME_MISMATCH where two peers claim the flow
   */
  find(flow: FiveTuple, admitted: readonly ConnectionPlan[]): Promise<Association | null>
  /** Whether all guards of this process are in the kernel: one system call each. See Guard.holds(). */
  holds(remoteAddress?: string): boolean
  /** @returns stops watching */
  watch(watcher: DaemonWatcher): () => void
}

/** A watcher must not throw. */
export interface DaemonWatcher {
  /**
   * The policies have gone from the kernel, as when the daemon was stopped: packets can leave in
   * clear from now on. Connections must be reset; a datagram socket must be silent until `restored`.
   */
  interrupted?(error: Error): void
  /** All guards, flows and listeners are in place again; what was negotiated is to be initiated anew. */
  restored?(): void
  /** Keys of that flow have come (other than by replacing them) or gone, whoever asked for them. */
  changed?(change: FlowChange): void
  /** The daemon has not come back in time. It is looked for further on: `restored` may still come. */
  lost?(error: Error): void
}

export interface FlowChange {
  readonly flow: FiveTuple
  /** As strongSwan prints it. */
  readonly remoteId: string
  readonly up: boolean
}

export interface Guard {
  /**
   * Whether it is in the kernel, by asking the kernel: one system call. What has been received before
   * that came in under the guard. Where not, nothing may be sent and nothing that has come may be
   * believed until the watcher's `restored`.
   * @param remoteAddress whom something is about to be sent to; absent: whoever was asked about last
   */
  holds(remoteAddress?: string): boolean
  /** To be called when the kernel has nothing more to send for the port. Idempotent; never rejects. */
  release(): Promise<void>
}

export interface Flow {
  /**
   * Negotiates; resolves when the kernel has the keys.
   * @param options.timeout milliseconds
   * @throws (rejects) SocketSecurityError that says why the peers do not agree, ETIMEDOUT, ECANCELED
   */
  initiate(options: { timeout: number; signal?: AbortSignal }): Promise<void>
  /**
   * Called whenever the keys have gone without successors. The guard holds; the next initiate() may
   * bring new ones.
   * @returns stops listening
   */
  onDown(listener: (error: Error) => void): () => void
  /** Forgets the flow and ends its keys. Idempotent; never rejects. */
  remove(): Promise<void>
}

export interface Listener {
  /** Nobody can negotiate with the port any more; ends the keys of those who have. Idempotent; never rejects. */
  remove(): Promise<void>
}

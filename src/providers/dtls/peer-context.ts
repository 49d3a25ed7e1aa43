/** What a peer shares with the others of its address, and with all of its endpoint. */
import type { ParsedSettings } from '../../model/settings.js'
import type { Counters } from '../datagram-counters.js'
import type { Clock, EndpointObserver, Outbox } from '../datagram-provider.js'
import type { QueueTotals } from '../datagrams/message-queue.js'
import type { TargetNames } from '../datagrams/target-names.js'
import type { Timers } from '../datagrams/timers.js'
import type { Association } from './association.js'
import type { AssociationOptions } from './association-options.js'
import type { ClientHello } from './client-hello.js'
import type { Peer } from './peer.js'
import type { WorkBudget } from './work-budget.js'

/** All peers of one address. */
export interface Host {
  /** The canonical text of the address. */
  readonly text: string
  /** As the system writes it. */
  readonly spelling: string
  /** Of which a cookie is made. */
  readonly bytes: Buffer
  readonly peers: Map<number, Peer>
}

/** What the peers of an endpoint share. */
export interface PeerContext {
  /** Those of the last handshake that has begun; for all that is no handshake. */
  readonly settings: ParsedSettings
  /** Asked by each handshake that begins. Throws where there are none by which one may begin. */
  settingsNow(): ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver & Outbox
  readonly names: TargetNames
  readonly timers: Timers<Peer>
  readonly budget: WorkBudget
  readonly totals: Counters
  readonly queued: QueueTotals
  /** Could we be the server of a handshake, as far as our settings go? */
  readonly canServe: boolean
  readonly acceptsStrangers: boolean
  associate(options: AssociationOptions): Association
  /** When the hello's cookie was given; undefined where it has none that is good, and was asked for one. */
  challenge(
    hello: ClientHello,
    record: Buffer,
    host: Host,
    address: string,
    port: number,
  ): number | undefined
  /** May handshake work be done now? If not, the records come again later. */
  mayWork(records: Buffer, address: string, port: number): boolean
  forget(peer: Peer): void
}

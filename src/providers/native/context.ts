/** What the peers of a native datagram socket need of their endpoint. */
import type { ParsedSettings } from '../../model/settings.js'
import { parseHostTargetName, type TargetName } from '../../model/target-name.js'
import type { Counters } from '../datagram-counters.js'
import type {
  Clock,
  EndpointObserver,
  NativeDatagramSocket,
  PeerAddress,
} from '../datagram-provider.js'
import type { QueueTotals } from '../datagrams/message-queue.js'
import type { Timers } from '../datagrams/timers.js'
import type { NativeNames } from './names.js'
import type { NativePeer } from './peer.js'

export interface NativePeerContext {
  readonly settings: ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver
  readonly names: NativeNames
  readonly timers: Timers<NativePeer>
  readonly totals: Counters
  readonly queued: QueueTotals
  /** What has come of peers that are not secured yet. */
  readonly held: QueueTotals
  /** The socket under Node's handle: there is one wherever something is sent or has come. */
  readonly socket: NativeDatagramSocket
  /** A message leaves, unless just now nothing may. */
  transmit(message: Buffer, peer: Whereabouts, sent: (error: Error | null) => void): void
  /** May anything be sent there and believed now? Where not, all peers have lost their security. */
  isOpen(addressText: string): boolean
  /** Runs what follows a call of the system, and does afterwards what its answer asks for. */
  enter(call: () => void): void
  /** The name that the application set for the peer, and the port that it was set for. */
  setName(peer: Whereabouts): { readonly name: TargetName; readonly port: number } | undefined
  touched(peer: NativePeer): void
  forget(peer: NativePeer): void
  /** Nothing is under way there any more: it can make room for a stranger. */
  idle(): void
}

/** Where a peer is. */
export interface Whereabouts {
  readonly where: PeerAddress
  /** One text for one address, however it is written. */
  readonly addressText: string
}

/** A name that the system was told, and whether the application has set it. */
export interface Told {
  readonly name: TargetName | undefined
  readonly isSet: boolean
}

/**
 * The system is told whom the peer must prove to be: the name that was set, or else the host.
 * @param host what the application called it; undefined where the peer has spoken first
 * @returns the name; none where none was set and the peer has spoken first
 */
export async function tellName(
  context: NativePeerContext,
  peer: Whereabouts,
  host: string | undefined,
): Promise<Told> {
  const { names } = context
  const { port } = peer.where
  const set = context.setName(peer)
  const isSet = set !== undefined
  const name = set?.name ?? (host === undefined ? undefined : parseHostTargetName(host))
  if (name === undefined) return { name, isSet }
  if (set !== undefined && set.port !== port) await names.settled(peer.addressText, set.port)
  await names.apply(peer.addressText, port, name, isSet)
  return { name, isSet }
}

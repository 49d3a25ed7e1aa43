/** A destination in the form in which one channel sends to it; stands in Destination.route. */
import type { PeerAddress } from '../../providers/datagram-provider.js'
import { sockaddr } from './sockaddr.js'
import type { Run } from './stage.js'

export class Route implements PeerAddress {
  readonly address: string
  readonly port: number
  /** Whose it is. */
  readonly owner: object
  /** A sockaddr; undefined where the address is none of the socket's family. */
  readonly name: Uint32Array | undefined
  /** The number in its name is that of an interface as long as this interface is there. */
  readonly isScoped: boolean
  /** Where the next datagram may be added; undefined where it begins a run of its own. */
  run: Run | undefined
  /** Datagrams of so many bytes and more have to go one by one: the system has said so. */
  tooLargeToSegment = Number.POSITIVE_INFINITY
  /** The connection of the socket for which isPeer holds. */
  connection: object | undefined
  /** The socket is connected to it. */
  isPeer = false

  /** @param isBarrier for one datagram that keeps its place among all others */
  constructor(
    owner: object,
    family: 4 | 6,
    { address, port }: PeerAddress,
    readonly isBarrier = false,
  ) {
    this.owner = owner
    this.address = address
    this.port = port
    this.isScoped = address.includes('%')
    this.name = sockaddr(family, address, port)
  }
}

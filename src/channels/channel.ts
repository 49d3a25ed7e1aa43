/**
 * How the protected datagrams of one socket travel: one by one through node:dgram, or many in one
 * system call (Linux). Whoever makes the datagrams does not know which.
 */
import type { Destination, PeerAddress, Slot } from '../providers/datagram-provider.js'

/** `portable`: node:dgram's own sends and reads. `batch`: sendmmsg and recvmmsg with GSO and GRO. */
export type ChannelKind = 'batch' | 'portable'

export interface DatagramChannel {
  readonly kind: ChannelKind

  /** Memory for a datagram of at most so many bytes; it is the caller's until commit() or the next reserve(). */
  reserve(bytes: number): Slot

  /**
   * What stands in the reserved memory is to leave: before this tick is over, unless the system takes
   * no more just now. In order for each destination.
   * @param sent called once, never inside of this call: it has left, or never will
   */
  commit(length: number, to: Destination, sent?: Sent): void

  /** The same for a datagram in memory of its own, which is the channel's from now on. */
  send(datagram: Buffer, address: string, port: number, sent?: Sent): void

  /** Datagrams that the system has not taken yet. */
  readonly queued: { readonly datagrams: number; readonly bytes: number }

  /** What was committed leaves now, as far as the system takes it. */
  flush(): void

  /** The system has connected the socket to this peer, or null: to nobody any longer. */
  connected?(to: PeerAddress | null): void

  /** Do the datagrams that may come keep the process alive? As of a dgram.Socket. */
  ref(): void
  unref(): void

  /**
   * Sends what can be sent at once; the rest fails with ECANCELED. Nothing is received afterwards.
   * The descriptor stays its owner's.
   */
  close(): void
}

/** As the callback of dgram's send(), without the length. */
export type Sent = (error: Error | null) => void

/** What a channel tells its socket; never inside of a call of the socket's. */
export interface ChannelObserver {
  /**
   * Datagrams of one source, one behind the other, each of `segment` bytes but the last, which may be
   * shorter. The memory is the channel's: what is kept must be copied. Must not throw.
   * @returns false to be given no more of what was read: the socket is closed
   */
  received(datagrams: Buffer, segment: number, address: string, port: number): boolean
  /** The socket has an error that belongs to no datagram of ours: an ICMP error, where it is connected. */
  failed(error: Error): void
  /** All that was queued has left. */
  drained(): void
}

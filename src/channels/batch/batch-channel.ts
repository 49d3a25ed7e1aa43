/**
 * The channel of Linux: many datagrams in one system call, and many of one peer in one message
 * (sendmmsg and recvmmsg, UDP_SEGMENT and UDP_GRO), on the descriptor that Node's handle has too.
 */
import * as linux from '../../../lib/linux-sockets.js'
import type { Destination, PeerAddress, Slot } from '../../providers/datagram-provider.js'
import type { ChannelObserver, DatagramChannel, Sent } from '../channel.js'
import { segmentationAvailable } from './availability.js'
import { Incoming } from './incoming.js'
import { Outgoing } from './outgoing.js'
import { type Watch, watchReadable, watchWritable } from './readiness.js'
import { stage } from './stage.js'

export class BatchChannel implements DatagramChannel {
  readonly kind = 'batch'
  readonly #fd: number
  readonly #incoming: Incoming
  readonly #outgoing: Outgoing
  #readable: Watch | undefined
  #writable: Watch | undefined
  #referenced = true
  #closed = false

  /** What is committed leaves; nothing is read before start(). */
  constructor(fd: number, family: 4 | 6, observer: ChannelObserver) {
    this.#fd = fd
    this.#incoming = new Incoming(fd, {
      received: (datagrams, segment, address, port) =>
        observer.received(datagrams, segment, address, port),
      failed: error => observer.failed(error),
      broken: error => {
        this.#readable?.close()
        observer.failed(error)
      },
    })
    this.#outgoing = new Outgoing(
      fd,
      family,
      {
        wantWritable: on => this.#wantWritable(on),
        failed: error => observer.failed(error),
        drained: () => observer.drained(),
      },
      segmentationAvailable(),
    )
  }

  /**
   * Reads from now on, in the async context of this call. Nobody else may: libuv must have been
   * stopped before.
   * @throws a system error; then it reads nothing, and the socket is as it was
   */
  start(): void {
    if (this.#closed || this.#readable) return
    this.#readable = watchReadable(this.#fd, () => this.#read())
    if (!this.#referenced) this.#readable.unref()
    // Last, since whoever reads instead would take what is received together for one datagram.
    linux.setsockopt(this.#fd, linux.SOL_UDP, linux.UDP_GRO, 1)
  }

  get queued() {
    return this.#outgoing.queued
  }

  reserve(bytes: number): Slot {
    return this.#outgoing.reserve(bytes)
  }

  commit(length: number, to: Destination, sent?: Sent): void {
    this.#outgoing.commit(length, to, sent)
  }

  send(datagram: Buffer, address: string, port: number, sent?: Sent): void {
    this.#outgoing.send(datagram, address, port, sent)
  }

  flush(): void {
    this.#outgoing.flush()
  }

  connected(to: PeerAddress | null): void {
    this.#outgoing.connected(to)
  }

  ref(): void {
    this.#referenced = true
    this.#readable?.ref()
  }

  unref(): void {
    this.#referenced = false
    this.#readable?.unref()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#incoming.close()
    this.#readable?.close()
    this.#outgoing.close()
    this.#writable?.close()
  }

  /**
   * What is sent in answer leaves when all has been read, or earlier where that takes long; a tick just
   * for it would cost as much as the sending.
   */
  #read(): void {
    const departures = stage()
    const holds = departures.hold()
    try {
      this.#incoming.readable()
    } finally {
      if (holds) departures.release()
    }
  }

  #wantWritable(on: boolean): void {
    if (!on) {
      this.#writable?.close()
      this.#writable = undefined
    } else if (!this.#closed) {
      this.#writable ??= watchWritable(this.#fd, () => this.#outgoing.writable())
    }
  }
}

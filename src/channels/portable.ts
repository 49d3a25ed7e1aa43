/** The channel that every platform has: each datagram in memory of its own, handed over one by one. */
import { type Arena, createArena } from '../../lib/memory.js'
import { type Destination, MAX_MESSAGE_BYTES, type Slot } from '../providers/datagram-provider.js'
import type { DatagramChannel, Sent } from './channel.js'

/** node:dgram's own send(), at once. */
export type SendOne = (datagram: Buffer, address: string, port: number, sent?: Sent) => void

const slotSize = MAX_MESSAGE_BYTES + 1024
let arena: Arena | undefined

export class PortableChannel implements DatagramChannel {
  readonly kind = 'portable'
  /** What waits, waits in node:dgram's socket, which counts it. */
  readonly queued = { datagrams: 0, bytes: 0 }
  readonly send: SendOne

  constructor(send: SendOne) {
    this.send = send
  }

  reserve(): Slot {
    arena ??= createArena(slotSize)
    return { arena, offset: 0 }
  }

  commit(length: number, { address, port }: Destination, sent?: Sent): void {
    const datagram = Buffer.allocUnsafe(length)
    arena?.bytes.copy(datagram, 0, 0, length)
    this.send(datagram, address, port, sent)
  }

  flush(): void {}
  ref(): void {}
  unref(): void {}
  close(): void {}
}

/** An Outgoing on a made-up system, and what tests do with it. */
import { Outgoing } from '../../../src/channels/batch/outgoing.js'
import type { Destination } from '../../../src/providers/datagram-provider.js'
import { FakeSystem } from './fake-system.js'

export function sending({ family = 4 as 4 | 6, segments = true } = {}) {
  const system = new FakeSystem()
  const told = { wanted: [] as boolean[], failed: [] as Error[], drained: 0 }
  const outgoing = new Outgoing(
    7,
    family,
    {
      wantWritable: wanted => told.wanted.push(wanted),
      failed: error => told.failed.push(error),
      drained: () => {
        told.drained += 1
      },
    },
    segments,
    system,
  )
  return { outgoing, system, told }
}

export function destination(port: number, address = '192.0.2.7'): Destination {
  return { address, port, route: undefined }
}

/** Writes and commits one datagram; what comes of it, once that is known. */
export function commit(
  outgoing: Outgoing,
  text: string | Uint8Array,
  to: Destination,
  told?: (error: Error | null) => void,
): void {
  const bytes = Buffer.from(text)
  const { arena, offset } = outgoing.reserve(bytes.length + 10)
  bytes.copy(arena.bytes, offset)
  outgoing.commit(bytes.length, to, told)
}

/** Everything that is due in this tick has been done. */
export function tickOver(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

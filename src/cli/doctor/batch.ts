import * as linux from '../../../lib/linux-sockets.js'
import { batchUnavailable, segmentationAvailable } from '../../channels/batch/availability.js'
import { openBatchSocket } from '../../channels/batch/open-socket.js'
import type { Finding } from './finding.js'

/** Datagrams in batches: what the system takes and gives in one call. Nothing needs it; it is faster. */
export function examineBatch(): Finding {
  const common = { name: 'batch', title: 'datagrams in batches' } as const
  if (process.platform !== 'linux') {
    return { ...common, status: 'elsewhere', summary: 'for Linux; here they travel one by one' }
  }
  const missing = batchUnavailable()
  if (missing !== undefined) {
    return {
      ...common,
      status: 'missing',
      summary: `datagrams travel one by one, since ${missing}`,
      details: { gso: false, gro: false },
    }
  }
  const gso = segmentationAvailable()
  const gro = receivesRuns()
  const runs = [
    gso ? 'GSO (UDP_SEGMENT)' : 'no GSO (Linux 4.18 has it)',
    gro ? 'GRO (UDP_GRO)' : 'no GRO (Linux 5.0 has it)',
  ]
  return {
    ...common,
    status: 'works',
    summary: `sendmmsg and recvmmsg, ${runs.join(', ')}`,
    details: { gso, gro },
  }
}

function receivesRuns(): boolean {
  const socket = openBatchSocket(4)
  try {
    return linux.setsockopt(socket.descriptor, linux.SOL_UDP, linux.UDP_GRO, 1) === 0
  } finally {
    socket.discard()
  }
}

/** Can datagrams travel in batches here? Asked of the system, once for each thread. */
import { constants, endianness } from 'node:os'
import { getSystemErrorName } from 'node:util'
import * as linux from '../../../lib/linux-sockets.js'
import { openBatchSocket } from './open-socket.js'
import { readinessUnavailable } from './readiness.js'

/** Where Linux's structures are as they are written here: 64 bits, the little end first. */
const architectures = ['arm64', 'loong64', 'riscv64', 'x64']

export function batchAvailable(): boolean {
  return batchUnavailable() === undefined
}

/** Why this thread can have no batch channel, a phrase; undefined where it can. Loads koffi on Linux. */
export function batchUnavailable(): string | undefined {
  if (asked) return asked.missing
  try {
    asked = { missing: whatIsMissing() }
    return asked.missing
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    // There may be descriptors again for the next socket.
    if (code !== 'EMFILE' && code !== 'ENFILE') asked = { missing: message }
    return message
  }
}

/** Does the system take many datagrams as one message (UDP_SEGMENT)? Only where batches are available. */
export function segmentationAvailable(): boolean {
  segments ??= probed(fd => linux.setsockopt(fd, linux.SOL_UDP, linux.UDP_SEGMENT, 0) === 0)
  return segments
}

let asked: { missing: string | undefined } | undefined
let segments: boolean | undefined

/** @throws what keeps koffi from being loaded; a system error */
function whatIsMissing(): string | undefined {
  const { platform, arch } = process
  if (platform !== 'linux') return `it needs Linux, and this is ${platform}`
  if (!architectures.includes(arch) || endianness() !== 'LE')
    return `it is not made for the processor ${arch} (${endianness()})`
  return readinessUnavailable() ?? probed(missingCall)
}

/** A sandbox may forbid what the kernel has. */
function missingCall(fd: number): string | undefined {
  const { EAGAIN } = constants.errno
  const received = linux.recvmmsg(fd, 0, 0, linux.MSG_DONTWAIT)
  if (received < 0 && received !== -EAGAIN) return refused('recvmmsg', received)
  const sent = linux.sendmmsg(fd, 0, 0, linux.MSG_DONTWAIT)
  return sent < 0 && sent !== -EAGAIN ? refused('sendmmsg', sent) : undefined
}

function refused(call: string, status: number): string {
  return `the system refuses ${call} (${getSystemErrorName(status)})`
}

/** @throws a system error */
function probed<T>(probe: (fd: number) => T): T {
  const made = openBatchSocket(4)
  try {
    return probe(made.descriptor)
  } finally {
    made.discard()
  }
}

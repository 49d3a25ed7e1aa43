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
  return answer().missing
}

/** Does the system take many datagrams as one message (UDP_SEGMENT)? */
export function segmentationAvailable(): boolean {
  return answer().segments
}

interface Answer {
  readonly missing: string | undefined
  readonly segments: boolean
}

let known: Answer | undefined

function answer(): Answer {
  if (known) return known
  try {
    known = ask()
    return known
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const failed = lacking(message)
    // There may be descriptors again for the next socket.
    if (code !== 'EMFILE' && code !== 'ENFILE') known = failed
    return failed
  }
}

function lacking(missing: string): Answer {
  return { missing, segments: false }
}

/** @throws what keeps koffi from being loaded; a system error */
function ask(): Answer {
  const { platform, arch } = process
  if (platform !== 'linux') return lacking(`it needs Linux, and this is ${platform}`)
  if (!architectures.includes(arch) || endianness() !== 'LE')
    return lacking(`it is not made for the processor ${arch} (${endianness()})`)
  const missing = readinessUnavailable()
  if (missing !== undefined) return lacking(missing)
  const probe = openBatchSocket(4)
  try {
    return tried(probe.descriptor)
  } finally {
    probe.discard()
  }
}

/** A sandbox may forbid what the kernel has. */
function tried(fd: number): Answer {
  const { EAGAIN } = constants.errno
  const received = linux.recvmmsg(fd, 0, 0, linux.MSG_DONTWAIT)
  if (received < 0 && received !== -EAGAIN) return refused('recvmmsg', received)
  const sent = linux.sendmmsg(fd, 0, 0, linux.MSG_DONTWAIT)
  if (sent < 0 && sent !== -EAGAIN) return refused('sendmmsg', sent)
  const segments = linux.setsockopt(fd, linux.SOL_UDP, linux.UDP_SEGMENT, 0) === 0
  return { missing: undefined, segments }
}

function refused(call: string, status: number): Answer {
  return lacking(`the system refuses ${call} (${getSystemErrorName(status)})`)
}

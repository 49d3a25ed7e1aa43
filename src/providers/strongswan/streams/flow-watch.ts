/**
 * Looks after a TCP connection for as long as the kernel has bytes of it: where nothing secures them
 * any longer, or somebody else has come in its peer's place, it is reset, so that none can leave.
 */
import * as linux from '../../../../lib/linux-sockets.js'
import { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import type { Daemon, Guard } from '../daemon/daemon.js'
import { covers } from '../host/addresses.js'
import type { ConnectionPlan, FiveTuple } from '../plans/plans.js'
import { keepLastBytes, type LastBytes } from './last-bytes.js'

export interface WatchRequest {
  readonly daemon: Daemon
  readonly tuple: FiveTuple
  readonly guard: Guard
  /** The plans by one of which its peer must have come in. */
  readonly admitted: readonly ConnectionPlan[]
  /** That of the connection while its handle, or nobody, has it; else undefined. */
  descriptor(): number | undefined
  /** Why a peer of this identity must not go on; undefined where it may. */
  objection(remoteId: string): Error | undefined
  /** The daemon has come back and knows nothing of its keys, which the kernel may still have. */
  forgotten?(): void
}

export interface FlowWatch {
  /** Why it was given up. */
  readonly failure: Error | undefined
  onLost(listener: (error: Error) => void): void
  /** Whether the guard is in the kernel; else it is given up. */
  holds(): boolean
  /** Gives it up. */
  fail(error: Error): void
  /** Its handle is about to close. @returns whether it leaves bytes that have not arrived */
  closing(): boolean
  /** Looks whether they have. */
  look(): void
  stop(): void
}

export function watchFlow(request: WatchRequest): FlowWatch {
  const { daemon, tuple, guard, admitted, descriptor, objection, forgotten } = request
  const listeners: ((error: Error) => void)[] = []
  let failure: Error | undefined
  let lastBytes: LastBytes | undefined
  const stop = daemon.watch({
    // Keys may have policies left in the kernel, or not: nobody says so in time.
    interrupted: fail,
    changed({ flow, remoteId, up }) {
      const error = up && covers(flow, tuple) ? objection(remoteId) : undefined
      if (error) fail(error)
    },
    restored: () => void confirm(),
    lost: fail,
  })
  return {
    get failure() {
      return failure
    },
    onLost(listener) {
      listeners.push(listener)
    },
    fail,
    holds() {
      if (failure || guard.holds(tuple.remoteAddress)) return failure === undefined
      fail(unguarded(tuple))
      return false
    },
    closing() {
      const open = descriptor()
      if (open !== undefined) lastBytes = keepLastBytes(open)
      return lastBytes !== undefined
    },
    look() {
      lastBytes?.look()
    },
    stop,
  }

  /** The daemon was away, and the kernel went on by itself: it knows of what has been negotiated since, or of nothing. */
  async function confirm(): Promise<void> {
    if (failure) return
    try {
      const association = await daemon.find(tuple, admitted)
      const error = association && objection(association.remoteId)
      if (error) fail(error)
      else if (!association) forgotten?.()
    } catch (error) {
      fail(error as Error)
    }
  }

  /** What has not left must not leave any more: the connection is reset, not closed. */
  function fail(error: Error): void {
    lastBytes?.abandon()
    if (failure) return
    failure = error
    const open = descriptor()
    if (open !== undefined) linux.setLinger(open, 0)
    for (const each of listeners.splice(0)) each(error)
  }
}

function unguarded({ remoteAddress, remotePort }: FiveTuple): SocketSecurityError {
  const peer = peerText(remoteAddress, remotePort)
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `the IPsec policies of the connection with ${peer} are not in the kernel any more: strongSwan was stopped or has loaded other connections; the connection was reset, and nothing is sent in clear`,
    { peer },
  )
}

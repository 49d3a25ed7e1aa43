/**
 * Looks after a TCP connection for as long as the kernel has bytes of it: where nothing secures them
 * any longer, or somebody else has come in its peer's place, it is reset, so that none can leave.
 */
import * as linux from '../../../lib/linux-sockets.js'
import { covers } from './addresses.js'
import type { Daemon } from './daemon.js'
import { keepLastBytes, type LastBytes } from './last-bytes.js'
import type { FiveTuple } from './plans.js'

export interface WatchRequest {
  readonly daemon: Daemon
  readonly tuple: FiveTuple
  /** That of the connection while its handle, or nobody, has it; else undefined. */
  descriptor(): number | undefined
  /** Why a peer of this identity must not go on; undefined where it may. */
  objection(remoteId: string): Error | undefined
}

export interface FlowWatch {
  /** Why it was given up. */
  readonly failure: Error | undefined
  onLost(listener: (error: Error) => void): void
  /** Gives it up. */
  fail(error: Error): void
  /** Its handle is about to close. @returns whether it leaves bytes that have not arrived */
  closing(): boolean
  /** Looks whether they have. */
  look(): void
  stop(): void
}

export function watchFlow({ daemon, tuple, descriptor, objection }: WatchRequest): FlowWatch {
  const listeners: ((error: Error) => void)[] = []
  let failure: Error | undefined
  let lastBytes: LastBytes | undefined
  let hasKeys = true
  let interruption: Error | undefined
  const stop = daemon.watch({
    /*
     * The guards and traps are gone. Keys bring policies of their own, which stay as long as they do:
     * they outlive a daemon that was told to load other connections. One that is stopped ends all
     * keys before it takes the guards away, and says so.
     */
    interrupted(error) {
      interruption = error
      if (!hasKeys) fail(error)
    },
    changed({ flow, remoteId, up }) {
      if (!covers(flow, tuple)) return
      hasKeys = up
      const error = up ? objection(remoteId) : interruption
      if (error) fail(error)
    },
    restored() {
      const error = interruption
      interruption = undefined
      if (error) void confirm(error)
    },
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

  /** Whoever has not heard that its keys have gone hears it now. */
  async function confirm(error: Error): Promise<void> {
    const association = await daemon.find(tuple).catch(() => null)
    if (!association) fail(error)
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

/**
 * A socket that its handle closes while the kernel has bytes of it to send: a descriptor of ours
 * keeps it within reach, so that it can still be reset when nothing secures these bytes any longer.
 */
import { duplicate } from '../../../../lib/linux-descriptors.js'
import * as linux from '../../../../lib/linux-sockets.js'

export interface LastBytes {
  /** Lets it go where they have arrived. */
  look(): void
  /** Throws them away, and resets the connection. */
  abandon(): void
}

/** The kernel itself gives up a closed connection that is not answered after about so many milliseconds. */
const LONGEST = 100_000

/**
 * To be called just before the handle closes.
 * @returns undefined where nothing is left to be sent, or it is reset
 */
export function keepLastBytes(descriptor: number): LastBytes | undefined {
  if (linux.unacknowledged(descriptor) <= 0) return undefined
  let own = duplicate(descriptor)
  // Without descriptors left it closes as any other does.
  if (own < 0) return undefined
  const since = performance.now()
  setImmediate(closeConnection)
  return { look, abandon }

  /** What close(2) would have done by now, had this been the last descriptor. */
  function closeConnection(): void {
    if (own < 0) return
    if (linux.getsockopt(own, linux.SOL_SOCKET, linux.SO_LINGER) > 0) release()
    else linux.shutdown(own)
  }

  function look(): void {
    if (own < 0) return
    if (linux.unacknowledged(own) <= 0 || performance.now() - since > LONGEST) release()
  }

  function abandon(): void {
    if (own < 0) return
    linux.setLinger(own, 0)
    release()
  }

  function release(): void {
    linux.close(own)
    own = -1
  }
}

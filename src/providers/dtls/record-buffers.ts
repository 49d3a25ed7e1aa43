/**
 * OpenSSL keeps two buffers of a record's size for every association, more than all the rest of it.
 * Only those that are in use keep theirs; the others get new ones when they need them, which takes as
 * long as to protect a message.
 */

/** An association that can do without its buffers for a while. */
export interface Sleeper {
  /** Records that have gone through its buffers: what tells whether it is in use. */
  readonly recordsSent: number
  readonly recordsReceived: number
  /** Gives its buffers back. False where it cannot now. */
  sleep(): boolean
}

/** Of one association: each holds the largest record. */
const BUFFER_BYTES = 34 * 1024
/** All of them, at most: 64 MiB. */
export const AWAKE_LIMIT = Math.floor((64 * 1024 * 1024) / BUFFER_BYTES)
/** Milliseconds; whoever had no record for one or two of them is idle. */
const IDLE_INTERVAL = 100

/**
 * Those that have buffers, the oldest first, and what each had done when it was last looked at. None
 * is kept from being collected for longer than it takes to see that it is idle.
 */
const awake = new Map<Sleeper, number>()
let watching = false

/** Says that an association has its buffers. Where there are too many, the oldest one goes to sleep. */
export function keepAwake(association: Sleeper): void {
  awake.set(association, -1)
  if (awake.size > AWAKE_LIMIT) {
    const oldest = awake.keys().next().value as Sleeper
    awake.delete(oldest)
    // One that cannot now is asked again.
    if (!oldest.sleep()) awake.set(oldest, -1)
  }
  // A clock of the process's, and not the endpoint's: nothing that a peer can see depends on it.
  if (!watching) watch()
}

function watch(): void {
  watching = true
  setTimeout(lookForIdle, IDLE_INTERVAL).unref()
}

function lookForIdle(): void {
  for (const [association, before] of awake) {
    const now = association.recordsSent + association.recordsReceived
    if (now === before && association.sleep()) awake.delete(association)
    else awake.set(association, now)
  }
  watching = false
  if (awake.size > 0) watch()
}

/**
 * OpenSSL keeps two buffers of a record's size for every association, more than all the rest of it.
 * Only those that were used last keep theirs; the others get new ones when they need them.
 */

/** An association that can do without its buffers for a while. */
export interface Sleeper {
  /** Gives its buffers back, unless it has ended. */
  sleep(): void
}

/** 34 KiB each. */
const awakeLimit = 256

/** Weak, so that an association that nobody ended is collected. */
const awake: (WeakRef<Sleeper> | undefined)[] = []
let oldest = 0

/** Says that an association has its buffers; in its place the oldest one goes to sleep. */
export function keepAwake(association: Sleeper): void {
  awake[oldest]?.deref()?.sleep()
  awake[oldest] = new WeakRef(association)
  oldest = (oldest + 1) % awakeLimit
}

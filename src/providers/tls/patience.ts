/**
 * How long a peer is waited for. A timer goes by the clock, also while this process is stopped (SIGSTOP, a
 * machine asleep, a long computation), and rings before the event loop has looked at what came meanwhile and
 * waits in the kernel. Whoever had answered would be given up for its silence, or be spoken to in clear.
 */

/** Calls `over` when that time has passed and nothing more waits to be read; returns what prevents it. */
export function patience(milliseconds: number, over: () => void): () => void {
  const due = performance.now() + milliseconds
  let stop = (): void => clearTimeout(timer)
  const timer = setTimeout(() => {
    stop = lastPatience(performance.now() - due, milliseconds, over)
  }, milliseconds).unref()
  return () => stop()
}

/**
 * The same for a timer that has rung: the peer gets the time by which it was late, though no more than it
 * had, since what waits may ask for an answer; and one look at the sockets in any case.
 */
export function lastPatience(late: number, milliseconds: number, over: () => void): () => void {
  let look: NodeJS.Immediate | undefined
  const timer = setTimeout(
    () => {
      // Immediates come behind the sockets, and an unref'd one only with the next event.
      look = setImmediate(over)
    },
    // A timer may also ring a part of a millisecond early.
    Math.max(0, Math.min(late, milliseconds)),
  ).unref()
  return () => {
    clearTimeout(timer)
    clearImmediate(look)
  }
}

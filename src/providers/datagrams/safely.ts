/**
 * What the application throws, in a callback or a listener, reaches the process as an uncaught
 * exception, as from an event of node:dgram; but it does not stop us in the middle of our work.
 */
export function safely(call: () => void): void {
  try {
    call()
  } catch (error) {
    rethrowLater(error)
  }
}

export function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

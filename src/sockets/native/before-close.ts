/**
 * When a handle of Node's closes: whoever closes it, and while its descriptor can still be asked.
 */

interface Closing {
  close?(...args: unknown[]): unknown
  reset?(...args: unknown[]): unknown
}

/** Tells `taken` once, just before the handle that has taken it closes. */
export function beforeClose(handle: Closing, taken: { closing?(): void }): void {
  if (!taken.closing) return
  let told = false
  for (const name of ['close', 'reset'] as const) {
    const original = handle[name]
    if (typeof original !== 'function') continue
    handle[name] = (...args: unknown[]) => {
      if (!told) {
        told = true
        taken.closing?.()
      }
      return original.apply(handle, args)
    }
  }
}

/**
 * Completion as promises. Every one settles, and a failure that nobody awaits ends no process: it is
 * always an 'error', or the failure of the call that relied on it, as well.
 */

/** A promise to be settled later. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
}

export function deferred<T>(): Deferred<T> {
  let settle!: Omit<Deferred<T>, 'promise'>
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise: handled(promise), ...settle }
}

/** The same promise, whose rejection may go unheard. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

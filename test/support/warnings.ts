/** The warnings of our own that the process gives, and none of Node's. */
import type { Test } from 'tap'

export interface Warning extends Error {
  readonly code?: string
}

/** Those with this code, in order, until the end of the test. They come a tick after their cause. */
export function warningsOf(t: Test, code: string): Warning[] {
  const heard: Warning[] = []
  const listener = (warning: Warning) => {
    if (warning.code === code) heard.push(warning)
  }
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  return heard
}

/** Every warning that was given until now has been heard. */
export function warningsAreHeard(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

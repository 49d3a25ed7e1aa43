/** What the C library says of a call that has just failed. */
import { constants } from 'node:os'
import { loadKoffi } from './koffi.js'

/** -errno, and never 0: a call that failed must not look like one that did nothing. */
export function failure(): number {
  return -(loadKoffi().errno() || constants.errno.EIO)
}

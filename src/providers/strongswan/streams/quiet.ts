/**
 * What waits for the kernel to be done with a TCP connection that the process has closed: its last
 * bytes, its FIN and their answers leave under the policies that secured it, which go only then.
 *
 * Looking goes on in the background and keeps the process alive for a bounded time only. A process
 * that ends before takes away what no byte can need any more; the rest is found by the next one.
 */
import { type Remainder, readTcpTable, type TcpTable } from '../host/tcp-table.js'

export interface Ending {
  /** What the kernel still has to do. Must not throw. */
  look(table: TcpTable): Remainder
  /** Both ends have closed, some time ago; never rejects. */
  settled?(): Promise<void>
  /** Nothing is left; never rejects. */
  gone(): Promise<void>
}

/** For so many milliseconds a process stays alive for a connection that has not ended. */
const HOLD = 2000
/** So long the last FIN of the peer may be repeated, before its keys go. */
const GRACE = 1000
const SHORTEST_PAUSE = 20
const LONGEST_PAUSE = 1000

interface Waiting {
  readonly ending: Ending
  readonly since: number
  remainder: Remainder
  /** Since when both ends have closed. */
  closedSince: number
  isSettled: boolean
  /** The process has wanted to end since, and this could not. */
  isGivenUp: boolean
}

const waiting = new Set<Waiting>()
let timer: NodeJS.Timeout | undefined

/** Does what `ending` asks for when it is time. */
export function whenQuiet(ending: Ending): void {
  if (waiting.size === 0) process.on('beforeExit', finish)
  waiting.add({
    ending,
    since: performance.now(),
    remainder: 'busy',
    closedSince: Number.POSITIVE_INFINITY,
    isSettled: false,
    isGivenUp: false,
  })
  schedule(SHORTEST_PAUSE)
}

function schedule(pause: number): void {
  clearTimeout(timer)
  timer = setTimeout(look, pause)
  if (![...waiting].some(isHeld)) timer.unref()
}

function isHeld({ remainder, since }: Waiting): boolean {
  return remainder !== 'time wait' && performance.now() - since < HOLD
}

async function look(): Promise<void> {
  timer = undefined
  const table = await readTcpTable()
  for (const each of waiting) proceed(each, table)
  if (waiting.size === 0 || timer !== undefined) return
  // The younger the youngest is, the sooner.
  const youngest = Math.max(...[...waiting].map(each => each.since))
  const age = performance.now() - youngest
  schedule(Math.min(Math.max(age / 4, SHORTEST_PAUSE), LONGEST_PAUSE))
}

function proceed(each: Waiting, table: TcpTable): void {
  const now = performance.now()
  each.remainder = each.ending.look(table)
  if (each.remainder === 'gone') {
    end(each)
  } else if (each.remainder === 'time wait') {
    each.closedSince = Math.min(each.closedSince, now)
    if (!each.isSettled && now - each.closedSince >= GRACE) {
      each.isSettled = true
      void each.ending.settled?.()
    }
  }
}

function end(each: Waiting): void {
  waiting.delete(each)
  if (waiting.size === 0) process.off('beforeExit', finish)
  void each.ending.gone()
}

/** The process has nothing else to do: what only waits for late packets does not wait any longer. */
async function finish(): Promise<void> {
  const left = [...waiting].filter(each => !each.isGivenUp)
  if (left.length === 0) return
  const table = await readTcpTable()
  for (const each of left) {
    if (!waiting.has(each)) continue
    if (each.ending.look(table) === 'busy') each.isGivenUp = true
    else end(each)
  }
}

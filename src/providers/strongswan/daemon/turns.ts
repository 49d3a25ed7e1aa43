/** Who may ask the daemon to negotiate, and who waits. */
import { SocketSecurityError } from '../../../model/errors.js'

/**
 * The daemon keeps a thread for each negotiation that is waited for, and needs some for the packets
 * of the peers: it has 16 altogether.
 */
const MOST = 6

interface Waiting {
  readonly connection: string
  readonly go: () => void
}

const busy = new Set<string>()
const waiting: Waiting[] = []

/**
 * One at a time for each connection: two peers have one exchange at a time anyway, and the daemon
 * takes the end of one for the end of all that are waited for.
 * @param limits.timeout milliseconds
 * @returns ends the turn
 * @throws (rejects) SocketSecurityError ETIMEDOUT, ECANCELED
 */
export function takeTurn(
  connection: string,
  { timeout, signal }: { timeout: number; signal?: AbortSignal | undefined },
): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      const at = waiting.indexOf(entry)
      if (at !== -1) waiting.splice(at, 1)
    }
    const go = () => {
      settle()
      busy.add(connection)
      resolve(() => {
        busy.delete(connection)
        next()
      })
    }
    const give = (error: Error) => {
      settle()
      reject(error)
    }
    const aborted = () => give(gaveUp())
    const entry = { connection, go }
    const timer = setTimeout(() => give(tooLate(timeout)), timeout)
    if (signal?.aborted) return aborted()
    signal?.addEventListener('abort', aborted)
    waiting.push(entry)
    next()
  })
}

function next(): void {
  for (const each of [...waiting]) {
    if (busy.size >= MOST) return
    if (!busy.has(each.connection)) each.go()
  }
}

function gaveUp(): SocketSecurityError {
  return new SocketSecurityError('ECANCELED', 'the negotiation was given up before it began')
}

function tooLate(timeout: number): SocketSecurityError {
  return new SocketSecurityError(
    'ETIMEDOUT',
    `the negotiation did not begin within ${timeout} ms: others, whose peers do not answer, were waited for`,
  )
}

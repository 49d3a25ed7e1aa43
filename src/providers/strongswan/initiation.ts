/** Has the daemon negotiate, and finds out why it could not. */
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { Placed } from './connections.js'
import { ControlLog } from './control-log.js'
import { initiateError } from './initiate-error.js'
import { connectVici } from './vici/connect.js'

interface InitiateOptions {
  /** Milliseconds. */
  readonly timeout: number
  readonly signal?: AbortSignal | undefined
}

/**
 * The daemon keeps a thread for each negotiation that is waited for, and needs some for the packets
 * of the peers: it has 16 altogether.
 */
const MOST = 6
/** What the daemon needs beyond the time that it was given, to say that it was too short. */
const ANSWER = 2000

let running = 0
const waiting: (() => void)[] = []

/**
 * On a connection of its own: other requests must not wait for a peer.
 * @throws (rejects) SocketSecurityError
 */
export async function initiate(
  path: string,
  placed: Placed,
  { timeout, signal }: InitiateOptions,
): Promise<void> {
  const end = performance.now() + timeout
  const { child, connection, description, plan } = placed
  const log = new ControlLog()
  const peer = peerText(description.remoteAddress, description.remotePort)
  try {
    await turn(timeout, signal)
    try {
      const left = Math.max(1, Math.round(end - performance.now()))
      const vici = await connectVici(path, { timeout: left, signal })
      try {
        await vici.stream(
          'initiate',
          { child, ike: connection, timeout: left, loglevel: 1 },
          'control-log',
          section => log.add(section),
          { timeout: left + ANSWER, signal },
        )
      } finally {
        vici.close()
      }
    } finally {
      running--
      waiting.shift()?.()
    }
  } catch (error) {
    throw initiateError(error, log, { peer, remoteId: plan.remoteId })
  }
}

/** Waits until fewer are waited for. */
function turn(timeout: number, signal: AbortSignal | undefined): Promise<void> {
  if (running < MOST) {
    running++
    return Promise.resolve()
  }
  return new Promise((resolve, reject) => {
    const go = () => {
      settle()
      running++
      resolve()
    }
    const give = (error: Error) => {
      settle()
      waiting.splice(waiting.indexOf(go), 1)
      reject(error)
    }
    const aborted = () =>
      give(new SocketSecurityError('ECANCELED', 'the negotiation was given up before it began'))
    const timer = setTimeout(() => give(tooBusy(timeout)), timeout)
    const settle = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
    }
    waiting.push(go)
    signal?.addEventListener('abort', aborted)
  })
}

function tooBusy(timeout: number): SocketSecurityError {
  return new SocketSecurityError(
    'ETIMEDOUT',
    `the negotiation did not begin within ${timeout} ms: ${MOST} others, whose peers do not answer, were waited for`,
  )
}

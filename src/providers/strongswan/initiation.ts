/** Has the daemon negotiate, and finds out why it could not. */
import { peerText } from '../../model/peer-text.js'
import type { Placed } from './connections.js'
import { ControlLog } from './control-log.js'
import { initiateError } from './initiate-error.js'
import { connectVici } from './vici/connect.js'

/** What the daemon needs beyond the time that it was given, to say that it was too short. */
const ANSWER = 2000

/**
 * On a connection of its own: other requests must not wait for a peer.
 * @throws (rejects) SocketSecurityError
 */
export async function initiate(
  path: string,
  placed: Placed,
  { timeout, signal }: { timeout: number; signal?: AbortSignal },
): Promise<void> {
  const { child, connection, description, plan } = placed
  const log = new ControlLog()
  const peer = peerText(description.remoteAddress, description.remotePort)
  try {
    const vici = await connectVici(path, { timeout, signal })
    try {
      await vici.stream(
        'initiate',
        { child, ike: connection, timeout: Math.max(1, Math.round(timeout)), loglevel: 1 },
        'control-log',
        section => log.add(section),
        { timeout: timeout + ANSWER, signal },
      )
    } finally {
      vici.close()
    }
  } catch (error) {
    throw initiateError(error, log, { peer, remoteId: plan.remoteId })
  }
}

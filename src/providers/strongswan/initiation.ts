/** Has the daemon negotiate, and finds out why it could not. */
import { peerText } from '../../model/peer-text.js'
import type { Placed } from './connections.js'
import { ControlLog } from './control-log.js'
import { initiateError } from './initiate-error.js'
import { takeTurn } from './turns.js'
import { connectVici } from './vici/connect.js'

export interface InitiateOptions {
  /** Milliseconds. */
  readonly timeout: number
  readonly signal?: AbortSignal | undefined
  /** Whether the kernel has the keys. */
  readonly installed: () => Promise<boolean>
}

/** Milliseconds that the daemon needs beyond the time that it was given, to say that it was too short. */
const ANSWER = 2000
/** Milliseconds until keys are asked for again that should be there. */
const PATIENCE = 1000

/**
 * Resolves when the kernel has the keys.
 * @throws (rejects) SocketSecurityError
 */
export async function initiate(
  path: string,
  placed: Placed,
  { timeout, signal, installed }: InitiateOptions,
): Promise<void> {
  const { connection, description, plan } = placed
  const end = performance.now() + timeout
  const left = () => Math.max(1, Math.round(end - performance.now()))
  const log = new ControlLog()
  try {
    const endTurn = await takeTurn(connection, { timeout, signal })
    try {
      // Whoever has made the peer's keys of another child arrive has made the daemon say yes.
      do await ask(path, placed, log, { timeout: left(), signal })
      while (!(await arrives(installed, left())))
    } finally {
      endTurn()
    }
  } catch (error) {
    const peer = peerText(description.remoteAddress, description.remotePort)
    const why = initiateError(error, log, { peer, remoteId: plan.remoteId })
    // The same with a no.
    if (!(await installed().catch(() => false))) throw why
  }
}

/** On a connection of its own: other requests must not wait for a peer. */
async function ask(
  path: string,
  { child, connection }: Placed,
  log: ControlLog,
  limits: { timeout: number; signal: AbortSignal | undefined },
): Promise<void> {
  const { timeout, signal } = limits
  const vici = await connectVici(path, limits)
  try {
    await vici.stream(
      'initiate',
      { child, ike: connection, timeout, loglevel: 1 },
      'control-log',
      section => log.add(section),
      { timeout: timeout + ANSWER, signal },
    )
  } finally {
    vici.close()
  }
}

/** @param left milliseconds; when they are over, the next attempt fails at once */
async function arrives(installed: () => Promise<boolean>, left: number): Promise<boolean> {
  const end = performance.now() + Math.min(left, PATIENCE)
  for (let pause = 5; ; pause *= 2) {
    if (await installed()) return true
    if (performance.now() >= end) return false
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

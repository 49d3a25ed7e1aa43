/** Has the daemon negotiate, and finds out why it could not. */
import { peerText } from '../../../model/peer-text.js'
import { connectVici } from '../vici/connect.js'
import { type Section, textOf } from '../vici/section.js'
import type { Placed } from './connections.js'
import { ControlLog } from './control-log.js'
import { CommandError } from './errors.js'
import { initiateError } from './initiate-error.js'
import type { Link } from './link.js'
import { endIke, type IkeAssociation, ikeAssociations } from './listing.js'
import { takeTurn } from './turns.js'

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
/** How often a no is not believed that tells no reason. */
const ATTEMPTS = 6
/** Milliseconds that a peer has to answer what was sent to it twice. */
const SECOND_CHANCE = 2500

/**
 * Resolves when the kernel has the keys.
 * @throws (rejects) SocketSecurityError
 */
export async function initiate(
  link: Link,
  placed: Placed,
  { timeout, signal, installed }: InitiateOptions,
): Promise<void> {
  const { connection, description, plan } = placed
  const end = performance.now() + timeout
  const limits = () => ({ signal, timeout: Math.max(1, Math.round(end - performance.now())) })
  let log = new ControlLog()
  let attempts = 0
  try {
    const endTurn = await takeTurn(connection, limits())
    try {
      // Whoever has made keys of another child arrive has made the daemon say yes.
      do {
        attempts++
        const old = (await ikeAssociations(link, connection)).filter(isEstablished)
        const answered = await ask(link, placed, log, old, limits(), attempts === ATTEMPTS)
        if (!answered) log = new ControlLog()
      } while (!(await arrives(installed, limits().timeout)))
    } finally {
      endTurn()
    }
  } catch (error) {
    const peer = peerText(description.remoteAddress, description.remotePort)
    const why = initiateError(error, log, { peer, remoteId: plan.remoteId })
    // The same with a no.
    if (await installed().catch(() => false)) return
    await giveUp(link, connection)
    throw why
  }
}

function isEstablished({ state }: IkeAssociation): boolean {
  return state === 'ESTABLISHED'
}

/**
 * On a connection of its own: other requests must not wait for a peer.
 * @param old what the daemon will use to ask the peer. A peer that was started anew knows nothing of
 * it, and does not answer; then it is ended.
 * @param isLast what is said now is believed
 * @returns false where it was, or where the answer was about somebody else
 */
async function ask(
  link: Link,
  { child, connection }: Placed,
  log: ControlLog,
  old: readonly IkeAssociation[],
  limits: { timeout: number; signal: AbortSignal | undefined },
  isLast: boolean,
): Promise<boolean> {
  const { timeout, signal } = limits
  const vici = await connectVici(link.path, limits)
  let silent = false
  let timer: NodeJS.Timeout | undefined
  const listen = (event: Section) => {
    log.add(event)
    const text = textOf(event, 'msg') ?? ''
    if (text.startsWith('received packet')) {
      clearTimeout(timer)
      timer = undefined
    }
    const used = old.find(({ id }) => id === textOf(event, 'ikesa-uniqueid'))
    if (!/^retransmit \d+ of /.test(text) || used === undefined) return
    timer ??= setTimeout(() => {
      silent = true
      void endIke(link, used).catch(() => {})
    }, SECOND_CHANCE)
  }
  try {
    const message = { child, ike: connection, timeout, loglevel: 1 }
    const options = { timeout: timeout + ANSWER, signal }
    await vici.stream('initiate', message, 'control-log', listen, options)
    return true
  } catch (error) {
    if (silent || (!isLast && isSomebodyElses(error, log))) return false
    throw error
  } finally {
    clearTimeout(timer)
    vici.close()
  }
}

/**
 * The daemon says no without a reason where another child of the same association has ended meanwhile;
 * the negotiation goes on.
 */
function isSomebodyElses(error: unknown, { reason }: ControlLog): boolean {
  if (!(error instanceof CommandError) || reason !== undefined) return false
  return /^establishing CHILD_SA .* failed$/.test(error.errmsg ?? '')
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

/** Else the daemon would go on asking the peer for minutes, and the next attempt would wait for that. */
async function giveUp(link: Link, connection: string): Promise<void> {
  try {
    const left = await ikeAssociations(link, connection)
    for (const each of left) if (each.state === 'CONNECTING') await endIke(link, each)
  } catch {
    // The daemon has ended, and with it all of them.
  }
}

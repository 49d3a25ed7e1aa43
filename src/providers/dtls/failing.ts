/** What becomes of a handshake that fails, or that stays without an answer. */
import { abandon, serve, sessionKeyOf, startClient, startServer } from './beginning.js'
import { handshakeTimeout } from './handshake-timeout.js'
import {
  HELLO_INTERVAL,
  PATIENCE,
  RETRY_INTERVAL,
  SECOND_ATTEMPT,
  SESSION_PATIENCE,
  STRANGER_PATIENCE,
} from './lifetimes.js'
import type { Link } from './link.js'
import type { Peer } from './peer.js'
import { dropSession } from './sessions.js'
import { tell, tellFailed } from './story.js'

export function handshakeFailed(peer: Peer, link: Link, error: Error): void {
  const { clock, totals } = peer.context
  abandon(peer, link)
  const isClient = link.role === 'client'
  if (isClient && isOpensslsLimit(error)) {
    tell(peer.text, 'still has time: begins again')
    startClient(peer, link.startedAt)
    return
  }
  peer.counters.handshakesFailed += 1
  totals.handshakesFailed += 1
  tellFailed(peer.where, peer.text, error)
  if (isClient && link.offered !== undefined)
    dropSession(sessionKeyOf(peer, link.expectation, link.settings))
  if (isClient && link.offered !== undefined && mayBeOfSession(peer, link, error)) {
    tell(peer.text, 'may not like the session: begins again without it')
    startClient(peer, link.startedAt)
    return
  }
  const hasTime = !isClient || clock.now() + SECOND_ATTEMPT < endOfHandshake(peer, link)
  const again = isClient ? isForgeable(link, error) : peer.isAwaited
  if (hasTime && again && (!peer.retried || link.isForgotten)) {
    tell(peer.text, 'will try once more')
    peer.retried = true
    peer.retryAt = clock.now() + SECOND_ATTEMPT
    // Whoever waits for it waits no longer than handshakeTimeout in all.
    if (isClient) peer.retrySince = link.startedAt
    return
  }
  peer.retried = false
  const isRekey = isClient && peer.current !== undefined
  if (isRekey) peer.rekeyNotBefore = clock.now() + RETRY_INTERVAL
  if ((isClient && !isRekey) || peer.isAwaited) peer.fail(error)
}

/** It sends a flight 12 times, which is less than a long handshakeTimeout allows. */
function isOpensslsLimit(error: Error & { code?: string }): boolean {
  return error.code === 'ERR_SSL_READ_TIMEOUT_EXPIRED'
}

/** Nothing authentic has come, and there is time left: some servers refuse what they cannot resume. */
function mayBeOfSession(peer: Peer, link: Link, error: Error & { code?: string }): boolean {
  const isLate = peer.context.clock.now() >= link.startedAt + peer.context.settings.handshakeTimeout
  return !isLate && !link.readsProtected && /_ALERT_/.test(error.code ?? '')
}

export function tickHandshake(peer: Peer, now: number): void {
  const link = peer.inFlight
  if (link === undefined) return
  const { association } = link
  if (peer.heldAlert !== undefined && now >= peer.heldAlert.due) {
    const { record } = peer.heldAlert
    peer.heldAlert = undefined
    association.receive(link.renumbered(record))
    if (peer.inFlight !== link) return
  }
  if (now >= endOfHandshake(peer, link)) timeOut(peer, link)
  else if (now >= turnOfHeldHello(peer, link)) serveHeldHello(peer, link)
  else if (now >= link.restartAt) {
    tell(peer.text, 'has forgotten the handshake: begins again')
    abandon(peer, link)
    startClient(peer, link.startedAt)
  }
  // And not after one more flight of the old one: its answer would come to the handshake that follows.
  else if (now >= association.deadline && !goesAnotherWay(peer, link)) association.tick()
  if (peer.inFlight === link) peer.countRetransmissions(link)
}

/** When a hello is served that came just after the one before; Infinity where there is none. */
export function turnOfHeldHello(peer: Peer, link: Link): number {
  const holds = link.role === 'server' && peer.heldHello !== undefined
  return holds ? link.startedAt + HELLO_INTERVAL : Number.POSITIVE_INFINITY
}

function serveHeldHello(peer: Peer, link: Link): void {
  const held = peer.heldHello as Buffer
  tell(peer.text, 'has begun anew')
  abandon(peer, link)
  if (peer.context.mayWork(held, peer.address, peer.port)) serve(peer, held)
}

/** A timer has run out. Is it time for something else than to send the flight again? */
function goesAnotherWay(peer: Peer, link: Link): boolean {
  const { association } = link
  if (association.timerIsLate && !(link.role === 'server' && link.progressed)) {
    tell(peer.text, 'is asked anew: the clock was set back, and nothing would be sent again')
    abandon(peer, link)
    // A client whose hello comes again is served anew.
    if (link.role === 'client' || peer.isAwaited) startClient(peer, link.startedAt)
    return true
  }
  if (link.role === 'server') {
    if (!hasServedInVain(peer, link)) return false
    abandon(peer, link)
    startClient(peer)
    return true
  }
  if (association.silent + 1 < PATIENCE) return false
  if (!association.heardServerHello) return triesAnotherWay(peer, link)
  return !link.readsProtected && givesUpSession(peer, link)
}

/** Both may have yielded, where packets were lost: the one that has something to say begins again. */
function hasServedInVain(peer: Peer, link: Link): boolean {
  if (link.role === 'client' || link.progressed || !peer.isAwaited) return false
  return link.association.retransmissions >= PATIENCE
}

/** Our ClientHello stays without an answer. */
function triesAnotherWay(peer: Peer, link: Link): boolean {
  const held = peer.heldHello
  const current = peer.current
  if (held !== undefined) {
    tell(peer.text, 'does not answer ours: its own hello is served')
    startServer(peer, held)
  } else if (current !== undefined && current.role === 'client') {
    // Many servers take no ClientHello from a peer that they have an association with.
    tell(peer.text, 'does not answer while the old association lives: it is ended')
    abandon(peer, link)
    peer.dismiss(current)
    startClient(peer)
  } else return givesUpSession(peer, link)
  return true
}

function givesUpSession(peer: Peer, link: Link): boolean {
  const { silent, hasCookie } = link.association
  if (link.offered === undefined || silent + 1 < (hasCookie ? SESSION_PATIENCE : PATIENCE))
    return false
  tell(peer.text, 'does not resume: begins again without the session')
  abandon(peer, link)
  dropSession(sessionKeyOf(peer, link.expectation, link.settings))
  startClient(peer, link.startedAt)
  return true
}

export function endOfHandshake(peer: Peer, link: Link): number {
  const { handshakeTimeout } = peer.context.settings
  const isIdleStranger = link.role === 'server' && !link.progressed && !peer.isAwaited
  const end = link.startedAt + handshakeTimeout
  // Whoever repeats its hello would fail by the two halves of two answers, were it forgotten.
  return isIdleStranger ? Math.min(end, link.helloAt + STRANGER_PATIENCE) : end
}

function timeOut(peer: Peer, link: Link): void {
  const { settings } = peer.context
  const error = handshakeTimeout({
    peer: peer.text,
    after: settings.handshakeTimeout,
    role: link.role,
    heard: link.progressed,
    unreachable: link.unreachable,
    psk: settings.ownPsk !== undefined || settings.acceptedPsk !== undefined,
  })
  handshakeFailed(peer, link, error)
}

/**
 * Could anybody have caused it, by one forged clear record, here or there? A refusal of the peer's
 * identity is no such thing, nor are most alerts.
 */
function isForgeable({ settings }: Link, error: Error & { code?: string }): boolean {
  const { code = '' } = error
  if (/_ALERT_(UNEXPECTED_MESSAGE|DECODE_ERROR)$/.test(code)) return true
  // It is what a changed handshake ends with, too, but of a pre-shared key the key is wrong.
  if (/_ALERT_DECRYPT_ERROR$/.test(code)) return settings.ownPsk === undefined
  return code.startsWith('ERR_SSL_') && !/_ALERT_|CERT|PSK|NO_SHARED_CIPHER/.test(code)
}

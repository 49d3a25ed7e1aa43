/** How a peer's keys grow old: replaced by the client, given up by the server, and when to look again. */
import { open } from './beginning.js'
import { endOfHandshake, turnOfHeldHello } from './failing.js'
import type { Peer } from './peer.js'
import { tell } from './story.js'

export function tickCurrent(peer: Peer, now: number): void {
  const link = peer.current
  if (link === undefined) return
  if (now >= link.association.deadline) link.association.tick()
  if (peer.current !== link) return
  const { idleTimeout } = peer.context.settings
  if (link.role === 'server' && now - link.idleSince >= idleTimeout) {
    tell(peer.text, 'is idle')
    peer.endCurrent()
  } else if (link.isWorn(now)) {
    wear(peer, now)
  }
}

/** The keys of the current association have been used for long enough. */
export function wear(peer: Peer, now: number): void {
  const link = peer.current
  if (link === undefined) return
  const { idleTimeout } = peer.context.settings
  if (link.isWornOut(now) || link.nameDeleted) {
    tell(peer.text, 'has reached its limit')
    peer.endCurrent()
  } else if (link.role === 'client' && now >= peer.rekeyNotBefore) {
    if (now - link.idleSince >= idleTimeout) {
      tell(peer.text, 'is idle, and its keys are old')
      peer.endCurrent()
    } else if (peer.inFlight === undefined && !peer.willStart) {
      tell(peer.text, 'gets new keys')
      open(peer, now)
    }
  }
}

export function nextWake(peer: Peer): number {
  let at = peer.retryAt
  const inFlight = peer.inFlight
  if (inFlight !== undefined) {
    const end = endOfHandshake(peer, inFlight)
    const due = Math.min(inFlight.restartAt, peer.heldAlert?.due ?? end)
    at = Math.min(inFlight.association.deadline, end, due, turnOfHeldHello(peer, inFlight))
  }
  const current = peer.current
  if (current !== undefined) {
    at = Math.min(at, current.association.deadline, current.lastEnd)
    if (current.nameDeleted) {
      at = Math.min(at, current.rekeyAt)
    } else if (current.role === 'client' && inFlight === undefined && !peer.willStart) {
      at = Math.min(at, Math.max(current.rekeyAt, peer.rekeyNotBefore))
    }
    if (current.role === 'server') {
      at = Math.min(at, current.idleSince + peer.context.settings.idleTimeout)
    }
  }
  return Math.min(at, peer.retiring?.endsAt ?? at)
}

/** How a handshake with a peer begins, in either role, and what is kept of one that is given up. */
import type { ParsedSettings } from '../../model/settings.js'
import { parseHostTargetName } from '../../model/target-name.js'
import type { AssociationRole } from './association-options.js'
import { parseClientHello } from './client-hello.js'
import { RETRY_INTERVAL, SECOND_ATTEMPT } from './lifetimes.js'
import { type Expectation, Link } from './link.js'
import type { Peer } from './peer.js'
import { findSession, type Session, sessionKey } from './sessions.js'
import { warnOfSilence } from './silent-server.js'
import { tell } from './story.js'

/** Randoms of handshakes that are over, at most: what comes late of them must not harm another. */
const OVER_LIMIT = 8

/** Sees to it that a handshake is under way. */
export function open(peer: Peer, now: number): void {
  if (peer.inFlight === undefined && !peer.willStart) begin(peer, now)
  peer.settle()
}

function begin(peer: Peer, now: number): void {
  const { current } = peer
  const { budget } = peer.context
  if (current?.role === 'server' && now < current.securedAt + SECOND_ATTEMPT) {
    // A hello that overtakes the end of the peer's own handshake would be taken for an old one.
    peer.retryAt = current.securedAt + SECOND_ATTEMPT
  } else if (budget.open) {
    budget.spend(() => startClient(peer))
  } else {
    peer.startWaits = true
    budget.deferOwn(() => {
      peer.startWaits = false
      const isFree = !peer.gone && peer.inFlight === undefined
      if (isFree && wants(peer, now)) startClient(peer)
      peer.settle()
    })
  }
}

/** Is there a reason for a handshake of ours? */
function wants(peer: Peer, now: number): boolean {
  return peer.isAwaited || peer.current?.isWorn(now) === true
}

/** @param since when the attempt began that this one goes on with */
export function startClient(peer: Peer, since?: number): void {
  peer.retryAt = Number.POSITIVE_INFINITY
  peer.retrySince = undefined
  const { clock } = peer.context
  let link: Link
  try {
    const settings = peer.context.settingsNow()
    const expectation = expectationOf(peer, 'client')
    const key = sessionKeyOf(peer, expectation, settings)
    const session = findSession(key, clock)
    link = makeLink(peer, 'client', settings, expectation, session)
    if (since !== undefined) link.startedAt = since
    tell(peer.text, 'handshakes as client%s', session === undefined ? '' : ', resuming')
    peer.inFlight = link
    link.association.start()
  } catch (error) {
    peer.inFlight?.association.destroy()
    peer.inFlight = undefined
    if (peer.current !== undefined) peer.rekeyNotBefore = clock.now() + RETRY_INTERVAL
    else peer.fail(error as Error)
  }
}

/** Becomes the server of a verified ClientHello. */
export function serve(peer: Peer, record: Buffer): void {
  peer.context.budget.spend(() => startServer(peer, record))
  peer.settle()
}

export function startServer(peer: Peer, record: Buffer): void {
  const before = peer.inFlight
  try {
    const settings = peer.context.settingsNow()
    const link = makeLink(peer, 'server', settings, expectationOf(peer, 'server'), undefined)
    if (before !== undefined) {
      tell(peer.text, 'gives way to its hello')
      const { random } = before
      const theirs = parseClientHello(record)?.random
      const isOurTurn = random !== null && theirs !== undefined && random.compare(theirs) > 0
      link.yieldedUnasked = before.role === 'client' && isOurTurn
      abandon(peer, before)
    }
    tell(peer.text, 'handshakes as server')
    peer.inFlight = link
    peer.retryAt = Number.POSITIVE_INFINITY
    link.beginsWith(record)
    link.association.start(record)
  } catch (error) {
    if (peer.inFlight !== before) {
      peer.inFlight?.association.destroy()
      peer.inFlight = undefined
    }
    tell(peer.text, 'cannot be served: %s', (error as Error).message)
    warnOfSilence(error as Error)
    if (peer.inFlight === undefined && peer.isAwaited) startClient(peer)
  }
}

function makeLink(
  peer: Peer,
  role: AssociationRole,
  settings: ParsedSettings,
  expectation: Expectation,
  session: Session | undefined,
): Link {
  const { clock } = peer.context
  const association = peer.context.associate({
    settings,
    role,
    peer: peer.text,
    targetName: expectation.targetName,
    targetNameSet: expectation.set,
    host: expectation.host ?? peer.wantedHost,
    session: session?.data,
    mtu: settings.mtu,
    clock,
  })
  return new Link(association, expectation, session, { settings, clock, observer: peer })
}

/**
 * Whom it must prove to be, in either role: the name that was set, else the name by which we began
 * to speak to it. Only a stranger that begins has none.
 */
function expectationOf(peer: Peer, role: AssociationRole): Expectation {
  const set = peer.context.names.get(peer.host.text, peer.port)
  if (set !== undefined) return { targetName: set, set: true, host: undefined }
  if (role === 'client' && peer.derived === undefined) {
    const host = peer.wantedHost ?? peer.address
    peer.derived = { host, name: parseHostTargetName(host) }
  }
  return { targetName: peer.derived?.name, set: false, host: peer.derived?.host }
}

/** A session belongs to the settings by which the peer was authenticated. */
export function sessionKeyOf(
  peer: Peer,
  { targetName }: Expectation,
  { fingerprint }: ParsedSettings,
): string {
  return sessionKey(fingerprint, peer.host.text, peer.port, targetName)
}

/** A handshake in flight that is not wanted any more. */
export function abandon(peer: Peer, link: Link): void {
  giveUp(peer, link.random)
  giveUp(peer, link.serverRandom)
  peer.countRetransmissions(link)
  link.association.destroy()
  peer.inFlight = undefined
  peer.heldHello = undefined
  peer.heldAlert = undefined
}

export function giveUp(peer: Peer, random: Buffer | null | undefined): void {
  if (!random || peer.over.some(each => each.equals(random))) return
  peer.over.push(Buffer.from(random))
  if (peer.over.length > OVER_LIMIT) peer.over.shift()
}

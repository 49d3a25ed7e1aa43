/** What goes to a peer: protected and sent, or kept until it is secured; and only to whom it is meant for. */
import { isIP } from 'node:net'
import { SocketSecurityError, show } from '../../model/errors.js'
import { checkCertificate } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import { parseHostTargetName } from '../../model/target-name.js'
import type { Counters } from '../datagram-counters.js'
import { type SendCallback, unheard } from '../datagram-provider.js'
import { safely } from '../datagrams/safely.js'
import { wear } from './ageing.js'
import { RECORD_OVERHEAD } from './association.js'
import { open } from './beginning.js'
import { RETRY_INTERVAL } from './lifetimes.js'
import type { Link } from './link.js'
import type { Peer } from './peer.js'
import { sendErrorKind } from './send-errors.js'
import { tell } from './story.js'

/** Other names that a peer has proved, at most. */
const OTHER_NAMES_LIMIT = 16

/** Protects a message and sends it, now or when the peer is secured. */
export function send(peer: Peer, message: Buffer, host: string, callback: SendCallback): void {
  peer.spokenTo = true
  const { clock } = peer.context
  const now = clock.tickTime === undefined ? clock.now() : clock.tickTime()
  const current = peer.current
  // What waits for somebody else does not hold up an answer.
  if (current !== undefined && (peer.queue.length === 0 || isAnswered(current))) {
    if (current.isWorn(now)) wear(peer, now)
    const mayGo = isMeant(peer, current, host) && !isSilent(peer, current, now)
    if (current === peer.current && mayGo) {
      transmit(peer, current, message, host, callback, now)
      return
    }
  }
  const refused = peer.queue.push({ message, host, callback }, peer.context.settings, peer.text)
  if (refused !== undefined) {
    peer.settle()
    callback(refused)
    return
  }
  peer.wantedHost ??= host
  open(peer, now)
}

/** Handshakes ahead of the first message. */
export function secure(peer: Peer, host: string): Promise<SecurityInfo> {
  peer.spokenTo = true
  const current = peer.current
  if (current !== undefined && isMeant(peer, current, host)) {
    const wrong = wrongHost(peer, current, host)
    return wrong === undefined ? Promise.resolve(current.info) : Promise.reject(wrong)
  }
  const secured = new Promise<SecurityInfo>((resolve, reject) => {
    peer.waiters.push({ host, resolve, reject })
  })
  peer.wantedHost ??= host
  open(peer, peer.context.clock.now())
  return secured
}

function transmit(
  peer: Peer,
  link: Link,
  message: Buffer,
  host: string,
  callback: SendCallback,
  now: number,
): void {
  const wrong = wrongHost(peer, link, host)
  if (wrong !== undefined) {
    safely(() => callback(wrong))
    return
  }
  const { observer, totals } = peer.context
  const { length } = message
  let recordLength: number
  try {
    recordLength = link.association.send(message, observer.reserve(length + RECORD_OVERHEAD))
  } catch (error) {
    safely(() => callback(error as Error))
    return
  }
  link.sentAt = now
  count(peer.counters, length)
  count(totals, length)
  observer.commit(
    recordLength,
    peer,
    callback === unheard ? undefined : told(peer, callback, length),
  )
}

/** What the outbox calls, where somebody waits for it. */
function told(peer: Peer, callback: SendCallback, length: number): (error: Error | null) => void {
  return error => {
    if (error === null) {
      callback(null, length)
      return
    }
    if (sendErrorKind(error) === 'icmp') peer.drop('icmp')
    callback(error)
  }
}

/**
 * Whoever begins from an address is not yet whom we mean by it. Once the application has had a message
 * of his it answers him; before that he must have proved what it calls him, an address too.
 */
export function isMeant(peer: Peer, link: Link, host: string): boolean {
  if (link.expectation.targetName !== undefined || link.delivered || link.introduced) return true
  return provesHost(peer, link, host) === undefined
}

/** A stranger began it, and the application answers him. */
function isAnswered(link: Link): boolean {
  return (link.delivered || link.introduced) && link.expectation.targetName === undefined
}

/**
 * A message to a name goes only to a peer that has proved that name. An address is no name of its
 * own here: it means the peer that is secured at it.
 */
export function wrongHost(peer: Peer, link: Link, host: string): Error | undefined {
  const { expectation } = link
  if (expectation.set || expectation.host === host) return undefined
  if (host === peer.address || isIP(host) !== 0) return undefined
  return provesHost(peer, link, host)
}

/** @returns why not, where it has not */
function provesHost(peer: Peer, link: Link, host: string): Error | undefined {
  if (link.otherNames?.has(host)) return undefined
  const identity = link.source?.peer
  if (identity?.pskIdentity !== undefined) return undefined
  try {
    if (identity?.certificate === undefined) throw notProved(peer.text, host)
    checkCertificate(identity.certificate, parseHostTargetName(host), peer.text)
  } catch (error) {
    return error as Error
  }
  link.otherNames ??= new Set()
  if (link.otherNames.size < OTHER_NAMES_LIMIT) link.otherNames.add(host)
  return undefined
}

/**
 * Nothing has come from it for so long that it may have forgotten us: then the old association is
 * ended and a new one begun, before more messages are lost. Only by its client, who can begin.
 */
function isSilent(peer: Peer, link: Link, now: number): boolean {
  const { resumeAfter } = peer.context.settings
  if (resumeAfter === 0 || link.role === 'server' || link.nameDeleted) return false
  if (now - link.heardAt < resumeAfter) return false
  // Of one that never says anything silence means nothing.
  if (now < peer.wakeNotBefore && link.association.recordsReceived === 0) return false
  if (peer.inFlight !== undefined) return false
  peer.wakeNotBefore = now + RETRY_INTERVAL
  tell(peer.text, 'nothing came from it for %d ms: handshakes anew', Math.round(now - link.heardAt))
  peer.dismiss(link)
  return true
}

/** Sends what has waited, as far as it is meant for whoever is secured now. */
export function flush(peer: Peer): void {
  for (let first = peer.queue.first; first !== undefined; first = peer.queue.first) {
    const { current, gone } = peer
    if (gone || current === undefined || !isMeant(peer, current, first.host)) return
    peer.queue.shift()
    transmit(peer, current, first.message, first.host, first.callback, peer.context.clock.now())
  }
}

function count(counters: Counters, bytes: number): void {
  counters.datagramsSent += 1
  counters.bytesSent += bytes
}

function notProved(peer: string, host: string): Error {
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `the peer ${peer} has not proved any name, and the message is for ${show(host)}`,
    { peer },
  )
}

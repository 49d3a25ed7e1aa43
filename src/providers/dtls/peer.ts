/**
 * One peer: at most one handshake in flight, one current and one retiring association, and the
 * messages that wait. What it does stands in modules by concept (receiving, sending, beginning,
 * failing, ageing), which share its fields; the endpoint uses its methods only.
 */

import { SocketSecurityError, type SocketSecurityErrorCode } from '../../model/errors.js'
import type { PeerIdentity } from '../../model/peer-identity.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { TargetName } from '../../model/target-name.js'
import { Counters } from '../datagram-counters.js'
import type { Destination, DropReason, PeerAddress, SendCallback } from '../datagram-provider.js'
import { MessageQueue } from '../datagrams/message-queue.js'
import { rethrowLater, safely } from '../datagrams/safely.js'
import type { Sleeper } from '../datagrams/timers.js'
import { logDatagrams } from '../keylog.js'
import { nextWake, tickCurrent } from './ageing.js'
import { abandon, open, serve, sessionKeyOf, startClient } from './beginning.js'
import { handshakeFailed, tickHandshake } from './failing.js'
import { OVERLAP } from './lifetimes.js'
import type { Link, LinkObserver } from './link.js'
import type { Host, PeerContext } from './peer-context.js'
import { receive, receiveRun } from './receiving.js'
import { sendErrorKind } from './send-errors.js'
import { flush, isMeant, secure, send, wrongHost } from './sending.js'
import { dropSession, keepSession } from './sessions.js'
import { tell, tellClosed, tellDropped, tellFailed, tellSecured } from './story.js'

interface Waiter {
  readonly host: string
  resolve(info: SecurityInfo): void
  reject(error: Error): void
}

export class Peer implements LinkObserver, Sleeper, Destination {
  readonly host: Host
  readonly address: string
  readonly port: number
  /** `address:port`, for messages. */
  readonly text: string
  /** Of the channel, which sends to it. */
  route: unknown
  readonly counters = new Counters()
  wakeAt = Number.POSITIVE_INFINITY
  heapIndex = -1

  readonly context: PeerContext
  readonly queue: MessageQueue
  waiters: Waiter[] = []
  inFlight: Link | undefined
  current: Link | undefined
  retiring: Link | undefined
  /** The application has sent to it. */
  spokenTo = false
  /** What the application called it when the first message to it began to wait. */
  wantedHost: string | undefined
  /** The name that it must prove because our own handshake began with it. */
  derived: { readonly host: string; readonly name: TargetName } | undefined
  /** 'secured' has been told, and its end has not. */
  announced: PeerIdentity | true | undefined
  startWaits = false
  /** A verified hello that waits for whether the peer answers ours, or for its turn after the one before. */
  heldHello: Buffer | undefined
  heldAlert: { readonly record: Buffer; readonly due: number } | undefined
  /** The randoms, of both ends, of handshakes that were given up. */
  over: Buffer[] = []
  /** A handshake was begun again after a failure that anybody could have caused. */
  retried = false
  /** When it is begun again; Infinity: not. */
  retryAt = Number.POSITIVE_INFINITY
  /** When the attempt began that is then gone on with; undefined: it is a new one. */
  retrySince: number | undefined
  rekeyNotBefore = 0
  wakeNotBefore = Number.NEGATIVE_INFINITY
  gone = false

  constructor(context: PeerContext, host: Host, address: string, port: number) {
    this.context = context
    this.host = host
    this.address = address
    this.port = port
    this.text = peerText(address, port)
    this.queue = new MessageQueue(context.queued)
  }

  get isSecured(): boolean {
    return this.current !== undefined
  }

  get isHandshaking(): boolean {
    return this.inFlight !== undefined
  }

  /** The handshake of a stranger that is nothing else to us yet. */
  get strangersHandshake(): Link | undefined {
    const isOnly = this.current === undefined && this.retiring === undefined && !this.isAwaited
    return isOnly && this.inFlight?.role === 'server' ? this.inFlight : undefined
  }

  /** What secures it now; undefined where nothing does. */
  get info(): SecurityInfo | undefined {
    return this.current?.info
  }

  /** Has the application sent to it, or is it secured? Then it is too late for a name (R18). */
  get isCommitted(): boolean {
    return this.spokenTo || this.current !== undefined
  }

  // What comes

  /** A datagram of this peer. */
  receive(datagram: Buffer): void {
    receive(this, datagram)
  }

  /** As many as can be taken at once of datagrams of this peer; where the next one begins. */
  receiveRun(datagrams: Buffer, offset: number, segment: number): number {
    return receiveRun(this, datagrams, offset, segment)
  }

  // What goes

  /** Protects a message and sends it, now or when the peer is secured. */
  send(message: Buffer, host: string, callback: SendCallback): void {
    send(this, message, host, callback)
  }

  /** Handshakes ahead of the first message. */
  secure(host: string): Promise<SecurityInfo> {
    return secure(this, host)
  }

  exportKeyingMaterial(
    length: number,
    label: string,
    context: Buffer | undefined,
  ): Buffer | undefined {
    return this.current?.association.exportKeyingMaterial(length, label, context)
  }

  // Handshakes

  /** A handshake of ours is going to begin. */
  get willStart(): boolean {
    return this.startWaits || this.retryAt < Number.POSITIVE_INFINITY
  }

  /** Does somebody wait for it to be secured? */
  get isAwaited(): boolean {
    return this.queue.length > 0 || this.waiters.length > 0
  }

  /** Becomes the server of a verified ClientHello. */
  serve(record: Buffer): void {
    serve(this, record)
  }

  // What associations tell

  linkDatagram(link: Link, datagram: Buffer): void {
    const sent = (error: Error | null) => {
      if (error !== null) this.datagramFailed(link, error)
    }
    this.context.observer.datagram(datagram, this.address, this.port, sent)
  }

  linkMessage(link: Link, message: Buffer): void {
    const { totals, observer } = this.context
    const { counters } = this
    counters.datagramsReceived += 1
    counters.bytesReceived += message.length
    totals.datagramsReceived += 1
    totals.bytesReceived += message.length
    if (link.source === undefined) return
    link.delivered = true
    // The same peer has newer keys already.
    if (link === this.retiring && this.current !== undefined) this.current.delivered = true
    try {
      observer.message(message, link.source)
    } catch (error) {
      rethrowLater(error)
    }
  }

  linkSecured(link: Link): void {
    if (link !== this.inFlight) return
    const { clock, observer } = this.context
    link.begin(this)
    const replaced = this.current
    this.inFlight = undefined
    this.current = link
    this.heldHello = undefined
    this.heldAlert = undefined
    this.retried = false
    this.countRetransmissions(link)
    this.retiring?.association.destroy()
    this.retiring = replaced
    if (replaced !== undefined) replaced.endsAt = this.endOfOverlap(link, clock.now())
    if (link.session !== undefined) this.linkSession(link, link.session)

    const { info } = link
    for (const counters of [this.counters, this.context.totals]) {
      counters.handshakes += 1
      if (info.resumed) counters.handshakesResumed += 1
    }
    tellSecured(this.where, this.text, info)
    const isKnown = this.announced !== undefined && isSameIdentity(this.announced, info.peer)
    // What the application says next may answer what has just come by the keys before.
    if (isKnown && replaced?.delivered) link.delivered = true
    const waiters = this.waiters
    this.waiters = []
    for (const waiter of waiters) {
      const wrong = wrongHost(this, link, waiter.host)
      if (!isMeant(this, link, waiter.host)) this.waiters.push(waiter)
      else if (wrong === undefined) waiter.resolve(info)
      else waiter.reject(wrong)
    }
    if (!isKnown) {
      // Somebody else has the address now: what the one before still sends is not taken.
      if (this.announced !== undefined) this.endRetiring()
      this.announceEnd()
      // Whoever was told of that end may have ended this one, too.
      if (this.current !== link) return
      this.announced = info.peer ?? true
      // What the application says when it is told of somebody is meant for him.
      link.introduced = true
      safely(() => observer.secured(this.where, info))
      link.introduced = false
    }
    flush(this)
    // A stranger has begun, and somebody else is meant: we begin ourselves.
    if (!this.gone && this.isAwaited) open(this, clock.now())
  }

  /**
   * Until when a replaced association receives: for the overlap after the peer has used the new one.
   * The server's Finished shows that; a server waits for the first record, or for the client's time
   * to complete the handshake.
   */
  endOfOverlap(link: Link, now: number): number {
    if (link.role === 'client') return now + OVERLAP
    return now + OVERLAP + this.context.settings.handshakeTimeout
  }

  linkFailed(link: Link, error: Error): void {
    if (link === this.inFlight) handshakeFailed(this, link, error)
    else if (link === this.retiring) this.retiring = undefined
    else if (link === this.current) this.currentFailed(error)
  }

  currentFailed(error: Error): void {
    tellFailed(this.where, this.text, error)
    this.leaveCurrent()
    const { observer } = this.context
    if (this.spokenTo) safely(() => observer.peerError(error, this.where))
    this.announceEnd()
  }

  linkClosed(link: Link): void {
    if (link === this.inFlight) {
      const why = `${this.text} closed before it was secured`
      handshakeFailed(this, link, new SocketSecurityError('EPROTO', why, { peer: this.text }))
    } else if (link === this.retiring) {
      this.retiring = undefined
    } else if (link === this.current) {
      tell(this.text, 'says close_notify')
      this.leaveCurrent()
      this.announceEnd()
    }
  }

  linkSession(link: Link, session: Buffer): void {
    if (link === this.inFlight) {
      // Kept once the peer has proved who it is.
      link.session = session
      return
    }
    link.session = undefined
    if (link.nameDeleted) return
    keepSession(sessionKeyOf(this, link.expectation, link.settings), {
      data: session,
      expires: link.fullUntilWall,
      ends: link.fullUntil,
    })
  }

  linkKeylog(_link: Link, line: Buffer): void {
    const { observer, settings } = this.context
    logDatagrams(settings, line)
    // Node's own option asks for the file, and not for the event.
    if (settings.keylog) safely(() => observer.keylog(line, this.where))
  }

  /** There will be no security with it now: whoever waits for it is told. */
  fail(error: Error): void {
    const { observer } = this.context
    const waiters = this.waiters
    this.waiters = []
    this.wantedHost = undefined
    // Nor is it asked for that name as our client: a stranger who is secured was never called so.
    if (this.current?.expectation.targetName === undefined) this.derived = undefined
    for (const { reject } of waiters) reject(error)
    this.queue.fail(error)
    safely(() => observer.peerError(error, this.where))
    if (this.current === undefined) this.announceEnd()
  }

  // Time

  /** Does what is due. */
  tick(now: number): void {
    if (this.gone) return
    if (now >= this.retryAt) startClient(this, this.retrySince)
    else tickHandshake(this, now)
    tickCurrent(this, now)
    if (this.retiring !== undefined && now >= this.retiring.endsAt) this.endRetiring()
    this.settle()
  }

  countRetransmissions(link: Link): void {
    const more = link.newRetransmissions()
    this.counters.retransmissions += more
    this.context.totals.retransmissions += more
  }

  /** Puts the peer away where nothing is left of it, else sees to its next waking. */
  settle(): void {
    if (this.gone) return
    const inUse = this.inFlight ?? this.current ?? this.retiring
    if (inUse === undefined && !this.isAwaited && !this.willStart) {
      this.gone = true
      this.context.forget(this)
    } else {
      this.context.timers.wake(this, nextWake(this))
    }
  }

  // The end

  /** Ends the current association with close_notify, because another takes its place. */
  dismiss(link: Link): void {
    this.leaveCurrent()
    link.association.close()
  }

  /** Ends the peer's security with close_notify. */
  endCurrent(): void {
    const link = this.current
    if (link === undefined) return
    this.dismiss(link)
    this.announceEnd()
  }

  leaveCurrent(): void {
    this.current = undefined
    this.endRetiring()
  }

  endRetiring(): void {
    this.retiring?.association.destroy()
    this.retiring = undefined
  }

  announceEnd(): void {
    if (this.announced === undefined) return
    this.announced = undefined
    const { observer } = this.context
    tellClosed(this.where, this.text)
    safely(() => observer.peerClosed(this.where))
  }

  /** Ends everything with it. Whoever waits gets the error. */
  close(code: SocketSecurityErrorCode, why: string, announce: boolean): void {
    this.gone = true
    this.retryAt = Number.POSITIVE_INFINITY
    this.context.forget(this)
    const current = this.current
    this.inFlight?.association.destroy()
    this.inFlight = undefined
    this.leaveCurrent()
    current?.association.close()
    const error = new SocketSecurityError(code, why, { peer: this.text })
    const waiters = this.waiters
    this.waiters = []
    for (const { reject } of waiters) reject(error)
    this.queue.fail(error)
    if (announce) this.announceEnd()
  }

  /** The name that was set for it serves no future handshake (R21). */
  nameDeleted(name: TargetName): void {
    for (const link of [this.inFlight, this.current]) {
      if (link?.expectation.set && link.expectation.targetName === name) link.nameDeleted = true
    }
    const expectation = { targetName: name, set: true, host: undefined }
    const links = [this.context, this.inFlight, this.current]
    for (const each of links) {
      if (each !== undefined) dropSession(sessionKeyOf(this, expectation, each.settings))
    }
    this.settle()
  }

  /** A name is set for it: a handshake that a stranger has begun without it does not count. */
  nameSet(): void {
    const link = this.inFlight
    if (link !== undefined) abandon(this, link)
    this.settle()
  }

  /** An ICMP error, whatever its code: anybody can forge one. */
  sendFailed(error: Error): void {
    this.drop('icmp')
    if (this.inFlight !== undefined) this.inFlight.unreachable = true
    tell(this.text, 'an ICMP error came: %s', error.message)
  }

  datagramFailed(link: Link, error: Error): void {
    const kind = sendErrorKind(error)
    if (kind === 'icmp') this.sendFailed(error)
    if (kind !== 'local' || link !== this.inFlight || this.current !== undefined) return
    if (link.role === 'server' || link.progressed) return
    // This machine itself says that nothing can leave: as dgram's send() does, at once.
    this.retried = true
    handshakeFailed(this, link, error)
    this.settle()
  }

  drop(reason: DropReason): void {
    this.counters.dropped[reason] += 1
    this.context.totals.dropped[reason] += 1
    tellDropped(this.address, this.port, reason)
  }

  get where(): PeerAddress {
    return { address: this.address, port: this.port }
  }
}

function isSameIdentity(before: PeerIdentity | true, now: PeerIdentity | undefined): boolean {
  if (before === true || now === undefined) return before === true && now === undefined
  return before.pin === now.pin && before.pskIdentity === now.pskIdentity
}

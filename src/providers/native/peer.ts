/**
 * One peer of a native datagram socket. The system secures its packets; what is done here is to hold
 * what comes and what is to leave until the system says that the peer is secured, to see that it
 * stays so, and to give it up in time.
 */
import { shownAsPeer, shownAsSecurity } from '../../model/at-a-glance.js'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import { Counters } from '../datagram-counters.js'
import type { DropReason, PeerAddress, SendCallback } from '../datagram-provider.js'
import { MessageQueue, type WaitingMessage } from '../datagrams/message-queue.js'
import { rethrowLater, safely } from '../datagrams/safely.js'
import type { Sleeper } from '../datagrams/timers.js'
import { Attempt, type AttemptPeer } from './attempt.js'
import { type NativePeerContext, tellName } from './context.js'
import { insufficiency, noLongerSecured } from './errors.js'
import { HeldMessages } from './held-messages.js'
import { type Acquaintance, notMeant } from './meant.js'

/** Milliseconds for which nothing is asked about a peer again that was not secured. */
const REFUSAL = 1000
/** Milliseconds between two notes of when a peer was last used. */
const TOUCH = 1000
/** Milliseconds of use after which the system is asked again who a peer is, and whether it is secured. */
const RECHECK = 60_000

interface Waiter {
  /** What the application called the peer. */
  readonly host: string
  resolve(info: SecurityInfo): void
  reject(error: Error): void
}

const unacquainted: Acquaintance = { called: undefined, isNamed: false }

export class NativePeer implements Sleeper, AttemptPeer {
  readonly where: PeerAddress
  /** One text for one address, however it is written. */
  readonly addressText: string
  /** `address:port`, for messages. */
  readonly text: string
  readonly counters = new Counters()
  wakeAt = Number.POSITIVE_INFINITY
  heapIndex = -1
  /** What secures it; undefined while nothing does. */
  info: SecurityInfo | undefined
  /** The target name that was set, and that it has proved. */
  targetName: string | undefined

  /** The target name that it has proved, set or derived. */
  #proved: string | undefined

  readonly #context: NativePeerContext
  readonly #queue: MessageQueue
  /** What came before the peer was secured. */
  readonly #held: HeldMessages
  #waiters: Waiter[] = []
  #attempt: Attempt | undefined
  /** The application has sent to it. */
  #spokenTo = false
  #lastUsed = 0
  #refusedUntil = Number.NEGATIVE_INFINITY
  /** As it was secured last. */
  #acquaintance = unacquainted
  #askedAt = 0
  #rechecking = false
  /** Nothing was heard for long, but it was the application that began: until then it may come back. */
  #expectedUntil = Number.NEGATIVE_INFINITY

  constructor(context: NativePeerContext, addressText: string, where: PeerAddress) {
    this.#context = context
    this.addressText = addressText
    this.where = where
    this.text = peerText(where.address, where.port)
    this.#queue = new MessageQueue(context.queued)
    this.#held = new HeldMessages(context.held)
  }

  get isSecured(): boolean {
    return this.info !== undefined
  }

  get isBeingSecured(): boolean {
    return this.#attempt !== undefined
  }

  /** It is secured, or the application has sent to it and waits for that: no name can be set any more (R18). */
  get isCommitted(): boolean {
    return this.info !== undefined || (this.#attempt !== undefined && this.#spokenTo)
  }

  /** Nothing secures it, and nothing is under way: it was refused, or rests. */
  get isIdle(): boolean {
    return this.info === undefined && this.#attempt === undefined
  }

  get isHeard(): boolean {
    return this.#held.length > 0
  }

  /** Resolves when nobody is being authenticated here; undefined where nothing is under way. */
  attemptOver(): Promise<void> | undefined {
    return this.#attempt?.over()
  }

  /** A name was set that it has to prove, also where it has spoken already. */
  nameSet(): void {
    if (this.#attempt !== undefined) this.#begin(undefined)
  }

  receive(message: Buffer): void {
    const now = this.#context.clock.now()
    if (this.info !== undefined) {
      this.#touch(now)
      this.#deliver(message)
      return
    }
    if (this.#attempt === undefined && now < this.#refusedUntil) {
      this.drop('unauthenticated')
      return
    }
    if (!this.#held.push(message, this.#context.settings)) this.drop('limit')
    else if (this.#attempt === undefined) this.#begin(this.#acquaintance.called)
    else this.#attempt.heard()
  }

  send(message: Buffer, host: string, callback: SendCallback): void {
    this.#spokenTo = true
    if (this.info !== undefined && this.#context.isOpen(this.addressText)) {
      this.#touch(this.#context.clock.now())
      const wrong = this.#notMeant(host, this.#acquaintance)
      if (wrong) safely(() => callback(wrong))
      else this.#transmit(message, callback)
      return
    }
    const full = this.#queue.push({ message, host, callback }, this.#context.settings, this.text)
    if (full) safely(() => callback(full))
    else this.#beginFor(host)
  }

  /** Ahead of the first message where the system can do that; else when one has been sent. */
  secure(host: string): Promise<SecurityInfo> {
    return new Promise((resolve, reject) => {
      const waiter = { host, resolve, reject }
      if (this.info !== undefined && this.#context.isOpen(this.addressText)) {
        this.#answer(waiter, this.info)
        return
      }
      this.#waiters.push(waiter)
      if (!this.#canSecureAhead) return
      this.#spokenTo = true
      this.#beginFor(host)
    })
  }

  /** Whoever begins from an address is not yet whom the application means by it. */
  #beginFor(host: string): void {
    const attempt = this.#attempt
    const isOurs = attempt !== undefined && !attempt.isOfStranger
    // A peer that has spoken first may be secured or not; what we begin ourselves secures it.
    if (!isOurs || (this.#canSecureAhead && attempt.host === undefined)) this.#begin(host)
  }

  get #canSecureAhead(): boolean {
    return this.#context.socket.secure !== undefined
  }

  /** The system takes no name for a socket that is connected. */
  async nameBeforeConnect(host: string): Promise<void> {
    if (this.#attempt === undefined && this.info === undefined)
      await tellName(this.#context, this, host)
  }

  /** What the system says now; undefined where the peer is not secured any more. */
  async refresh(): Promise<SecurityInfo | undefined> {
    const before = this.info
    if (before === undefined) return undefined
    const info = await this.#context.socket.query(this.addressText, this.where.port)
    if (this.info !== before) return this.info
    const insufficient = insufficiency(info, this.text, this.#context.settings)
    if (insufficient !== undefined) {
      this.#context.enter(() => this.close(insufficient))
      return undefined
    }
    const known = this.#named(info, this.#proved)
    this.info = known
    this.#askedAt = this.#context.clock.now()
    if (!isSame(before, known)) {
      this.#context.enter(() => safely(() => this.#context.observer.secured(this.where, known)))
    }
    return this.info
  }

  /** Another account of the same machine may have the port by now. */
  #recheck(): void {
    this.#rechecking = true
    const { info } = this
    this.refresh()
      .catch(error => {
        if (this.info !== info) return
        this.#context.enter(() => this.close(error as Error))
      })
      .finally(() => {
        this.#rechecking = false
      })
      .catch(rethrowLater)
  }

  sendFailed(error: Error): void {
    if (this.#attempt) this.#attempt.unreachable = error
    this.drop('icmp')
  }

  drop(reason: DropReason): void {
    this.counters.dropped[reason] += 1
    this.#context.totals.dropped[reason] += 1
  }

  tick(now: number): void {
    const attempt = this.#attempt
    if (attempt !== undefined) {
      attempt.tick(now)
      if (this.#attempt === attempt) this.wake(attempt.wakeAt)
    } else if (this.info === undefined) {
      const until = Math.max(this.#refusedUntil, this.#expectedUntil)
      if (now >= until) this.#context.forget(this)
      else this.wake(until)
    } else {
      const idleAt = this.#lastUsed + this.#context.settings.idleTimeout
      if (now >= idleAt) this.#rest()
      else this.wake(idleAt)
    }
  }

  wake(at: number): void {
    this.#context.timers.wake(this, at)
  }

  /**
   * Nothing secures it any longer, and nobody has asked for that.
   * @param error that of whoever speaks to it; undefined where it has only ended
   */
  lost(error: Error | undefined): void {
    if (this.info === undefined) return
    const { called } = this.#acquaintance
    this.#rest()
    if (error !== undefined && called !== undefined)
      safely(() => this.#context.observer.peerError(error, this.where))
  }

  /**
   * Nothing came and nothing was sent for long, or its security has ended. Whom the application has
   * spoken to first may speak again, and is asked about then; a stranger can come again as one.
   */
  #rest(): void {
    if (this.#acquaintance.called === undefined) {
      this.close(this.#canceled(`nothing came from ${this.text}`))
      return
    }
    const { clock, settings } = this.#context
    this.info = this.targetName = undefined
    this.#expectedUntil = clock.now() + settings.rekeyAfter
    this.wake(this.#expectedUntil)
    this.#context.idle()
    safely(() => this.#context.observer.peerClosed(this.where))
  }

  /** Lets it go. What waits for it fails. */
  close(error: Error): void {
    const { info } = this
    this.#endAttempt()
    this.info = this.targetName = undefined
    this.#context.forget(this)
    this.#giveUp(error)
    if (info !== undefined) safely(() => this.#context.observer.peerClosed(this.where))
  }

  /** @param host what the application called it; undefined where the peer has spoken first */
  #begin(host: string | undefined): void {
    this.#endAttempt()
    const attempt = new Attempt(this, this.#context, host)
    this.#attempt = attempt
    this.wake(attempt.wakeAt)
    attempt.begin()
  }

  #endAttempt(): void {
    this.#attempt?.end()
    this.#attempt = undefined
  }

  again({ host }: Attempt): void {
    this.#begin(host)
  }

  firstMeant({ host, isSet }: Attempt): WaitingMessage | undefined {
    return this.#firstMeant({ called: host, isNamed: isSet })
  }

  /** The first message that waits for this very peer; those for others fail. */
  #firstMeant(acquaintance: Acquaintance): WaitingMessage | undefined {
    for (let first = this.#queue.first; first; first = this.#queue.first) {
      const wrong = this.#notMeant(first.host, acquaintance)
      if (!wrong) return first
      this.#queue.shift()
      const { callback } = first
      safely(() => callback(wrong))
    }
    return undefined
  }

  #notMeant(host: string, acquaintance: Acquaintance): Error | undefined {
    return notMeant(this.text, host, acquaintance, this.#context.settings)
  }

  dismissed(): void {
    this.#endAttempt()
    this.#spokenTo = false
    this.#context.forget(this)
    this.#giveUp(this.#canceled(`nothing is left to be sent to ${this.text}`))
  }

  notSent(error: Error): boolean {
    const failed = this.#queue.shift()
    if (failed) safely(() => failed.callback(error))
    return this.#queue.length > 0 || this.#held.length > 0
  }

  secured(attempt: Attempt, info: SecurityInfo): void {
    const { clock, totals, observer } = this.#context
    this.#endAttempt()
    this.#acquaintance = { called: attempt.host, isNamed: attempt.isSet }
    this.targetName = attempt.isSet ? attempt.name?.text : undefined
    this.#askedAt = clock.now()
    this.#proved = attempt.name?.text
    const known = this.#named(info, this.#proved)
    this.info = known
    this.#lastUsed = Number.NEGATIVE_INFINITY
    this.#touch(clock.now())
    this.counters.handshakes += 1
    totals.handshakes += 1
    for (const waiter of this.#waiters.splice(0)) this.#answer(waiter, known)
    // Before anybody hears of it and sends more: they come first.
    this.#flush(attempt.spoken)
    if (this.info === known) safely(() => observer.secured(this.where, known))
    for (const message of this.#held.release()) {
      if (this.info === undefined) this.drop('unauthenticated')
      else this.#deliver(message)
    }
  }

  #answer({ host, resolve, reject }: Waiter, info: SecurityInfo): void {
    const wrong = this.#canSecureAhead ? this.#notMeant(host, this.#acquaintance) : undefined
    if (wrong) reject(wrong)
    else resolve(info)
  }

  #flush(firstHasLeft: boolean): void {
    if (firstHasLeft) {
      const first = this.#queue.shift()
      if (first) this.#sent(first.message.length, first.callback)
    }
    const next = () => this.#firstMeant(this.#acquaintance)
    for (let message = next(); message; message = next()) {
      this.#queue.shift()
      this.#transmit(message.message, message.callback)
    }
  }

  #transmit(message: Buffer, callback: SendCallback): void {
    const { length } = message
    const { info } = this
    this.#context.transmit(message, this, error => {
      if (error === null) this.#sent(length, callback)
      else if (this.#canSecureAhead && isRefused(error)) this.#dropped(error, info, callback)
      else callback(error)
    })
  }

  /** The system had nothing to secure it with, and let it not leave in clear. */
  #dropped(error: Error, info: SecurityInfo | undefined, callback: SendCallback): void {
    if (this.info === info) this.#context.enter(() => this.lost(undefined))
    safely(() => callback(noLongerSecured(this.text, error)))
  }

  #sent(bytes: number, callback: SendCallback): void {
    for (const counters of [this.counters, this.#context.totals]) {
      counters.datagramsSent += 1
      counters.bytesSent += bytes
    }
    safely(() => callback(null, bytes))
  }

  #deliver(message: Buffer): void {
    const { totals, observer } = this.#context
    for (const counters of [this.counters, totals]) {
      counters.datagramsReceived += 1
      counters.bytesReceived += message.length
    }
    const source = { ...this.where, peer: this.info?.peer, targetName: this.targetName }
    safely(() => observer.message(message, source))
  }

  failed(error: Error, isOfPeer: boolean): void {
    const { clock, totals, observer } = this.#context
    const heard = this.#held.length > 0
    this.#endAttempt()
    if (isOfPeer) {
      this.counters.handshakesFailed += 1
      totals.handshakesFailed += 1
    }
    const tells = isOfPeer && this.#spokenTo
    this.#spokenTo = false
    if (heard) this.#refusedUntil = clock.now() + REFUSAL
    const until = Math.max(this.#refusedUntil, this.#expectedUntil)
    if (until > clock.now()) {
      this.wake(until)
      this.#context.idle()
    } else {
      this.#context.forget(this)
    }
    this.#giveUp(error)
    if (tells) safely(() => observer.peerError(error, this.where))
  }

  #giveUp(error: Error): void {
    for (const _ of this.#held.release()) this.drop('unauthenticated')
    for (const { reject } of this.#waiters.splice(0)) reject(error)
    this.#queue.fail(error)
  }

  #touch(now: number): void {
    if (now - this.#lastUsed < TOUCH) return
    this.#lastUsed = now
    if (now - this.#askedAt >= RECHECK && !this.#rechecking) this.#recheck()
    this.#context.touched(this)
    this.wake(now + this.#context.settings.idleTimeout)
  }

  #named(info: SecurityInfo, targetName: string | undefined): SecurityInfo {
    if (targetName === undefined || info.peer?.targetName !== undefined) return info
    if (this.#context.settings.ipsec?.optionalPeerNameVerification) return info
    const peer = shownAsPeer({ names: [], ...info.peer, targetName })
    return shownAsSecurity({ ...info, peer })
  }

  #canceled(message: string): SocketSecurityError {
    return new SocketSecurityError('ECANCELED', message, { peer: this.text })
  }
}

/** Is it the same peer, by what it was authenticated as? */
function isSame(one: SecurityInfo, other: SecurityInfo): boolean {
  return (
    one.peer?.user?.sid === other.peer?.user?.sid &&
    one.peer?.machine?.sid === other.peer?.machine?.sid &&
    String(one.peer?.names) === String(other.peer?.names)
  )
}

/** What Linux says where a policy forbids the packet. */
function isRefused(error: Error): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPERM'
}

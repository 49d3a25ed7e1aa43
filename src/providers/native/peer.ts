/**
 * One peer of a native datagram socket. The system secures its packets; what is done here is to tell
 * the system whom the peer must prove to be before the first datagram leaves, to hold what comes and
 * all else that is to leave until the system says that the peer is secured, and to give it up in time.
 */
import { isIP } from 'node:net'
import { shownAsPeer, shownAsSecurity } from '../../model/at-a-glance.js'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import { parseHostTargetName, type TargetName } from '../../model/target-name.js'
import { Counters } from '../datagram-counters.js'
import type {
  Clock,
  DropReason,
  EndpointObserver,
  NativeDatagramSocket,
  PeerAddress,
  SendCallback,
} from '../datagram-provider.js'
import { MessageQueue, type QueueTotals, type WaitingMessage } from '../datagrams/message-queue.js'
import { rethrowLater, safely } from '../datagrams/safely.js'
import type { Sleeper, Timers } from '../datagrams/timers.js'
import { type AttemptStep, insufficiency, otherName, tooLate } from './errors.js'
import { HeldMessages } from './held-messages.js'
import type { NativeNames } from './names.js'

/** Milliseconds until the system is asked again that says "not secured" while it negotiates; doubled each time. */
const FIRST_PAUSE = 20
const LONGEST_PAUSE = 1000
/** Milliseconds for which nothing is asked about a peer again that was not secured. */
const REFUSAL = 1000
/** Milliseconds between two notes of when a peer was last used. */
const TOUCH = 1000
/** Milliseconds of use after which the system is asked again who a peer is, and whether it is secured. */
const RECHECK = 60_000

/** What a peer needs of its endpoint. */
export interface NativePeerContext {
  readonly settings: ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver
  readonly names: NativeNames
  readonly timers: Timers<NativePeer>
  readonly totals: Counters
  readonly queued: QueueTotals
  /** What has come of peers that are not secured yet. */
  readonly held: QueueTotals
  /** The socket under Node's handle: there is one wherever something is sent or has come. */
  readonly socket: NativeDatagramSocket
  /** Runs what follows a call of the system, and does afterwards what its answer asks for. */
  enter(call: () => void): void
  /** The name that the application set for the peer, and the port that it was set for. */
  setName(peer: NativePeer): { readonly name: TargetName; readonly port: number } | undefined
  touched(peer: NativePeer): void
  forget(peer: NativePeer): void
  /** Nothing is under way there any more: it can make room for a stranger. */
  idle(): void
}

/** One try to have the peer secured. */
interface Attempt {
  readonly endsAt: number
  /** What the application called the peer; undefined where the peer has spoken first. */
  readonly host: string | undefined
  /** What is waited for. */
  step: AttemptStep
  /** The first message has left, or is leaving. */
  spoken: boolean
  pause: number
  nextQuery: number
  /** The name that the system checks the peer against. */
  name: TargetName | undefined
  /** It was set by the application. */
  isSet: boolean
}

/** A name that the system was told, and whether the application has set it. */
interface Told {
  readonly name: TargetName | undefined
  readonly isSet: boolean
}

interface Waiter {
  resolve(info: SecurityInfo): void
  reject(error: Error): void
}

export class NativePeer implements Sleeper {
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
  /** What the application called it when it was secured; undefined where it had spoken first. */
  #called: string | undefined
  /** It is held to a name that the application has set. */
  #isNamed = false
  #askedAt = 0
  #rechecking = false
  /** Told when there is no attempt any more. */
  #afterAttempt: (() => void)[] = []
  /** Nothing was heard for long, but it was the application that began: until then it may come back. */
  #expectedUntil = Number.NEGATIVE_INFINITY
  /** An ICMP error that came meanwhile: perhaps why it does not answer. */
  #unreachable: Error | undefined

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

  /** Resolves when nobody is being authenticated here; at once where nothing is under way. */
  attemptOver(): Promise<void> | undefined {
    if (this.#attempt === undefined || this.#attempt.step === 'name') return undefined
    return new Promise(resolve => this.#afterAttempt.push(resolve))
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
    else if (this.#attempt === undefined) this.#begin(this.#called)
    else if (this.#attempt.step === 'pause') this.#ask(this.#attempt)
  }

  send(message: Buffer, host: string, callback: SendCallback): void {
    this.#spokenTo = true
    if (this.info !== undefined) {
      this.#touch(this.#context.clock.now())
      const wrong = this.#wrongHost(host, this.#called, this.#isNamed)
      if (wrong) safely(() => callback(wrong))
      else this.#transmit(message, callback)
      return
    }
    const full = this.#queue.push({ message, host, callback }, this.#context.settings, this.text)
    if (full) safely(() => callback(full))
    // Whoever begins from an address is not yet whom the application means by it.
    else if (!this.#attempt || isOfStranger(this.#attempt)) this.#begin(host)
  }

  /**
   * A message to a name goes only to a peer that has proved that name, and the system can have a peer
   * prove one. An address means the peer that is there: once the application has had a message of it.
   */
  #wrongHost(host: string, called: string | undefined, isNamed: boolean): Error | undefined {
    if (isNamed || host === called || isIP(host) !== 0) return undefined
    if (this.#context.settings.ipsec?.optionalPeerNameVerification) return undefined
    try {
      const { text } = parseHostTargetName(host)
      if (called !== undefined && parseHostTargetName(called).text === text) return undefined
    } catch (error) {
      return error as Error
    }
    return otherName(this.text, called, host)
  }

  /** The system takes no name for a socket that is connected. */
  async nameBeforeConnect(host: string): Promise<void> {
    if (this.#attempt === undefined && this.info === undefined) await this.#tellName(host)
  }

  secure(): Promise<SecurityInfo> {
    if (this.info !== undefined) return Promise.resolve(this.info)
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
    })
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
    this.#unreachable = error
    this.drop('icmp')
  }

  drop(reason: DropReason): void {
    this.counters.dropped[reason] += 1
    this.#context.totals.dropped[reason] += 1
  }

  tick(now: number): void {
    const attempt = this.#attempt
    if (attempt !== undefined) {
      if (now >= attempt.endsAt)
        this.#fail(tooLate(attempt.step, this.text, this.#context.settings, this.#unreachable))
      else if (attempt.step === 'pause' && now >= attempt.nextQuery) this.#ask(attempt)
      else this.#wakeFor(attempt)
    } else if (this.info === undefined) {
      const until = Math.max(this.#refusedUntil, this.#expectedUntil)
      if (now >= until) this.#context.forget(this)
      else this.#context.timers.wake(this, until)
    } else {
      const idleAt = this.#lastUsed + this.#context.settings.idleTimeout
      if (now >= idleAt) this.#rest(now)
      else this.#context.timers.wake(this, idleAt)
    }
  }

  /**
   * Nothing came and nothing was sent for long. Whom the application has spoken to first may speak
   * again, and is asked about then; a stranger can come again as one.
   */
  #rest(now: number): void {
    if (this.#called === undefined) {
      this.close(this.#canceled(`nothing came from ${this.text}`))
      return
    }
    this.info = this.targetName = undefined
    this.#expectedUntil = now + this.#context.settings.rekeyAfter
    this.#context.timers.wake(this, this.#expectedUntil)
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

  /**
   * First the name, then the first message, then the question.
   * @param host what the application called it; undefined where the peer has spoken first
   */
  #begin(host: string | undefined): void {
    const { clock, settings } = this.#context
    const attempt: Attempt = {
      host,
      endsAt: clock.now() + settings.handshakeTimeout,
      step: 'name',
      spoken: false,
      pause: FIRST_PAUSE,
      nextQuery: Number.POSITIVE_INFINITY,
      name: undefined,
      isSet: false,
    }
    this.#endAttempt()
    this.#attempt = attempt
    this.#unreachable = undefined
    this.#wakeFor(attempt)
    this.#after(attempt, this.#tellName(host), ({ name, isSet }) => {
      // Deleted, or another one set, in this very moment.
      const set = this.#context.setName(this)?.name
      if (isSet ? set?.text !== name?.text : set !== undefined) {
        this.#begin(host)
        return
      }
      attempt.name = name
      attempt.isSet = isSet
      this.#speak(attempt)
    })
  }

  #endAttempt(): void {
    this.#attempt = undefined
    for (const tell of this.#afterAttempt.splice(0)) tell()
  }

  /**
   * The system is told whom the peer must prove to be: the name that was set, or else the host.
   * @returns the name; none where none was set and the peer has spoken first
   */
  async #tellName(host: string | undefined): Promise<Told> {
    const { names } = this.#context
    const { port } = this.where
    const set = this.#context.setName(this)
    const isSet = set !== undefined
    const name = set?.name ?? (host === undefined ? undefined : parseHostTargetName(host))
    if (name === undefined) return { name, isSet }
    if (set !== undefined && set.port !== port) await names.settled(this.addressText, set.port)
    await names.apply(this.addressText, port, name, isSet)
    return { name, isSet }
  }

  /** One message leaves, since the system secures a peer with the first datagram. */
  #speak(attempt: Attempt): void {
    const first = this.#firstMeant(attempt.host, attempt.isSet)
    if (first === undefined) {
      if (this.#held.length > 0) this.#ask(attempt)
      else this.#dismiss()
      return
    }
    attempt.step = 'send'
    attempt.spoken = true
    const { address, port } = this.where
    this.#context.observer.datagram(first.message, address, port, error =>
      this.#context.enter(() => {
        if (this.#attempt !== attempt) return
        if (error === null) this.#ask(attempt)
        else this.#notSent(attempt, error)
      }),
    )
  }

  /** The first message that waits for this very peer; those for others fail. */
  #firstMeant(called: string | undefined, isNamed: boolean): WaitingMessage | undefined {
    for (let first = this.#queue.first; first; first = this.#queue.first) {
      const wrong = this.#wrongHost(first.host, called, isNamed)
      if (!wrong) return first
      this.#queue.shift()
      const { callback } = first
      safely(() => callback(wrong))
    }
    return undefined
  }

  /** Nothing is left to be sent or delivered. */
  #dismiss(): void {
    this.#endAttempt()
    this.#spokenTo = false
    this.#context.forget(this)
    this.#giveUp(this.#canceled(`nothing is left to be sent to ${this.text}`))
  }

  /** That message failed; the next one may not, and what has come waits as well. */
  #notSent(attempt: Attempt, error: Error): void {
    const failed = this.#queue.shift()
    attempt.spoken = false
    if (failed) safely(() => failed.callback(error))
    if (this.#queue.length > 0 || this.#held.length > 0) this.#speak(attempt)
    else this.#fail(error, false)
  }

  #ask(attempt: Attempt): void {
    const { socket, clock, settings } = this.#context
    attempt.step = 'query'
    this.#wakeFor(attempt)
    const asked = async () => socket.query(this.addressText, this.where.port)
    this.#after(attempt, asked(), info => {
      const insufficient = insufficiency(info, this.text, settings)
      if (insufficient === undefined) {
        this.#secured(attempt, info)
      } else if (isUndecided(info) && attempt.spoken) {
        // The negotiation that our datagram has begun may take its time.
        attempt.step = 'pause'
        attempt.nextQuery = clock.now() + attempt.pause
        attempt.pause = Math.min(2 * attempt.pause, LONGEST_PAUSE)
        this.#wakeFor(attempt)
      } else {
        this.#fail(insufficient)
      }
    })
  }

  #secured(attempt: Attempt, info: SecurityInfo): void {
    const { clock, totals, observer } = this.#context
    this.#endAttempt()
    this.#called = attempt.host
    this.#isNamed = attempt.isSet
    this.targetName = attempt.isSet ? attempt.name?.text : undefined
    this.#askedAt = clock.now()
    this.#proved = attempt.name?.text
    const known = this.#named(info, this.#proved)
    this.info = known
    this.#lastUsed = Number.NEGATIVE_INFINITY
    this.#touch(clock.now())
    this.counters.handshakes += 1
    totals.handshakes += 1
    const waiters = this.#waiters.splice(0)
    for (const { resolve } of waiters) resolve(known)
    // Before anybody hears of it and sends more: they come first.
    this.#flush(attempt.spoken)
    safely(() => observer.secured(this.where, known))
    for (const message of this.#held.release()) {
      if (this.info === undefined) this.drop('unauthenticated')
      else this.#deliver(message)
    }
  }

  #flush(firstHasLeft: boolean): void {
    if (firstHasLeft) {
      const first = this.#queue.shift()
      if (first) this.#sent(first.message.length, first.callback)
    }
    const next = () => this.#firstMeant(this.#called, this.#isNamed)
    for (let message = next(); message; message = next()) {
      this.#queue.shift()
      this.#transmit(message.message, message.callback)
    }
  }

  #transmit(message: Buffer, callback: SendCallback): void {
    const { address, port } = this.where
    const { length } = message
    this.#context.observer.datagram(message, address, port, error => {
      if (error) callback(error)
      else this.#sent(length, callback)
    })
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

  /** @param isOfPeer it is the peer's failure, and not that of one message */
  #fail(error: Error, isOfPeer = true): void {
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
      this.#context.timers.wake(this, until)
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

  /** What follows a call of the system, where nobody has given up meanwhile. */
  #after<T>(attempt: Attempt, call: Promise<T>, next: (value: T) => void): void {
    const enter = (then: () => void) =>
      this.#context.enter(() => {
        if (this.#attempt === attempt) then()
      })
    call
      .then(
        value => enter(() => next(value)),
        error => enter(() => this.#fail(error as Error)),
      )
      .catch(rethrowLater)
  }

  #touch(now: number): void {
    if (now - this.#lastUsed < TOUCH) return
    this.#lastUsed = now
    if (now - this.#askedAt >= RECHECK && !this.#rechecking) this.#recheck()
    this.#context.touched(this)
    this.#context.timers.wake(this, now + this.#context.settings.idleTimeout)
  }

  #wakeFor(attempt: Attempt): void {
    const at = attempt.step === 'pause' ? attempt.nextQuery : attempt.endsAt
    this.#context.timers.wake(this, Math.min(at, attempt.endsAt))
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

/** The peer has begun it, and need not prove any name. */
function isOfStranger({ host, isSet }: Attempt): boolean {
  return host === undefined && !isSet
}

/** Is it the same peer, by the accounts that it was authenticated with? */
function isSame(one: SecurityInfo, other: SecurityInfo): boolean {
  return (
    one.peer?.user?.sid === other.peer?.user?.sid &&
    one.peer?.machine?.sid === other.peer?.machine?.sid
  )
}

/** Nothing is secured, and nothing has failed: it may still be negotiated. */
function isUndecided({ secured, ipsec }: SecurityInfo): boolean {
  return !secured && !ipsec?.negotiationError
}

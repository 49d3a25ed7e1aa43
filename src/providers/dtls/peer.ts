/**
 * One peer: at most one handshake in flight, one current and one retiring association, and the
 * messages that wait. Everything that comes from its address and goes to it passes through here.
 */
import { isIP } from 'node:net'
import { SocketSecurityError, type SocketSecurityErrorCode, show } from '../../model/errors.js'
import { checkCertificate, type PeerIdentity } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import { parseHostTargetName, type TargetName } from '../../model/target-name.js'
import type {
  Clock,
  DropReason,
  EndpointObserver,
  PeerAddress,
  SendCallback,
} from '../datagram-provider.js'
import type { Association, AssociationOptions, AssociationRole } from './association.js'
import { type ClientHello, isLaterFragment, parseClientHello } from './client-hello.js'
import { handshakeTimeout } from './handshake-timeout.js'
import {
  CLIENT_HELLO,
  followsServerHello,
  handshakeType,
  isForRole,
  messageOfOurRole,
  SERVER_HELLO,
  serverRandom,
} from './handshake-types.js'
import {
  ALERT_DELAY,
  HELLO_INTERVAL,
  OVERLAP,
  PATIENCE,
  RETRY_INTERVAL,
  SECOND_ATTEMPT,
  STRANGER_PATIENCE,
} from './lifetimes.js'
import { type Expectation, Link, type LinkObserver } from './link.js'
import { MessageQueue, type QueueTotals } from './message-queue.js'
import { peerText } from './peer-key.js'
import {
  ALERT,
  CHANGE_CIPHER_SPEC,
  couldBeAuthentic,
  epochOf,
  HANDSHAKE,
  HEADER_LENGTH,
  hasKnownType,
  isProtected,
  recordEnd,
} from './records.js'
import { rethrowLater, safely } from './safely.js'
import { firstLook, verdict } from './second-hello.js'
import { sendErrorKind } from './send-errors.js'
import { dropSession, findSession, keepSession, sessionKey } from './sessions.js'
import { warnOfSilence } from './silent-server.js'
import { Counters } from './stats.js'
import { tell, tellClosed, tellDropped, tellFailed, tellSecured } from './story.js'
import type { TargetNames } from './target-names.js'
import type { Sleeper, Timers } from './timers.js'
import type { WorkBudget } from './work-budget.js'

/** All peers of one address. */
export interface Host {
  /** The canonical text of the address. */
  readonly text: string
  /** As the system writes it. */
  readonly spelling: string
  /** Of which a cookie is made. */
  readonly bytes: Buffer
  readonly peers: Map<number, Peer>
}

/** What the peers of an endpoint share. */
export interface PeerContext {
  readonly settings: ParsedSettings
  readonly clock: Clock
  readonly observer: EndpointObserver
  readonly names: TargetNames
  readonly timers: Timers<Peer>
  readonly budget: WorkBudget
  readonly totals: Counters
  readonly queued: QueueTotals
  /** Could we be the server of a handshake, as far as our settings go? */
  readonly canServe: boolean
  readonly acceptsStrangers: boolean
  associate(options: AssociationOptions): Association
  /** When the hello's cookie was given; undefined where it has none that is good, and was asked for one. */
  challenge(
    hello: ClientHello,
    record: Buffer,
    host: Host,
    address: string,
    port: number,
  ): number | undefined
  /** May handshake work be done now? If not, the records come again later. */
  mayWork(records: Buffer, address: string, port: number): boolean
  forget(peer: Peer): void
}

interface Waiter {
  readonly host: string
  resolve(info: SecurityInfo): void
  reject(error: Error): void
}

/** Randoms of handshakes that are over, at most: what comes late of them must not harm another. */
const OVER_LIMIT = 8
/** Other names that a peer has proved, at most. */
const OTHER_NAMES_LIMIT = 16

export class Peer implements LinkObserver, Sleeper {
  readonly host: Host
  readonly address: string
  readonly port: number
  /** `address:port`, for messages. */
  readonly text: string
  readonly counters = new Counters()
  wakeAt = Number.POSITIVE_INFINITY
  heapIndex = -1

  readonly #context: PeerContext
  readonly #queue: MessageQueue
  #waiters: Waiter[] = []
  #inFlight: Link | undefined
  #current: Link | undefined
  #retiring: Link | undefined
  /** The application has sent to it. */
  #spokenTo = false
  /** What the application called it when the first message to it began to wait. */
  #wantedHost: string | undefined
  /** The name that it must prove because our own handshake began with it. */
  #derived: { readonly host: string; readonly name: TargetName } | undefined
  /** 'secured' has been told, and its end has not. */
  #announced: PeerIdentity | true | undefined
  #startWaits = false
  /** A verified hello that waits for whether the peer answers ours. */
  #heldHello: { readonly record: Buffer; readonly retransmissions: number } | undefined
  #heldAlert: { readonly record: Buffer; readonly due: number } | undefined
  /** The randoms, of both ends, of handshakes that were given up. */
  #over: Buffer[] = []
  /** A handshake was begun again after a failure that anybody could have caused. */
  #retried = false
  /** When it is begun again; Infinity: not. */
  #retryAt = Number.POSITIVE_INFINITY
  #rekeyNotBefore = 0
  #wakeNotBefore = Number.NEGATIVE_INFINITY
  #gone = false

  constructor(context: PeerContext, host: Host, address: string, port: number) {
    this.#context = context
    this.host = host
    this.address = address
    this.port = port
    this.text = peerText(address, port)
    this.#queue = new MessageQueue(context.queued)
  }

  get isSecured(): boolean {
    return this.#current !== undefined
  }

  get isHandshaking(): boolean {
    return this.#inFlight !== undefined
  }

  /** Nothing but a stranger's handshake that has not gone on since our answer. */
  get isHalfOpen(): boolean {
    const isOnly = this.#current === undefined && this.#retiring === undefined && !this.#isAwaited
    return isOnly && this.#inFlight?.role === 'server' && !this.#inFlight.progressed
  }

  /** What secures it now; undefined where nothing does. */
  get info(): SecurityInfo | undefined {
    return this.#current?.info
  }

  /** Has the application sent to it, or is it secured? Then it is too late for a name (R18). */
  get isCommitted(): boolean {
    return this.#spokenTo || this.#current !== undefined
  }

  // What comes

  /** A datagram of this peer. */
  receive(datagram: Buffer): void {
    const current = this.#current
    if (
      current !== undefined &&
      this.#inFlight === undefined &&
      this.#retiring === undefined &&
      isProtected(datagram, current.association.minimumRecord)
    ) {
      if (!this.#feed(current, datagram)) this.#drop('unauthenticated')
      if (this.#current !== current) this.settle()
      return
    }
    this.#receiveEach(datagram)
    this.settle()
  }

  /** Screens and routes record by record: a datagram can carry those of two epochs. */
  #receiveEach(datagram: Buffer): void {
    const isForUs = this.#isForHandshake(datagram)
    const { handshakesFailed } = this.counters
    let offset = 0
    while (offset < datagram.length && !this.#gone) {
      // The rest belongs to the handshake that has just failed.
      if (this.counters.handshakesFailed !== handshakesFailed) return
      const end = recordEnd(datagram, offset)
      if (end < 0) {
        this.#drop('malformed')
        return
      }
      const record = end - offset === datagram.length ? datagram : datagram.subarray(offset, end)
      if (!hasKnownType(record, 0)) this.#drop('malformed')
      else if (epochOf(record, 0) !== 0) this.#receiveProtected(record)
      else if (isForUs || handshakeType(record) === CLIENT_HELLO) this.#receiveClear(record)
      else this.#drop('unauthenticated')
      offset = end
    }
  }

  /** Are its clear records, but for a ClientHello, for the handshake in flight, as far as can be seen? */
  #isForHandshake(datagram: Buffer): boolean {
    const link = this.#inFlight
    if (link === undefined || epochOf(datagram, 0) !== 0) return true
    const random = serverRandom(datagram)
    const type = messageOfOurRole(datagram, link.role)
    if (type === SERVER_HELLO) this.#receiveServerHelloAsServer(link, random)
    if (type >= 0) return false
    if (random === undefined) return true
    // An answer to a handshake that was given up would be taken for the answer to this one.
    if (this.#over.some(each => each.equals(random))) return false
    link.serverRandom ??= Buffer.from(random)
    return true
  }

  /**
   * The peer is a server as we are. Where packets were lost both may have yielded: then the one whose
   * random is the larger begins again, and the other serves it.
   */
  #receiveServerHelloAsServer(link: Link, random: Buffer | undefined): void {
    this.#giveUp(random)
    if (!link.yieldedUnasked || !this.#isAwaited) return
    tell(this.text, 'has yielded too')
    this.#abandon(link)
    this.#startClient()
  }

  /** To the associations, the newest first: a foreign record does them no harm. */
  #receiveProtected(record: Buffer): void {
    const waiting = this.#inFlight?.readsProtected === false ? this.#inFlight : undefined
    let possible = false
    for (const link of [this.#inFlight, this.#current, this.#retiring]) {
      if (link === undefined) continue
      if (!couldBeAuthentic(record, 0, link.association.minimumRecord)) continue
      possible = true
      if (link !== waiting && (this.#feed(link, record) || this.#gone)) return
    }
    if (possible && waiting === undefined) this.#drop('unauthenticated')
    else if (!possible || waiting?.keepEarly(record) === false) this.#drop('screened')
  }

  /** Clear records belong to the handshake in flight, or could begin one. */
  #receiveClear(record: Buffer): void {
    const type = record[0]
    if (record.length === HEADER_LENGTH) this.#drop('malformed')
    else if (type === HANDSHAKE) this.#receiveHandshake(record)
    else if (type === CHANGE_CIPHER_SPEC) this.#receiveForHandshake(record)
    else if (type === ALERT) this.#holdAlert(record)
    else this.#drop('screened')
  }

  #receiveHandshake(record: Buffer): void {
    const type = handshakeType(record)
    if (type === CLIENT_HELLO && !isLaterFragment(record)) {
      this.#receiveHello(record)
      return
    }
    const link = this.#inFlight
    const fits = link !== undefined && isForRole(type, link.role)
    // OpenSSL would keep it for later, and a forged one would spoil the flight to come.
    const tooEarly = link?.role === 'client' && followsServerHello(type) && !isAnswered(link)
    if (fits && !tooEarly) this.#receiveForHandshake(record)
    else this.#drop('unauthenticated')
  }

  #receiveForHandshake(record: Buffer): void {
    const link = this.#inFlight
    if (link === undefined) {
      this.#drop('unauthenticated')
      return
    }
    if (!this.#context.mayWork(record, this.address, this.port)) return
    // What OpenSSL makes of each is not known: it keeps what comes too early, and fragments.
    this.#context.budget.spend(() => {
      const accepted = this.#feed(link, link.renumbered(record))
      if (accepted && record[0] === CHANGE_CIPHER_SPEC) this.#feedEarly(link)
    })
  }

  /** The peer protects from here on: what came too early can be read. */
  #feedEarly(link: Link): void {
    link.readsProtected = true
    for (const record of link.takeEarly()) {
      if (link !== this.#inFlight && link !== this.#current) return
      this.#feed(link, record)
    }
  }

  /** Anybody can send a clear alert. It counts only where the handshake stands still after it. */
  #holdAlert(record: Buffer): void {
    if (this.#inFlight === undefined) this.#drop('unauthenticated')
    if (this.#inFlight === undefined || this.#heldAlert !== undefined) return
    tell(this.text, 'an alert came that anybody could have sent: held')
    this.#heldAlert = {
      record: Buffer.from(record),
      due: this.#context.clock.now() + ALERT_DELAY,
    }
  }

  #receiveHello(record: Buffer): void {
    const hello = parseClientHello(record)
    if (hello === undefined) {
      this.#drop('malformed')
      return
    }
    const known = [this.#current?.random, this.#retiring?.random]
    const look = firstLook(hello.random, this.#inFlight, [...known, ...this.#over])
    if (look === 'new') this.#receiveNewHello(hello, record)
    else if (look === 'retransmission') this.#receiveForHandshake(record)
    else this.#drop(look === 'reflected' ? 'reflected' : 'unauthenticated')
  }

  #receiveNewHello(hello: ClientHello, record: Buffer): void {
    const { canServe, acceptsStrangers } = this.#context
    if (!canServe || !(acceptsStrangers || this.#spokenTo)) {
      this.#drop('unknownPeer')
      return
    }
    const context = this.#context
    const givenAt = context.challenge(hello, record, this.host, this.address, this.port)
    if (givenAt === undefined) return
    // It has begun before it completed ours, and has given that up, since it completed ours.
    const current = this.#current
    if (current?.role === 'client' && givenAt <= current.securedAt) {
      this.#drop('unauthenticated')
      return
    }
    const what = verdict(hello.random, givenAt, this.#inFlight)
    if (what === 'serve') {
      // Each costs a handshake's first half, and a flood of them would cost all that there is.
      if (this.#isServedJustNow()) this.#drop('limit')
      else if (this.#context.mayWork(record, this.address, this.port)) this.serve(record)
    } else if (what === 'hold') {
      tell(this.text, 'it began too, with the smaller random: held until it answers ours')
      this.#heldHello ??= {
        record: Buffer.from(record),
        retransmissions: this.#inFlight?.association.retransmissions ?? 0,
      }
    } else {
      this.#giveUp(hello.random)
    }
  }

  #isServedJustNow(): boolean {
    const link = this.#inFlight
    return link?.role === 'server' && this.#context.clock.now() < link.startedAt + HELLO_INTERVAL
  }

  /** Gives records to an association. */
  #feed(link: Link, records: Buffer): boolean {
    const wasCurrent = link === this.#current
    if (!link.association.receive(records)) return false
    const now = this.#context.clock.now()
    link.heardAt = now
    if (wasCurrent) {
      if (link !== this.#current) return true
      // The peer uses the new keys: what is under way with the old ones will soon have come.
      const retiring = this.#retiring
      if (retiring !== undefined) retiring.endsAt = Math.min(retiring.endsAt, now + OVERLAP)
      if (link.isWorn(now)) this.#wear(now)
    } else if (link === this.#inFlight) {
      // Its hello can come again for nothing.
      if (handshakeType(records) !== CLIENT_HELLO) link.progressed = true
      this.#heldAlert = undefined
      if (link.association.heardServerHello) this.#answered(link, now)
    }
    return true
  }

  /** The peer has answered our ClientHello. */
  #answered(link: Link, now: number): void {
    link.answeredAt = Math.min(link.answeredAt, now)
    if (this.#heldHello === undefined) return
    tell(this.text, 'it answers ours: its own hello is dropped')
    this.#giveUp(parseClientHello(this.#heldHello.record)?.random)
    this.#heldHello = undefined
  }

  // What goes

  /** Protects a message and sends it, now or when the peer is secured. */
  send(message: Buffer, host: string, callback: SendCallback): void {
    this.#spokenTo = true
    const now = this.#context.clock.now()
    const current = this.#current
    if (current !== undefined && this.#queue.length === 0) {
      if (current.isWorn(now)) this.#wear(now)
      if (current === this.#current && !this.#isSilent(current, now)) {
        this.#transmit(current, message, host, callback, now)
        return
      }
    }
    const refused = this.#queue.push({ message, host, callback }, this.#context.settings, this.text)
    if (refused !== undefined) {
      this.settle()
      callback(refused)
      return
    }
    if (this.#queue.length === 1) this.#wantedHost ??= host
    this.#open(now)
  }

  /** Handshakes ahead of the first message. */
  secure(host: string): Promise<SecurityInfo> {
    this.#spokenTo = true
    const current = this.#current
    if (current !== undefined) {
      const wrong = this.#wrongHost(current, host)
      return wrong === undefined ? Promise.resolve(current.info) : Promise.reject(wrong)
    }
    const secured = new Promise<SecurityInfo>((resolve, reject) => {
      this.#waiters.push({ host, resolve, reject })
    })
    this.#wantedHost ??= host
    this.#open(this.#context.clock.now())
    return secured
  }

  exportKeyingMaterial(
    length: number,
    label: string,
    context: Buffer | undefined,
  ): Buffer | undefined {
    return this.#current?.association.exportKeyingMaterial(length, label, context)
  }

  #transmit(link: Link, message: Buffer, host: string, callback: SendCallback, now: number): void {
    const wrong = this.#wrongHost(link, host)
    if (wrong !== undefined) {
      safely(() => callback(wrong))
      return
    }
    let record: Buffer
    try {
      record = link.association.send(message)
    } catch (error) {
      safely(() => callback(error as Error))
      return
    }
    link.sentAt = now
    const { length } = message
    count(this.counters, length)
    count(this.#context.totals, length)
    this.#context.observer.datagram(record, this.address, this.port, error => {
      if (error === null) {
        callback(null, length)
        return
      }
      if (sendErrorKind(error) === 'icmp') this.#drop('icmp')
      callback(error)
    })
  }

  /**
   * A message to a name goes only to a peer that has proved that name. An address is no name of its
   * own here: it means the peer that is secured at it.
   */
  #wrongHost(link: Link, host: string): Error | undefined {
    const { expectation } = link
    if (expectation.set || expectation.host === host) return undefined
    if (isIP(host) !== 0 || link.otherNames.has(host)) return undefined
    const peer = link.source?.peer
    if (peer?.pskIdentity !== undefined) return undefined
    try {
      if (peer?.certificate === undefined) throw notProved(this.text, host)
      checkCertificate(peer.certificate, parseHostTargetName(host), this.text)
    } catch (error) {
      return error as Error
    }
    if (link.otherNames.size < OTHER_NAMES_LIMIT) link.otherNames.add(host)
    return undefined
  }

  /**
   * Nothing has come from it for so long that it may have forgotten us: then the old association is
   * ended and a new one begun, before more messages are lost. Only by its client, who can begin.
   */
  #isSilent(link: Link, now: number): boolean {
    const { resumeAfter } = this.#context.settings
    if (resumeAfter === 0 || link.role === 'server' || link.nameDeleted) return false
    if (now - link.heardAt < resumeAfter || now < this.#wakeNotBefore) return false
    if (this.#inFlight !== undefined) return false
    this.#wakeNotBefore = now + RETRY_INTERVAL
    tell(
      this.text,
      'nothing came from it for %d ms: handshakes anew',
      Math.round(now - link.heardAt),
    )
    this.#dismiss(link)
    return true
  }

  #flush(): void {
    while (!this.#gone && this.#current !== undefined) {
      const waiting = this.#queue.shift()
      if (waiting === undefined) return
      const now = this.#context.clock.now()
      this.#transmit(this.#current, waiting.message, waiting.host, waiting.callback, now)
    }
  }

  // Handshakes

  /** Sees to it that a handshake is under way. */
  #open(now: number): void {
    if (this.#inFlight === undefined && !this.#willStart) {
      const { budget } = this.#context
      if (budget.open) {
        budget.spend(() => this.#startClient())
      } else {
        this.#startWaits = true
        budget.deferOwn(() => {
          this.#startWaits = false
          const isFree = !this.#gone && this.#inFlight === undefined
          if (isFree && this.#wants(now)) this.#startClient()
          this.settle()
        })
      }
    }
    this.settle()
  }

  /** A handshake of ours is going to begin. */
  get #willStart(): boolean {
    return this.#startWaits || this.#retryAt < Number.POSITIVE_INFINITY
  }

  /** Is there a reason for a handshake of ours? */
  #wants(now: number): boolean {
    return this.#isAwaited || this.#current?.isWorn(now) === true
  }

  /** Does somebody wait for it to be secured? */
  get #isAwaited(): boolean {
    return this.#queue.length > 0 || this.#waiters.length > 0
  }

  /** @param since when the attempt began that this one goes on with */
  #startClient(since?: number): void {
    this.#retryAt = Number.POSITIVE_INFINITY
    const { clock } = this.#context
    let link: Link
    try {
      const expectation = this.#expectation('client')
      const key = this.#sessionKey(expectation)
      const session = findSession(key, clock.wallTime())
      link = this.#link('client', expectation, session)
      if (since !== undefined) link.startedAt = since
      tell(this.text, 'handshakes as client%s', session === undefined ? '' : ', resuming')
      this.#inFlight = link
      link.association.start()
    } catch (error) {
      this.#inFlight?.association.destroy()
      this.#inFlight = undefined
      if (this.#current !== undefined) this.#rekeyNotBefore = clock.now() + RETRY_INTERVAL
      else this.#fail(error as Error)
    }
  }

  /** Becomes the server of a verified ClientHello. */
  serve(record: Buffer): void {
    this.#context.budget.spend(() => this.#startServer(record))
    this.settle()
  }

  #startServer(record: Buffer): void {
    const before = this.#inFlight
    try {
      const link = this.#link('server', this.#expectation('server'), undefined)
      if (before !== undefined) {
        tell(this.text, 'gives way to its hello')
        const { random } = before
        const theirs = parseClientHello(record)?.random
        const isOurTurn = random !== null && theirs !== undefined && random.compare(theirs) > 0
        link.yieldedUnasked = before.role === 'client' && isOurTurn
        this.#abandon(before)
      }
      tell(this.text, 'handshakes as server')
      this.#inFlight = link
      this.#retryAt = Number.POSITIVE_INFINITY
      link.beginsWith(record)
      link.association.start(record)
    } catch (error) {
      if (this.#inFlight !== before) {
        this.#inFlight?.association.destroy()
        this.#inFlight = undefined
      }
      tell(this.text, 'cannot be served: %s', (error as Error).message)
      warnOfSilence(error as Error)
      if (this.#inFlight === undefined && this.#isAwaited) this.#startClient()
    }
  }

  #link(
    role: AssociationRole,
    expectation: Expectation,
    session: { readonly data: Buffer; readonly expires: number } | undefined,
  ): Link {
    const { settings, clock } = this.#context
    const association = this.#context.associate({
      settings,
      role,
      peer: this.text,
      targetName: expectation.targetName,
      targetNameSet: expectation.set,
      host: expectation.host ?? this.#wantedHost,
      session: session?.data,
      mtu: settings.mtu,
      clock,
    })
    return new Link(association, expectation, session, { settings, clock, observer: this })
  }

  /**
   * Whom it must prove to be, in either role: the name that was set, else the name by which we began
   * to speak to it. Only a stranger that begins has none.
   */
  #expectation(role: AssociationRole): Expectation {
    const set = this.#context.names.get(this.host.text, this.port)
    if (set !== undefined) return { targetName: set, set: true, host: undefined }
    if (role === 'client' && this.#derived === undefined) {
      const host = this.#wantedHost ?? this.address
      this.#derived = { host, name: parseHostTargetName(host) }
    }
    return { targetName: this.#derived?.name, set: false, host: this.#derived?.host }
  }

  #sessionKey({ targetName }: Expectation): string {
    return sessionKey(this.#context.settings.fingerprint, this.host.text, this.port, targetName)
  }

  /** A handshake in flight that is not wanted any more. */
  #abandon(link: Link): void {
    this.#giveUp(link.random)
    this.#giveUp(link.serverRandom)
    this.#countRetransmissions(link)
    link.association.destroy()
    this.#inFlight = undefined
    this.#heldHello = undefined
    this.#heldAlert = undefined
  }

  #giveUp(random: Buffer | null | undefined): void {
    if (!random || this.#over.some(each => each.equals(random))) return
    this.#over.push(Buffer.from(random))
    if (this.#over.length > OVER_LIMIT) this.#over.shift()
  }

  // What associations tell

  linkDatagram(link: Link, datagram: Buffer): void {
    const sent = (error: Error | null) => {
      if (error !== null) this.#sendFailed(link, error)
    }
    this.#context.observer.datagram(datagram, this.address, this.port, sent)
  }

  linkMessage(link: Link, message: Buffer): void {
    const { totals, observer } = this.#context
    const { counters } = this
    counters.datagramsReceived += 1
    counters.bytesReceived += message.length
    totals.datagramsReceived += 1
    totals.bytesReceived += message.length
    if (link.source === undefined) return
    try {
      observer.message(message, link.source)
    } catch (error) {
      rethrowLater(error)
    }
  }

  linkSecured(link: Link): void {
    if (link !== this.#inFlight) return
    const { clock, observer } = this.#context
    link.begin(this)
    const replaced = this.#current
    this.#inFlight = undefined
    this.#current = link
    this.#heldHello = undefined
    this.#heldAlert = undefined
    this.#retried = false
    this.#countRetransmissions(link)
    this.#retiring?.association.destroy()
    this.#retiring = replaced
    if (replaced !== undefined) replaced.endsAt = this.#endOfOverlap(link, clock.now())
    if (link.session !== undefined) this.linkSession(link, link.session)

    const { info } = link
    for (const counters of [this.counters, this.#context.totals]) {
      counters.handshakes += 1
      if (info.resumed) counters.handshakesResumed += 1
    }
    tellSecured(this.#where, this.text, info)
    const waiters = this.#waiters
    this.#waiters = []
    for (const { host, resolve, reject } of waiters) {
      const wrong = this.#wrongHost(link, host)
      if (wrong === undefined) resolve(info)
      else reject(wrong)
    }
    if (this.#announced === undefined || !isSameIdentity(this.#announced, info.peer)) {
      // Somebody else has the address now: what the one before still sends is not taken.
      if (this.#announced !== undefined) this.#endRetiring()
      this.#announceEnd()
      this.#announced = info.peer ?? true
      safely(() => observer.secured(this.#where, info))
    }
    this.#flush()
  }

  /**
   * Until when a replaced association receives: for the overlap after the peer has used the new one.
   * The server's Finished shows that; a server waits for the first record, or for the client's time
   * to complete the handshake.
   */
  #endOfOverlap(link: Link, now: number): number {
    if (link.role === 'client') return now + OVERLAP
    return now + OVERLAP + this.#context.settings.handshakeTimeout
  }

  linkFailed(link: Link, error: Error): void {
    if (link === this.#inFlight) this.#handshakeFailed(link, error)
    else if (link === this.#retiring) this.#retiring = undefined
    else if (link === this.#current) this.#currentFailed(error)
  }

  #currentFailed(error: Error): void {
    tellFailed(this.#where, this.text, error)
    this.#leaveCurrent()
    const { observer } = this.#context
    if (this.#spokenTo) safely(() => observer.peerError(error, this.#where))
    this.#announceEnd()
  }

  linkClosed(link: Link): void {
    if (link === this.#inFlight) {
      const why = `${this.text} closed before it was secured`
      this.#handshakeFailed(link, new SocketSecurityError('EPROTO', why, { peer: this.text }))
    } else if (link === this.#retiring) {
      this.#retiring = undefined
    } else if (link === this.#current) {
      tell(this.text, 'says close_notify')
      this.#leaveCurrent()
      this.#announceEnd()
    }
  }

  linkSession(link: Link, session: Buffer): void {
    if (link === this.#inFlight) {
      // Kept once the peer has proved who it is.
      link.session = session
      return
    }
    link.session = undefined
    if (link.nameDeleted) return
    keepSession(this.#sessionKey(link.expectation), { data: session, expires: link.fullUntilWall })
  }

  linkKeylog(_link: Link, line: Buffer): void {
    const { observer } = this.#context
    safely(() => observer.keylog(line, this.#where))
  }

  #handshakeFailed(link: Link, error: Error): void {
    const { clock, totals } = this.#context
    this.#abandon(link)
    this.counters.handshakesFailed += 1
    totals.handshakesFailed += 1
    tellFailed(this.#where, this.text, error)
    const isClient = link.role === 'client'
    if (isClient && link.offered !== undefined) dropSession(this.#sessionKey(link.expectation))
    if (isClient && link.offered !== undefined && this.#mayBeOfSession(link, error)) {
      tell(this.text, 'may not like the session: begins again without it')
      this.#startClient(link.startedAt)
      return
    }
    const again = isClient ? isForgeable(error) : this.#isAwaited
    if (again && !this.#retried) {
      tell(this.text, 'will try once more')
      this.#retried = true
      this.#retryAt = clock.now() + SECOND_ATTEMPT
      return
    }
    this.#retried = false
    if (isClient && this.#current !== undefined) {
      this.#rekeyNotBefore = clock.now() + RETRY_INTERVAL
      return
    }
    if (isClient || this.#isAwaited) this.#fail(error)
  }

  /** Nothing authentic has come, and there is time left: some servers refuse what they cannot resume. */
  #mayBeOfSession(link: Link, error: Error & { code?: string }): boolean {
    const isLate =
      this.#context.clock.now() >= link.startedAt + this.#context.settings.handshakeTimeout
    return !isLate && !link.readsProtected && /_ALERT_/.test(error.code ?? '')
  }

  /** There will be no security with it now: whoever waits for it is told. */
  #fail(error: Error): void {
    const { observer } = this.#context
    const waiters = this.#waiters
    this.#waiters = []
    this.#wantedHost = undefined
    if (this.#current === undefined) this.#derived = undefined
    for (const { reject } of waiters) reject(error)
    this.#queue.fail(error)
    safely(() => observer.peerError(error, this.#where))
    if (this.#current === undefined) this.#announceEnd()
  }

  // Time

  /** Does what is due. */
  tick(now: number): void {
    if (this.#gone) return
    if (now >= this.#retryAt) this.#startClient()
    else this.#tickHandshake(now)
    this.#tickCurrent(now)
    if (this.#retiring !== undefined && now >= this.#retiring.endsAt) this.#endRetiring()
    this.settle()
  }

  #tickHandshake(now: number): void {
    const link = this.#inFlight
    if (link === undefined) return
    const { association } = link
    if (this.#heldAlert !== undefined && now >= this.#heldAlert.due) {
      const { record } = this.#heldAlert
      this.#heldAlert = undefined
      association.receive(link.renumbered(record))
      if (this.#inFlight !== link) return
    }
    if (now >= this.#endOfHandshake(link)) this.#timeOut(link)
    else if (now >= association.deadline) association.tick()
    if (this.#inFlight !== link) return
    this.#countRetransmissions(link)
    if (association.retransmissions < PATIENCE) return
    if (link.role === 'server') {
      // Both may have yielded, where packets were lost: the one that has something to say begins again.
      if (!link.progressed && association.retransmissions > PATIENCE && this.#isAwaited) {
        this.#abandon(link)
        this.#startClient()
      }
    } else if (!association.heardServerHello) {
      this.#tryAnotherWay(link)
    } else if (link.offered !== undefined && !link.readsProtected) {
      this.#beginWithoutSession(link)
    }
  }

  /** Our ClientHello stays without an answer. */
  #tryAnotherWay(link: Link): void {
    const held = this.#heldHello
    const current = this.#current
    if (held !== undefined) {
      // It may only just have seen ours.
      if (link.association.retransmissions === held.retransmissions) return
      tell(this.text, 'does not answer ours: its own hello is served')
      this.#startServer(held.record)
    } else if (current !== undefined && current.role === 'client') {
      // Many servers take no ClientHello from a peer that they have an association with.
      tell(this.text, 'does not answer while the old association lives: it is ended')
      this.#abandon(link)
      this.#dismiss(current)
      this.#startClient()
    } else if (link.offered !== undefined) {
      this.#beginWithoutSession(link)
    }
  }

  #beginWithoutSession(link: Link): void {
    tell(this.text, 'does not resume: begins again without the session')
    this.#abandon(link)
    dropSession(this.#sessionKey(link.expectation))
    this.#startClient(link.startedAt)
  }

  #endOfHandshake(link: Link): number {
    const { handshakeTimeout } = this.#context.settings
    const isIdleStranger = link.role === 'server' && !link.progressed && !this.#isAwaited
    return (
      link.startedAt +
      (isIdleStranger ? Math.min(handshakeTimeout, STRANGER_PATIENCE) : handshakeTimeout)
    )
  }

  #timeOut(link: Link): void {
    const { settings } = this.#context
    const error = handshakeTimeout({
      peer: this.text,
      after: settings.handshakeTimeout,
      role: link.role,
      heard: link.progressed,
      unreachable: link.unreachable,
      psk: settings.ownPsk !== undefined || settings.acceptedPsk !== undefined,
    })
    this.#handshakeFailed(link, error)
  }

  #tickCurrent(now: number): void {
    const link = this.#current
    if (link === undefined) return
    if (now >= link.association.deadline) link.association.tick()
    if (this.#current !== link) return
    const { idleTimeout } = this.#context.settings
    if (link.role === 'server' && now - link.idleSince >= idleTimeout) {
      tell(this.text, 'is idle')
      this.#endCurrent()
    } else if (link.isWorn(now)) {
      this.#wear(now)
    }
  }

  /** The keys of the current association have been used for long enough. */
  #wear(now: number): void {
    const link = this.#current
    if (link === undefined) return
    const { idleTimeout } = this.#context.settings
    if (link.isWornOut(now) || link.nameDeleted) {
      tell(this.text, 'has reached its limit')
      this.#endCurrent()
    } else if (link.role === 'client' && now >= this.#rekeyNotBefore) {
      if (now - link.idleSince >= idleTimeout) {
        tell(this.text, 'is idle, and its keys are old')
        this.#endCurrent()
      } else if (this.#inFlight === undefined && !this.#willStart) {
        tell(this.text, 'gets new keys')
        this.#open(now)
      }
    }
  }

  #countRetransmissions(link: Link): void {
    const more = link.newRetransmissions()
    this.counters.retransmissions += more
    this.#context.totals.retransmissions += more
  }

  /** Puts the peer away where nothing is left of it, else sees to its next waking. */
  settle(): void {
    if (this.#gone) return
    const inUse = this.#inFlight ?? this.#current ?? this.#retiring
    if (inUse === undefined && !this.#isAwaited && !this.#willStart) {
      this.#gone = true
      this.#context.forget(this)
    } else {
      this.#context.timers.wake(this, this.#nextWake())
    }
  }

  #nextWake(): number {
    let at = this.#retryAt
    const inFlight = this.#inFlight
    if (inFlight !== undefined) {
      const end = this.#endOfHandshake(inFlight)
      at = Math.min(inFlight.association.deadline, end, this.#heldAlert?.due ?? end)
    }
    const current = this.#current
    if (current !== undefined) {
      at = Math.min(at, current.association.deadline, current.lastEnd)
      if (current.nameDeleted) {
        at = Math.min(at, current.rekeyAt)
      } else if (current.role === 'client' && inFlight === undefined && !this.#willStart) {
        at = Math.min(at, Math.max(current.rekeyAt, this.#rekeyNotBefore))
      }
      if (current.role === 'server') {
        at = Math.min(at, current.idleSince + this.#context.settings.idleTimeout)
      }
    }
    return Math.min(at, this.#retiring?.endsAt ?? at)
  }

  // The end

  /** Ends the current association with close_notify, because another takes its place. */
  #dismiss(link: Link): void {
    this.#leaveCurrent()
    link.association.close()
  }

  /** Ends the peer's security with close_notify. */
  #endCurrent(): void {
    const link = this.#current
    if (link === undefined) return
    this.#dismiss(link)
    this.#announceEnd()
  }

  #leaveCurrent(): void {
    this.#current = undefined
    this.#endRetiring()
  }

  #endRetiring(): void {
    this.#retiring?.association.destroy()
    this.#retiring = undefined
  }

  #announceEnd(): void {
    if (this.#announced === undefined) return
    this.#announced = undefined
    const { observer } = this.#context
    tellClosed(this.#where, this.text)
    safely(() => observer.peerClosed(this.#where))
  }

  /** Ends everything with it. Whoever waits gets the error. */
  close(code: SocketSecurityErrorCode, why: string, announce: boolean): void {
    this.#gone = true
    this.#retryAt = Number.POSITIVE_INFINITY
    this.#context.forget(this)
    const current = this.#current
    this.#inFlight?.association.destroy()
    this.#inFlight = undefined
    this.#leaveCurrent()
    current?.association.close()
    const error = new SocketSecurityError(code, why, { peer: this.text })
    const waiters = this.#waiters
    this.#waiters = []
    for (const { reject } of waiters) reject(error)
    this.#queue.fail(error)
    if (announce) this.#announceEnd()
  }

  /** The name that was set for it serves no future handshake (R21). */
  nameDeleted(name: TargetName): void {
    for (const link of [this.#inFlight, this.#current]) {
      if (link?.expectation.set && link.expectation.targetName === name) link.nameDeleted = true
    }
    dropSession(this.#sessionKey({ targetName: name, set: true, host: undefined }))
    this.settle()
  }

  /** A name is set for it: a handshake that a stranger has begun without it does not count. */
  nameSet(): void {
    const link = this.#inFlight
    if (link !== undefined) this.#abandon(link)
    this.settle()
  }

  /** An error of sending to it, of which no callback has heard. */
  sendFailed(error: Error): void {
    const link = this.#inFlight
    if (link !== undefined) this.#sendFailed(link, error)
    else if (sendErrorKind(error) === 'icmp') this.#drop('icmp')
  }

  #sendFailed(link: Link, error: Error): void {
    const kind = sendErrorKind(error)
    if (kind === 'icmp') {
      this.#drop('icmp')
      link.unreachable = true
      tell(this.text, 'an ICMP error came: %s', error.message)
    }
    if (kind !== 'local' || link !== this.#inFlight || this.#current !== undefined) return
    if (link.role === 'server' || link.progressed) return
    // This machine itself says that nothing can leave: as dgram's send() does, at once.
    this.#retried = true
    this.#handshakeFailed(link, error)
    this.settle()
  }

  #drop(reason: DropReason): void {
    this.counters.dropped[reason] += 1
    this.#context.totals.dropped[reason] += 1
    tellDropped(this.address, this.port, reason)
  }

  get #where(): PeerAddress {
    return { address: this.address, port: this.port }
  }
}

function count(counters: Counters, bytes: number): void {
  counters.datagramsSent += 1
  counters.bytesSent += bytes
}

function isSameIdentity(before: PeerIdentity | true, now: PeerIdentity | undefined): boolean {
  if (before === true || now === undefined) return before === true && now === undefined
  return before.pin === now.pin && before.pskIdentity === now.pskIdentity
}

function notProved(peer: string, host: string): Error {
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `the peer ${peer} has not proved any name, and the message is for ${show(host)}`,
    { peer },
  )
}

function isAnswered(link: Link): boolean {
  return link.association.heardServerHello
}

/**
 * Could anybody have caused it, by one forged clear record, here or there? A refusal of the peer's
 * identity is no such thing, nor are most alerts.
 */
function isForgeable(error: Error & { code?: string }): boolean {
  const { code = '' } = error
  if (/_ALERT_(UNEXPECTED_MESSAGE|DECODE_ERROR)$/.test(code)) return true
  return code.startsWith('ERR_SSL_') && !/_ALERT_|CERT|PSK|NO_SHARED_CIPHER/.test(code)
}

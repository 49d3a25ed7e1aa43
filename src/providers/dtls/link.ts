/**
 * One association of a peer, with what the endpoint keeps of it: whom it must prove or has proved,
 * since when, and how long it may be used.
 */
import { shownAsSecurity } from '../../model/at-a-glance.js'
import { validityOf } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { Clock, MessageSource, PeerAddress } from '../datagram-provider.js'
import type { Association, AssociationListener } from './association.js'
import type { AssociationRole } from './association-options.js'
import { isWorn, isWornOut, type RecordLimits, recordLimits } from './lifetimes.js'
import { numberOf } from './records.js'
import type { Session } from './sessions.js'

/** Whom the peer must prove to be. */
export interface Expectation {
  readonly targetName: TargetName | undefined
  /** The application set the name itself. */
  readonly set: boolean
  /** What the application called the peer, where that is the name. */
  readonly host: string | undefined
}

/** What an association tells, with the link that it belongs to. */
export interface LinkObserver {
  linkDatagram(link: Link, datagram: Buffer): void
  linkMessage(link: Link, message: Buffer): void
  linkSecured(link: Link): void
  linkFailed(link: Link, error: Error): void
  linkClosed(link: Link): void
  linkSession(link: Link, session: Buffer): void
  linkKeylog(link: Link, line: Buffer): void
}

/** What may wait for a handshake's keys: a Finished that has overtaken its flight, and what has overtaken that. */
interface EarlyLimit {
  readonly records: number
  readonly bytes: number
}
const STRANGERS_EARLY_LIMIT: EarlyLimit = { records: 8, bytes: 4096 }
/** A peer that is secured already and replaces its keys goes on sending. */
const SECURED_EARLY_LIMIT: EarlyLimit = { records: 64, bytes: 65536 }
/** A resumed client sends all that has waited behind a Finished that we have no time for yet. */
const WAITING_EARLY_LIMIT: EarlyLimit = { records: 64, bytes: 16384 }

export class Link implements AssociationListener {
  readonly association: Association
  readonly role: AssociationRole
  readonly expectation: Expectation
  /** Those of its handshake. */
  readonly settings: ParsedSettings
  /** Client: the session that it began with. */
  readonly offered: Session | undefined
  /** By the clock, as all times here. */
  startedAt: number
  /** The name that was set has been deleted since (R21). */
  nameDeleted = false

  /** When something authentic came last. */
  heardAt: number
  sentAt: number
  securedAt = 0
  /** When the keys are replaced. */
  rekeyAt = Number.POSITIVE_INFINITY
  /** When the peer must have proved its identity anew. */
  fullUntil = Number.POSITIVE_INFINITY
  /** The same, in milliseconds since 1970. */
  fullUntilWall = Number.POSITIVE_INFINITY
  /** When it ends: soon, where it has been replaced. */
  endsAt = Number.POSITIVE_INFINITY
  /** Of every message that comes by it; made once. */
  source: MessageSource | undefined
  /** The application is being told of it. */
  introduced = false
  /** The application has had a message by it. */
  delivered = false
  /** Names beside that of the expectation that the peer has proved. */
  otherNames: Set<string> | undefined
  /** A session that came before the peer was judged. */
  session: Buffer | undefined
  /** A local failure to send one of its datagrams, or an ICMP error. */
  unreachable = false
  /** Server: both had begun, and ours was the larger random: were the peer a server too, it would be its turn. */
  yieldedUnasked = false
  /** Client: ServerHello.random of the answer. */
  serverRandom: Buffer | undefined
  /** Client: the server has begun anew with our hello, and knows this handshake no more. */
  isForgotten = false
  /** Client: when it begins anew because of that, unless it goes on: anybody can send what says so. */
  restartAt = Number.POSITIVE_INFINITY
  /** Server: when the hello, or a part of what follows it, came last. */
  helloAt: number
  /** Client: when the peer answered our ClientHello; Infinity: not yet. */
  answeredAt = Number.POSITIVE_INFINITY
  /** The keys to read what the peer protects are there. */
  readsProtected = false
  /** The peer went on with this handshake at least once. */
  progressed = false

  readonly #observer: LinkObserver
  readonly #clock: Clock
  #limits: RecordLimits = recordLimits(undefined)
  /** When it was secured, in milliseconds since 1970. */
  #since = 0
  #retransmissionsCounted = 0
  /** A record of its flight waits until there is time for it. */
  waitsForItsTurn = false
  #early: Buffer[] = []
  #clearRecords = 0
  #firstNumber = 0

  constructor(
    association: Association,
    expectation: Expectation,
    offered: Session | undefined,
    {
      settings,
      clock,
      observer,
    }: { settings: ParsedSettings; clock: Clock; observer: LinkObserver },
  ) {
    this.association = association
    this.role = association.role
    this.expectation = expectation
    this.offered = offered
    this.#observer = observer
    this.settings = settings
    this.#clock = clock
    this.startedAt = clock.now()
    this.helloAt = this.startedAt
    this.heardAt = this.startedAt
    this.sentAt = this.startedAt
    association.listener = this
  }

  /** Begins its life, once it is secured. */
  begin(address: PeerAddress): void {
    const now = this.#clock.now()
    const wallTime = this.#clock.wallTime()
    const { fullHandshakeAfter, rekeyAfter } = this.settings
    const info = this.association.query()
    this.#since = wallTime
    this.securedAt = now
    this.heardAt = now
    this.#limits = recordLimits(info.cipher)
    // Resuming does not extend what the full handshake allowed.
    const proved = info.resumed ? Math.min(this.association.provedAt, wallTime) : wallTime
    const full = this.offered && info.resumed ? this.offered.expires : proved + fullHandshakeAfter
    const certificate = info.peer?.certificate
    const end = certificate === undefined ? full : Math.min(full, validityOf(certificate).end)
    // The wall clock may have been set back since.
    const most = this.offered && info.resumed ? this.offered.ends : now + fullHandshakeAfter
    this.fullUntil = Math.min(now + (end - wallTime), most)
    this.fullUntilWall = wallTime + (this.fullUntil - now)
    this.rekeyAt = Math.min(now + rekeyAfter, this.fullUntil)
    const { targetName, set } = this.expectation
    this.source = {
      address: address.address,
      port: address.port,
      peer: info.peer,
      targetName: set ? targetName?.text : undefined,
    }
  }

  /** ClientHello.random of its handshake. */
  get random(): Buffer | null {
    return this.association.random
  }

  /** What secures it; only once it is secured. Put together when it is asked for: dates are large. */
  get info(): SecurityInfo {
    return shownAsSecurity({
      ...this.association.query(),
      since: new Date(this.#since),
      rekeyAfter: new Date(this.#since + (this.rekeyAt - this.securedAt)),
      expires: new Date(this.fullUntilWall),
    })
  }

  /** The keys are to be replaced, by time or by use. */
  isWorn(now: number): boolean {
    return now >= this.rekeyAt || isWorn(this.association, this.#limits, this.settings)
  }

  /** Could so much more wear them out by use? Then it is taken piece by piece. */
  nearlyWorn(records: number, bytes: number): boolean {
    const { recordsReceived, bytesReceived } = this.association
    return (
      recordsReceived + records >= this.#limits.soft ||
      bytesReceived + bytes >= this.settings.rekeyAfterBytes
    )
  }

  /** It ends, replaced or not. The grace is for a replacement that is under way. */
  isWornOut(now: number): boolean {
    return now >= this.lastEnd || isWornOut(this.association, this.#limits, this.settings)
  }

  get lastEnd(): number {
    return this.fullUntil + this.settings.handshakeTimeout
  }

  /**
   * Keeps a protected record that came before its keys. OpenSSL would keep many, each in a buffer for
   * the largest record; and anybody can send them.
   * @param secured the peer is secured already
   * @returns false where one had to go
   */
  keepEarly(record: Buffer, secured: boolean): boolean {
    const strangers = this.waitsForItsTurn ? WAITING_EARLY_LIMIT : STRANGERS_EARLY_LIMIT
    const limit = secured ? SECURED_EARLY_LIMIT : strangers
    if (record.length > limit.bytes) return false
    this.#early.push(Buffer.from(record))
    let fits = true
    while (this.#early.length > limit.records || bytesOf(this.#early) > limit.bytes) {
      this.#early.shift()
      fits = false
    }
    return fits
  }

  /** What has been kept, once there are keys to read it. */
  takeEarly(): Buffer[] {
    const early = this.#early
    this.#early = []
    return early
  }

  /**
   * A clear record with a number of ours. Nothing authenticates the number that it came with, and a
   * forged one far ahead would make OpenSSL take all true ones for old.
   */
  renumbered(record: Buffer): Buffer {
    const copy = Buffer.from(record)
    this.#clearRecords += 1
    copy.writeUIntBE(this.#firstNumber + this.#clearRecords, 5, 6)
    return copy
  }

  /** The number of the ClientHello that a server began with: what follows has larger ones. */
  beginsWith(hello: Buffer): void {
    this.#firstNumber = numberOf(hello)
  }

  /** Nothing authentic has come and nothing was sent since. */
  get idleSince(): number {
    return Math.max(this.heardAt, this.sentAt)
  }

  /** Retransmissions that nobody has counted yet. */
  newRetransmissions(): number {
    const { retransmissions } = this.association
    const more = retransmissions - this.#retransmissionsCounted
    this.#retransmissionsCounted = retransmissions
    return more
  }

  // What the association tells.

  onDatagram(datagram: Buffer): void {
    this.#observer.linkDatagram(this, datagram)
  }

  onMessage(message: Buffer): void {
    this.#observer.linkMessage(this, message)
  }

  onSecured(): void {
    this.#observer.linkSecured(this)
  }

  onFailed(error: Error): void {
    this.#observer.linkFailed(this, error)
  }

  onClosed(): void {
    this.#observer.linkClosed(this)
  }

  onSession(session: Buffer): void {
    this.#observer.linkSession(this, session)
  }

  onKeylog(line: Buffer): void {
    this.#observer.linkKeylog(this, line)
  }
}

function bytesOf(records: Buffer[]): number {
  return records.reduce((sum, { length }) => sum + length, 0)
}

/**
 * One DTLS association with one peer, without I/O: it is given the records that have come and the
 * messages that are to go, and gives back datagrams, messages and the time of its next step.
 *
 * Every method does its work with OpenSSL first and tells of it afterwards, in order; so a listener
 * may call any method, also close() and destroy().
 */
// Node looks the global one up anew for every message.
import { Buffer } from 'node:buffer'
import { addressInArena, type Pointer } from '../../../lib/memory.js'
import {
  DTLS_CTRL_GET_TIMEOUT,
  DTLS_CTRL_HANDLE_TIMEOUT,
  DTLS1_2_VERSION,
  SSL_CTRL_SET_MAX_SEND_FRAGMENT,
  SSL_CTRL_SET_MTU,
  SSL_ERROR_SSL,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
} from '../../../lib/openssl.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import { acceptedKey } from '../accepted-key.js'
import { MAX_MESSAGE_BYTES, type Slot } from '../datagram-provider.js'
import { wantsDatagramKeylog, warnOfKeylog } from '../keylog.js'
import { ticketKeysOf } from '../ticket-keys.js'
import type { AssociationOptions, AssociationRole } from './association-options.js'
import { suiteOf, unknownMinimumRecord } from './cipher-suites.js'
import { withoutMalformed, writeVersion } from './clear-records.js'
import { secondHello } from './client-hello.js'
import { type DtlsContext, dtlsContext } from './context.js'
import { checkClientCredentials, checkServerCredentials } from './credentials.js'
import {
  certificateWanted,
  explainOpenssl,
  isRefusal,
  type OpensslError,
  takeError,
} from './explain.js'
import { exportKeys } from './exporter.js'
import { countRecords, groupRecords } from './flight.js'
import { createSsl, maxSendFragment } from './new-ssl.js'
import {
  arenaSize,
  type Binding,
  type Callee,
  derOf,
  drain,
  enter,
  enterToProtect,
  freeSsl,
  leaked,
  leave,
  longAt,
  openssl,
  type ProtocolList,
  type TicketRequest,
} from './openssl.js'
import { describe } from './query.js'
import { keepAwake, type Sleeper } from './record-buffers.js'
import { numberOf, raiseClearNumbers, recordEnd } from './records.js'
import { openTicket, sealTicket } from './tickets.js'
import { Verification } from './verification.js'

export type AssociationState = 'new' | 'handshaking' | 'secured' | 'ended'

/** Whom an association tells. One object, and no emitter: there can be ten thousand of these. */
export interface AssociationListener {
  /** To be sent: one UDP datagram of a flight, or an alert. The buffer is the receiver's. */
  onDatagram(datagram: Buffer): void
  /** Authenticated application data. The buffer is the receiver's for ever. */
  onMessage(message: Buffer): void
  /** The handshake is complete and the peer has proved what it must. */
  onSecured(): void
  /** The handshake failed, or the association died. Nothing follows. */
  onFailed(error: Error): void
  /** The peer's authenticated close_notify. Nothing follows. */
  onClosed(): void
  /** Client: what can be resumed (the DER form of an SSL_SESSION, secrets included). */
  onSession(session: Buffer): void
  /** Only where a key log is wanted: a line in NSS's format, with its line end, as node:tls gives it. */
  onKeylog(line: Buffer): void
}

/** After this many retransmissions without an answer, datagrams of this size get lost perhaps. */
const silentBeforeBackoff = 2
/** What gets through where more does not: IPv4's minimum of 576 less the longest headers; then OpenSSL's own minimum. */
const smallerMtus = [508, 256]
const maxTimeout = 60_000_000
/** Milliseconds by which the wall clock may be corrected without anybody's notice. */
const CLOCK_STEP = 1000
/** More records than OpenSSL keeps that come before the handshake is complete. */
const earlyLimit = 1024

/** What a record adds to its message, at most: header 13, explicit nonce 8, tag 16 (RFC 5288), and room to spare. */
export const RECORD_OVERHEAD = 64

/** To copy more, Node's copy(), which makes a view of what it copies first, is faster than a loop. */
const FEW_BYTES = 128

/** Records of a run, together, at most: what OpenSSL takes in one piece. */
export const RUN_LIMIT = MAX_MESSAGE_BYTES

/** A message stands for itself, since nearly everything that is told is one. */
type Untold = Buffer | readonly [event: keyof AssociationListener, argument?: Buffer | Error]

export class Association implements Callee, Sleeper {
  readonly role: AssociationRole
  /** Nobody is told before it is set. */
  listener: AssociationListener | undefined
  /** ClientHello.random of this handshake (32 bytes), known after start(). */
  random: Buffer | null = null
  /** When tick() wants to be called, by the clock; Infinity: never. */
  deadline = Number.POSITIVE_INFINITY
  /** Client: the peer has answered our ClientHello with more than a HelloVerifyRequest. */
  heardServerHello = false
  /** Client: the number of the first record of our hello with a cookie; Infinity: it has not gone. */
  cookieNumber = Number.POSITIVE_INFINITY
  /** Flights of ours that were sent again because no answer came. */
  retransmissions = 0
  /** Records of application data since the handshake was complete. */
  recordsSent = 0
  recordsReceived = 0
  /** Bytes of plaintext. */
  bytesSent = 0
  bytesReceived = 0
  /** The shortest payload of a record of epoch ≥ 1 that can be authentic with this cipher; 24 while it is unknown. */
  minimumRecord = unknownMinimumRecord
  /** The version in the header of each record, where its records can come in a run; else 0. */
  recordVersion = 0

  readonly #binding: Binding
  readonly #context: DtlsContext
  readonly #settings: ParsedSettings
  readonly #options: AssociationOptions
  readonly #verification: Verification
  #state: AssociationState = 'new'
  /** The SSL; 0 before there is one and as soon as it is condemned. */
  #ssl: Pointer = 0
  /** OpenSSL has no buffers for its records. */
  #asleep = false
  /** A call of ours is inside OpenSSL. */
  #busy = false
  #mtu: number
  /** Server: the number of the record with the hello that it begins with. */
  #helloNumber = 0
  /** Server: how much larger the numbers of its clear records are than OpenSSL's; unknown before the first. */
  #numbersAhead: number | undefined
  /** What a record has beside its message; 0 as long as it is unknown. */
  #overhead = 0
  /** Retransmissions since the peer was last heard. */
  #silent = 0
  /** What OpenSSL's state machine waits for. */
  #waitingFor = 0
  /** Why a callback of ours refused, where OpenSSL only says that it did. */
  #refusal: SocketSecurityError | undefined
  /** What OpenSSL has said of its last failure. */
  #error: OpensslError | undefined
  #pskIdentity: string | undefined
  /** Taken at once: by the time that it is told, the peer may have closed. */
  #info: SecurityInfo | undefined
  /** Told when OpenSSL has returned, in order: a few at a time, or the messages of a run. */
  readonly #untold: Untold[] = []
  /** How many of them have been told. */
  #told = 0
  #telling = false
  readonly #sessions: Buffer[] = []
  /** Server: asked for as it starts, so that nothing of the user's runs inside of OpenSSL. */
  #ticketKeys: readonly Buffer[] | undefined
  /** Resumed: when the peer proved its identity, in a handshake that was not; in milliseconds since 1970. */
  provedAt = 0

  /**
   * @throws SocketSecurityError EINVAL, ENOCREDENTIAL, EPROTO for settings that cannot be used;
   * ERR_OPENSSL_UNSUPPORTED, ERR_PROVIDER_UNAVAILABLE where there is no OpenSSL to use
   */
  constructor(options: AssociationOptions) {
    const { settings, role, targetName, targetNameSet } = options
    this.role = role
    this.#settings = settings
    this.#options = options
    this.#mtu = options.mtu
    this.#binding = openssl()
    if (role === 'client') checkClientCredentials(settings, targetName, targetNameSet)
    else checkServerCredentials(settings, targetName)
    this.#context = dtlsContext(settings, role)
    this.#verification = new Verification(options)
    if (wantsDatagramKeylog(settings)) warnOfKeylog()
  }

  get state(): AssociationState {
    return this.#state
  }

  /** The SSL, for those who call OpenSSL for this association. */
  get handle(): Pointer {
    return this.#ssl
  }

  /**
   * Client: sends the ClientHello. Server: goes on from the cookie-verified ClientHello.
   * @param hello server: the whole records of the datagram that carried it, the ClientHello first
   */
  start(hello?: Buffer): void {
    if (this.#state !== 'new') return
    this.#state = 'handshaking'
    if (this.role === 'server') this.#ticketKeys = ticketKeysOf(this.#settings)
    const ssl = createSsl(this.#options, this.#context)
    this.#ssl = ssl
    leaked.register(this, () => freeSsl(ssl), this)
    this.#verification.prepare(ssl)
    if (this.role === 'server') {
      if (hello === undefined || !this.#resumeListening(hello)) {
        this.#fail(explainOpenssl(takeError(), this.#options.peer))
        this.#tell()
        return
      }
    }
    this.#handshake()
    this.#tell()
  }

  /**
   * Takes whole, screened records of one datagram.
   * @returns whether the protocol went on because of them: something was authentic, or part of the handshake
   */
  receive(records: Buffer): boolean {
    if (this.#ssl === 0 || this.#busy || records.length === 0) return false
    if (this.#asleep) this.#wake()
    let progress = false
    if (records.length <= RUN_LIMIT) progress = this.#take(records)
    else {
      // OpenSSL takes what fits into its buffer of one record and loses what is cut by its end.
      for (const piece of groupRecords(records, RUN_LIMIT)) {
        if (this.#ssl === 0) break
        if (this.#take(piece)) progress = true
      }
    }
    this.#tell()
    return progress
  }

  /**
   * Takes the records of many datagrams at once, each a whole one of application data (endOfRun), at
   * most RUN_LIMIT bytes together. What is not authentic is left out and costs the others nothing.
   * @returns how many were authentic
   */
  receiveRun(records: Buffer, count: number): number {
    if (this.#state !== 'secured' || this.#busy || records.length > RUN_LIMIT) return 0
    if (this.#asleep) this.#wake()
    const { lib, input, arena } = this.#binding
    const inPlace = addressInArena(records)
    if (inPlace === undefined) arena.bytes.set(records)
    lib.BIO_write(input, inPlace ?? arena.address, records.length)
    const authentic = this.#read(count)
    this.#tell()
    return authentic
  }

  /**
   * Protects a message: one record, written into the slot, which has room for the message and
   * RECORD_OVERHEAD; or owed to it, where the slot takes that.
   * @returns the length of the record
   * @throws SocketSecurityError EMSGSIZE above 16384 bytes, ENOTCONN unless secured, EPROTO where
   * OpenSSL refuses; the association has failed then
   */
  send(message: Uint8Array, slot: Slot): number {
    const { length } = message
    if (this.#state !== 'secured') throw notSecured(this.#options.peer)
    if (length > MAX_MESSAGE_BYTES || length === 0) throw wrongSize(length, this.#options.peer)
    if (this.#asleep) this.#wake()
    const { lib, arena, output, owed } = this.#binding
    const at = slot.arena.address + slot.offset
    const mayOwe = this.#overhead !== 0 && slot.owe !== undefined
    owed.begin(at, mayOwe)
    arena.bytes.set(message)
    const written = this.#write(length)
    if (written <= 0) {
      const error = explainOpenssl(takeError(), this.#options.peer)
      drain(output)
      this.#fail(error)
      this.#tell()
      throw error
    }
    this.recordsSent += 1
    this.bytesSent += length
    if (mayOwe) {
      const record = length + this.#overhead
      if (owed.owe(at, record)) slot.owe?.(owed.fill)
      return record
    }
    const record = lib.BIO_read(output, at, length + RECORD_OVERHEAD)
    owed.done()
    // With a cipher that needs no padding it is the same for all.
    if (this.recordVersion !== 0) this.#overhead = record - length
    return record
  }

  /** Retransmits what is due. */
  tick(): void {
    if (this.#ssl === 0 || this.#busy || this.#state !== 'handshaking') return
    if (this.#timeLeft() > 0) {
      this.#schedule()
      return
    }
    const { lib } = this.#binding
    if (this.#silent > 0 && this.#silent % silentBeforeBackoff === 0) this.#backOff()
    const result = this.#enterAndRun(ssl => lib.SSL_ctrl(ssl, DTLS_CTRL_HANDLE_TIMEOUT, 0, 0))
    if (result > 0) {
      this.retransmissions += 1
      this.#silent += 1
    }
    this.#gatherFlight()
    if (result < 0) this.#fail(explainOpenssl(takeError(), this.#options.peer))
    else this.#schedule()
    this.#tell()
  }

  /**
   * Asked at the deadline: does OpenSSL's timer still have time? It goes by the wall clock, which has been
   * set back then.
   */
  get timerIsLate(): boolean {
    if (this.#ssl === 0 || this.#state !== 'handshaking') return false
    const left = this.#timeLeft()
    return left < Number.POSITIVE_INFINITY && left > CLOCK_STEP
  }

  /** Client: a HelloVerifyRequest has come, and our hello went again with its cookie. */
  get hasCookie(): boolean {
    return this.cookieNumber < Number.POSITIVE_INFINITY
  }

  /** Timers of the handshake that have run out since the peer last went on. */
  get silent(): number {
    return this.#silent
  }

  /** Says close_notify, where the peer can understand it, and ends. Its datagram is the last event. */
  close(): void {
    this.#forgetUntold()
    if (this.#state === 'secured' && this.#ssl !== 0 && !this.#busy) {
      this.#shutDown()
      const farewell = this.#untold.splice(0)
      this.#end()
      for (const told of farewell) this.#tellOne(told)
    } else this.#end()
  }

  /** Ends without a word. No events afterwards. */
  destroy(): void {
    this.#forgetUntold()
    this.#end()
  }

  /** What secures the messages, or did until it ended. @throws SocketSecurityError ENOTCONN if it never was secured */
  query(): SecurityInfo {
    if (this.#info === undefined) throw notSecured(this.#options.peer)
    return this.#info
  }

  /** RFC 5705. @throws SocketSecurityError ENOTCONN unless secured, EINVAL */
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer {
    if (this.#state !== 'secured') throw notSecured(this.#options.peer)
    return exportKeys(this.#ssl, length, label, context)
  }

  // What OpenSSL asks from inside a call.

  /** @internal */
  verify(ok: boolean, storeContext: Pointer): boolean {
    return this.#verification.verify(ok, storeContext)
  }

  /** @internal */
  ownPsk(): { identity: Buffer; key: Uint8Array } | null {
    const { ownPsk } = this.#settings
    if (!ownPsk) return null
    const { identity, key } = ownPsk
    this.#pskIdentity = identity
    return {
      identity: Buffer.from(identity),
      key: new Uint8Array(key.buffer, key.byteOffset, key.byteLength),
    }
  }

  /** @internal */
  acceptedPsk(identity: string): Uint8Array | null {
    const { targetName, targetNameSet, peer } = this.#options
    try {
      const named = targetNameSet ? targetName : undefined
      const key = acceptedKey(this.#settings, identity, named, peer)
      this.#pskIdentity = identity
      return key
    } catch (error) {
      this.#refusal = error as SocketSecurityError
      return null
    }
  }

  /** @internal */
  get alpn(): ProtocolList | null {
    return this.#context.alpn
  }

  /** @internal */
  ticketKey(request: TicketRequest, seals: boolean): boolean {
    return (seals ? sealTicket : openTicket)(this.#ticketKeys ?? [], request)
  }

  /** @internal */
  newSession(session: Pointer): void {
    const { lib } = this.#binding
    if (lib.SSL_SESSION_is_resumable(session) !== 1) return
    this.#sessions.push(derOf(at => lib.i2d_SSL_SESSION(session, at)))
  }

  /** @internal */
  keylog(line: string): void {
    this.#untold.push(['onKeylog', Buffer.from(`${line}\n`)])
  }

  /** @internal Microseconds. */
  nextTimeout(previous: number): number {
    const first = (this.#options.retransmitAfter ?? 1000) * 1000
    return previous === 0 ? first : Math.min(previous * 2, maxTimeout)
  }

  /** @internal */
  sleep(): boolean {
    // One that has ended has none.
    if (this.#state !== 'secured') return true
    if (!this.#busy) this.#asleep = this.#binding.lib.SSL_free_buffers(this.#ssl) === 1
    return this.#asleep
  }

  // The work.

  /**
   * A ClientHello whose cookie was verified without OpenSSL is the second of its handshake, which an
   * SSL in its first state would not take: DTLSv1_listen() brings it there.
   */
  #resumeListening(hello: Buffer): boolean {
    const { lib, input, arena, nowhere } = this.#binding
    this.random = clientRandom(hello)
    const end = recordEnd(hello, 0)
    if (end < 0 || hello.length > arenaSize) return false
    this.#helloNumber = numberOf(hello)
    arena.bytes.set(hello)
    lib.BIO_write(input, arena.address, end)
    const result = this.#enterAndRun(ssl => lib.DTLSv1_listen(ssl, nowhere))
    // Fragments of it that came along.
    if (result === 1 && hello.length > end) {
      arena.bytes.set(hello)
      lib.BIO_write(input, arena.address + end, hello.length - end)
    }
    return result === 1
  }

  /** Gives OpenSSL records of at most one buffer of its own, and takes what comes of them. */
  #take(given: Buffer): boolean {
    const { lib, input, arena } = this.#binding
    const handshaking = this.#state === 'handshaking'
    const records = handshaking ? withoutMalformed(given, this.role) : given
    if (records.length === 0) return false
    arena.bytes.set(records)
    if (handshaking) writeVersion(arena.bytes.subarray(0, records.length))
    lib.BIO_write(input, arena.address, records.length)
    if (!handshaking) return this.#read(countRecords(records)) > 0
    let progress = this.#handshake()
    // A ChangeCipherSpec that came too early stops OpenSSL before what came with it.
    for (let left = countRecords(records); left > 1 && this.#hasUnread(); left -= 1) {
      if (this.#handshake()) progress = true
    }
    return progress
  }

  #hasUnread(): boolean {
    return this.#state === 'handshaking' && this.#binding.lib.SSL_has_pending(this.#ssl) === 1
  }

  /** @returns whether the handshake went on */
  #handshake(): boolean {
    const { lib, output } = this.#binding
    const result = this.#enterAndRun(ssl => lib.SSL_do_handshake(ssl))
    if (this.#ssl === 0) {
      // Ended from inside: a function of the user's has closed it.
      this.#discard()
      return true
    }
    const error = result === 1 ? 0 : this.#errorOf(result)
    const flights = this.#gatherFlight()
    if (this.random === null && flights.length > 0) this.random = clientRandom(flights)
    if (error !== 0 && error !== SSL_ERROR_WANT_READ) {
      this.#fail(this.#handshakeError())
      return true
    }
    const progress = this.#noteProgress(result === 1, flights)
    if (result !== 1) {
      this.#schedule()
      return progress
    }
    this.#complete()
    // What came along with the end of the handshake.
    if (this.#state === 'secured') this.#read(earlyLimit)
    // There may be nothing to say for a long time.
    this.sleep()
    drain(output)
    return true
  }

  #handshakeError(): Error {
    const { peer } = this.#options
    const found = this.#error
    const failure = this.#refusal ?? this.#verification.failure
    if (failure !== undefined) return failure
    const asked = this.role === 'client' && this.#binding.lib.SSL_get0_peer_CA_list(this.#ssl) !== 0
    const { cert, pfx } = this.#settings
    if (asked && cert === undefined && pfx === undefined && isRefusal(found)) {
      return certificateWanted(found, peer)
    }
    return explainOpenssl(found, peer)
  }

  #noteProgress(complete: boolean, flight: Buffer): boolean {
    const { lib } = this.#binding
    const now = lib.SSL_get_state(this.#ssl)
    const begun = this.#waitingFor !== 0
    const moved = now !== this.#waitingFor
    this.#waitingFor = now
    if (begun && (moved || complete)) this.heardServerHello = this.role === 'client'
    // A HelloVerifyRequest is answered without going on. Any other flight is one that OpenSSL sends
    // again by itself, where its timer has run out before we have looked.
    const hello = this.role === 'client' && !this.hasCookie ? secondHello(flight) : undefined
    const answersCookie = hello !== undefined
    if (answersCookie) this.cookieNumber = numberOf(hello)
    const progress = complete || moved || answersCookie
    if (progress) this.#silent = 0
    return progress
  }

  /** The peer has finished. Has it proved what it must? */
  #complete(): void {
    this.deadline = Number.POSITIVE_INFINITY
    const suite = suiteOf(this.#ssl)
    try {
      this.#verification.judge(this.#ssl, suite, this.#pskIdentity)
    } catch (error) {
      // So that the peer does not believe that it was accepted.
      this.#shutDown()
      this.#fail(error as Error)
      return
    }
    this.#state = 'secured'
    this.#info = describe(this.#ssl, this.#options, suite, this.#verification.identity)
    if (this.#info.version === 'DTLSv1.2') this.recordVersion = DTLS1_2_VERSION
    const { lib } = this.#binding
    // A session, and its ticket, keep the time of their full handshake.
    if (this.#info.resumed)
      this.provedAt = lib.SSL_SESSION_get_time(lib.SSL_get_session(this.#ssl)) * 1000
    lib.SSL_ctrl(this.#ssl, SSL_CTRL_SET_MAX_SEND_FRAGMENT, maxSendFragment, 0)
    this.minimumRecord = suite.minimumRecord
    this.#untold.push(['onSecured'])
    if (this.#verification.resumable)
      for (const session of this.#sessions) this.#untold.push(['onSession', session])
    this.#sessions.length = 0
  }

  /**
   * Reads messages.
   * @param records how many records there are, each at most one message
   * @returns how many were authentic
   */
  #read(records: number): number {
    const { arena } = this.#binding
    let read = 0
    while (read < records) {
      const length = this.#readOne()
      if (length <= 0) {
        const error = this.#errorOf(length)
        if (!isEmptyRecord(length, error)) return this.#readNothing(error) ? read + 1 : read
        read += 1
        continue
      }
      read += 1
      this.recordsReceived += 1
      this.bytesReceived += length
      this.#untold.push(beginningOf(arena.bytes, length))
    }
    return read
  }

  /** @returns whether what came was authentic nevertheless */
  #readNothing(error: number): boolean {
    if (error === SSL_ERROR_WANT_READ) {
      // A flight of the peer's that came again is answered again.
      return this.#gatherFlight().length > 0
    }
    if (error === SSL_ERROR_ZERO_RETURN) {
      this.#shutDown()
      this.#untold.push(['onClosed'])
      this.#end()
      return true
    }
    this.#gatherFlight()
    this.#fail(explainOpenssl(this.#error, this.#options.peer))
    return true
  }

  /** SSL_get_error; and what it found in the queue, where that is what has happened. */
  #errorOf(result: number): number {
    const { lib } = this.#binding
    const error = lib.SSL_get_error(this.#ssl, result)
    if (error !== SSL_ERROR_SSL) return error
    this.#error = takeError()
    // Others use the queue of this thread too. Without what they left, what is it?
    return lib.SSL_get_error(this.#ssl, result) === SSL_ERROR_WANT_READ
      ? SSL_ERROR_WANT_READ
      : SSL_ERROR_SSL
  }

  /** Says close_notify. */
  #shutDown(): void {
    if (this.#asleep) this.#wake()
    const { lib } = this.#binding
    this.#enterAndRun(ssl => lib.SSL_shutdown(ssl))
    lib.ERR_clear_error()
    this.#gatherFlight()
  }

  /** What OpenSSL wants to send, told as datagrams later. */
  #gatherFlight(): Buffer {
    const records = drain(this.#binding.output)
    if (records.length > 0 && this.role === 'server') this.#goOnFromHello(records)
    if (records.length > 0)
      for (const datagram of groupRecords(records, this.#mtu)) {
        this.#untold.push(['onDatagram', datagram])
      }
    return records
  }

  /**
   * The first record of a server has the number of the ClientHello (RFC 6347, section 4.2.1), since its
   * HelloVerifyRequests have had the numbers before. OpenSSL 3.5 always begins with 1, which the second of them
   * has had, and the client takes it for that one.
   */
  #goOnFromHello(records: Buffer): void {
    // A client may have made up a number so large that those behind it would not fit.
    const isUsual = this.#helloNumber < 2 ** 40
    this.#numbersAhead ??= isUsual ? Math.max(0, this.#helloNumber - numberOf(records)) : 0
    if (this.#numbersAhead > 0) raiseClearNumbers(records, this.#numbersAhead)
  }

  /** Datagrams may be too large for the path (RFC 6347, section 4.1.1.1). */
  #backOff(): void {
    const smaller = smallerMtus.find(mtu => mtu < this.#mtu)
    if (smaller === undefined) return
    this.#mtu = smaller
    this.#binding.lib.SSL_ctrl(this.#ssl, SSL_CTRL_SET_MTU, smaller, 0)
  }

  /** Milliseconds until the next retransmission, by OpenSSL's own clock; Infinity where none is due. */
  #timeLeft(): number {
    const { lib, scratch } = this.#binding
    const running = lib.SSL_ctrl(this.#ssl, DTLS_CTRL_GET_TIMEOUT, 0, scratch.address)
    if (running !== 1) return Number.POSITIVE_INFINITY
    return longAt(scratch, 0) * 1000 + longAt(scratch, 1) / 1000
  }

  #schedule(): void {
    const left = this.#timeLeft()
    const isReal = left === Number.POSITIVE_INFINITY || left <= maxTimeout / 1000
    this.deadline = this.#options.clock.now() + Math.ceil(isReal ? left : CLOCK_STEP)
  }

  /** OpenSSL 3.0 writes without asking whether it has buffers. */
  #wake(): void {
    this.#asleep = false
    this.#binding.lib.SSL_alloc_buffers(this.#ssl)
    keepAwake(this)
  }

  /** Calls OpenSSL for this association. */
  #enterAndRun(call: (ssl: Pointer) => number): number {
    const outer = enter(this)
    const wasBusy = this.#busy
    this.#busy = true
    try {
      return call(this.#ssl)
    } finally {
      this.#busy = wasBusy
      leave(outer)
    }
  }

  // The same for what every message needs, written out: V8 calls a function that it knows for less.

  /** A message that stands in the arena. */
  #write(length: number): number {
    const { lib, arena } = this.#binding
    const outer = enterToProtect(this)
    const wasBusy = this.#busy
    this.#busy = true
    try {
      return lib.SSL_write(this.#ssl, arena.address, length)
    } finally {
      this.#busy = wasBusy
      leave(outer)
    }
  }

  /** The next message, into the arena. */
  #readOne(): number {
    const { lib, arena } = this.#binding
    const outer = enter(this)
    const wasBusy = this.#busy
    this.#busy = true
    try {
      return lib.SSL_read(this.#ssl, arena.address, MAX_MESSAGE_BYTES)
    } finally {
      this.#busy = wasBusy
      leave(outer)
    }
  }

  /** What an association that was ended from inside has left in the shared BIOs. */
  #discard(): void {
    drain(this.#binding.input)
    drain(this.#binding.output)
    this.#binding.lib.ERR_clear_error()
  }

  #fail(error: Error): void {
    this.#untold.push(['onFailed', error])
    this.#end()
  }

  #end(): void {
    this.#state = 'ended'
    this.deadline = Number.POSITIVE_INFINITY
    const ssl = this.#ssl
    this.#ssl = 0
    if (ssl === 0) return
    leaked.unregister(this)
    freeSsl(ssl)
    // A record that was not read to its end must not be another association's.
    if (!this.#busy) this.#discard()
  }

  /** Tells of what has happened, in order, also where a listener makes more happen. */
  #tell(): void {
    if (this.#telling) return
    this.#telling = true
    let thrown: { error: unknown } | undefined
    while (this.#told < this.#untold.length) {
      const next = this.#untold[this.#told] as Untold
      this.#told += 1
      try {
        this.#tellOne(next)
      } catch (error) {
        thrown ??= { error }
      }
    }
    this.#forgetUntold()
    this.#telling = false
    if (thrown) throw thrown.error
  }

  #tellOne(what: Untold): void {
    const { listener } = this
    if (listener === undefined) return
    if (what instanceof Buffer) {
      listener.onMessage(what)
    } else {
      const [event, argument] = what as Exclude<Untold, Buffer>
      listener[event](argument as never)
    }
  }

  #forgetUntold(): void {
    // V8 takes ten times as long to set a length.
    if (this.#untold.length === 1) this.#untold.pop()
    else if (this.#untold.length > 0) this.#untold.length = 0
    this.#told = 0
  }
}

/**
 * An authentic record without content, by which some stacks keep a path open (RFC 5246, section
 * 6.2.1). OpenSSL 3.0 gives 0 for it, which newer ones do not.
 */
function isEmptyRecord(result: number, error: number): boolean {
  return result === 0 && error !== SSL_ERROR_ZERO_RETURN && error !== SSL_ERROR_SSL
}

/** ClientHello.random, after the headers of record and handshake and the version (RFC 6347, section 4.2.2). */
function clientRandom(hello: Buffer): Buffer {
  // Not from Node's pool, whose 8 KiB it would keep.
  const random = Buffer.allocUnsafeSlow(32)
  hello.copy(random, 0, 27, 59)
  return random
}

/** In memory of its own: of Node's pool where it is small, since new memory costs more than to decrypt it. */
function beginningOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length)
  if (length > FEW_BYTES) bytes.copy(copy, 0, 0, length)
  else for (let at = 0; at < length; at += 1) copy[at] = bytes[at] as number
  return copy
}

function notSecured(peer: string): SocketSecurityError {
  return new SocketSecurityError('ENOTCONN', `${peer} is not secured`, { peer })
}

function wrongSize(length: number, peer: string): SocketSecurityError {
  return length === 0
    ? new SocketSecurityError('EOPNOTSUPP', 'an empty datagram cannot be secured', { peer })
    : new SocketSecurityError(
        'EMSGSIZE',
        `the message has ${length} bytes: a secured datagram carries at most ${MAX_MESSAGE_BYTES}`,
        { peer },
      )
}

/**
 * What comes from a peer: screened, and routed to its associations record by record, since a datagram
 * can carry those of two epochs.
 */
import { wear } from './ageing.js'
import { RUN_LIMIT } from './association.js'
import { abandon, giveUp, serve, startClient } from './beginning.js'
import { type ClientHello, isLaterFragment, parseClientHello } from './client-hello.js'
import {
  CLIENT_HELLO,
  followsServerHello,
  HELLO_VERIFY_REQUEST,
  handshakeType,
  isForRole,
  messageOfOurRole,
  SERVER_HELLO,
  serverRandom,
} from './handshake-types.js'
import { ALERT_DELAY, HELLO_INTERVAL, OVERLAP } from './lifetimes.js'
import type { Link } from './link.js'
import type { Peer } from './peer.js'
import {
  ALERT,
  CHANGE_CIPHER_SPEC,
  couldBeAuthentic,
  endOfRun,
  epochOf,
  HANDSHAKE,
  HEADER_LENGTH,
  hasKnownType,
  isProtected,
  numberOf,
  recordEnd,
} from './records.js'
import { firstLook, verdict } from './second-hello.js'
import { tell } from './story.js'

/** A datagram of this peer. */
export function receive(peer: Peer, datagram: Buffer): void {
  const current = peer.current
  if (
    current !== undefined &&
    peer.inFlight === undefined &&
    peer.retiring === undefined &&
    isProtected(datagram, current.association.minimumRecord)
  ) {
    if (!feed(peer, current, datagram)) peer.drop('unauthenticated')
    if (peer.current !== current) peer.settle()
    return
  }
  receiveEach(peer, datagram)
  peer.settle()
}

/**
 * The datagrams of a peer that nothing unusual happens to, from `offset` on: as many as can be taken
 * at once. One that is not authentic is dropped alone.
 * @returns where the next datagram begins that was not taken: `offset` where it needs a look of its own
 */
export function receiveRun(peer: Peer, datagrams: Buffer, offset: number, segment: number): number {
  const link = peer.current
  if (link === undefined || peer.inFlight !== undefined || peer.retiring !== undefined)
    return offset
  const end = endOfRun(datagrams, offset, segment, link.association, RUN_LIMIT)
  const count = Math.ceil((end - offset) / segment)
  if (count < 2 || link.nearlyWorn(count, end - offset)) return offset
  const isAll = offset === 0 && end === datagrams.length
  const records = isAll ? datagrams : datagrams.subarray(offset, end)
  const authentic = link.association.receiveRun(records, count)
  for (let lost = count - authentic; lost > 0; lost--) peer.drop('unauthenticated')
  if (authentic > 0) heard(peer, link)
  if (peer.current !== link) peer.settle()
  return end
}

/** Something authentic came by the current association. */
function heard(peer: Peer, link: Link): void {
  const now = peer.context.clock.now()
  link.heardAt = now
  if (link === peer.current && link.isWorn(now)) wear(peer, now)
}

/** Screens and routes record by record: a datagram can carry those of two epochs. */
function receiveEach(peer: Peer, datagram: Buffer): void {
  const isForUs = isForHandshake(peer, datagram)
  const { handshakesFailed } = peer.counters
  let offset = 0
  while (offset < datagram.length && !peer.gone) {
    // The rest belongs to the handshake that has just failed.
    if (peer.counters.handshakesFailed !== handshakesFailed) return
    const end = recordEnd(datagram, offset)
    if (end < 0) {
      peer.drop('malformed')
      return
    }
    const record = end - offset === datagram.length ? datagram : datagram.subarray(offset, end)
    if (!hasKnownType(record, 0)) peer.drop('malformed')
    else if (epochOf(record, 0) !== 0) receiveProtected(peer, record)
    else if (isForUs || handshakeType(record) === CLIENT_HELLO) receiveClear(peer, record)
    else peer.drop('unauthenticated')
    offset = end
  }
}

/** Are its clear records, but for a ClientHello, for the handshake in flight, as far as can be seen? */
function isForHandshake(peer: Peer, datagram: Buffer): boolean {
  const link = peer.inFlight
  if (link === undefined || epochOf(datagram, 0) !== 0) return true
  const random = serverRandom(datagram)
  const type = messageOfOurRole(datagram, link.role)
  if (type === SERVER_HELLO) receiveServerHelloAsServer(peer, link, random)
  if (type >= 0) return false
  if (random === undefined) return true
  // An answer to a handshake that was given up would be taken for the answer to this one.
  if (peer.over.some(each => each.equals(random))) return false
  if (isAnswerToAnother(link, datagram)) {
    giveUp(peer, random)
    return false
  }
  link.serverRandom ??= Buffer.from(random)
  if (link.serverRandom.equals(random)) return true
  // It took our repeated hello for a new one. What it says now does not fit what it said before.
  giveUp(peer, random)
  link.isForgotten = true
  link.restartAt = Math.min(link.restartAt, peer.context.clock.now() + ALERT_DELAY)
  return false
}

/**
 * The peer is a server as we are. Where packets were lost both may have yielded: then the one whose
 * random is the larger begins again, and the other serves it.
 */
function receiveServerHelloAsServer(peer: Peer, link: Link, random: Buffer | undefined): void {
  giveUp(peer, random)
  if (!link.yieldedUnasked || !peer.isAwaited) return
  tell(peer.text, 'has yielded too')
  abandon(peer, link)
  startClient(peer)
}

/** To the associations, the newest first: a foreign record does them no harm. */
function receiveProtected(peer: Peer, record: Buffer): void {
  const waiting = peer.inFlight?.readsProtected === false ? peer.inFlight : undefined
  let possible = false
  for (const link of [peer.inFlight, peer.current, peer.retiring]) {
    if (link === undefined) continue
    if (!couldBeAuthentic(record, 0, link.association.minimumRecord)) continue
    possible = true
    if (link !== waiting && (feed(peer, link, record) || peer.gone)) return
  }
  if (!possible) peer.drop('screened')
  else if (waiting === undefined) peer.drop('unauthenticated')
  else keepEarly(peer, waiting, record)
}

/** It may be of the handshake whose keys are not there yet. */
function keepEarly(peer: Peer, link: Link, record: Buffer): void {
  if (!link.keepEarly(record, peer.current !== undefined)) peer.drop('screened')
}

/** Clear records belong to the handshake in flight, or could begin one. */
function receiveClear(peer: Peer, record: Buffer): void {
  const type = record[0]
  if (record.length === HEADER_LENGTH) peer.drop('malformed')
  else if (type === HANDSHAKE) receiveHandshake(peer, record)
  else if (type === CHANGE_CIPHER_SPEC) receiveForHandshake(peer, record)
  else if (type === ALERT) holdAlert(peer, record)
  else peer.drop('screened')
}

function receiveHandshake(peer: Peer, record: Buffer): void {
  const type = handshakeType(record)
  if (type === CLIENT_HELLO && !isLaterFragment(record)) {
    receiveHello(peer, record)
    return
  }
  const link = peer.inFlight
  if (link === undefined || !isForRole(type, link.role) || isAnswerToAnother(link, record)) {
    peer.drop('unauthenticated')
  } else if (type === HELLO_VERIFY_REQUEST && refusesCookie(link, record)) {
    beginSoonAnew(peer, link)
  } else if (link.role === 'server' || !followsServerHello(type) || isAnswered(link)) {
    receiveForHandshake(peer, record)
  } else if (!link.waitsForItsTurn || peer.context.mayWork(record, peer.address, peer.port)) {
    // OpenSSL would keep it for later, and a forged one would spoil the flight to come. But where the
    // ServerHello itself waits for its turn, this waits behind it.
    peer.drop('unauthenticated')
  }
}

/**
 * A ServerHello is message 0, or 1 after a HelloVerifyRequest. One that comes late, for a hello that
 * was given up, OpenSSL would keep until it is message 1's turn, and all that follows would not fit it.
 */
function isAnswerToAnother(link: Link, record: Buffer): boolean {
  if (handshakeType(record) !== SERVER_HELLO || record.length < HEADER_LENGTH + 6) return false
  return record.readUInt16BE(HEADER_LENGTH + 4) !== (link.association.hasCookie ? 1 : 0)
}

/** It answers a hello with a cookie, since it repeats the number of that (RFC 6347, section 4.2.1). */
function refusesCookie(link: Link, record: Buffer): boolean {
  const { heardServerHello, cookieNumber } = link.association
  return !heardServerHello && numberOf(record) >= cookieNumber
}

/**
 * The server has begun anew since it gave us the cookie, or it was another that did. OpenSSL takes no
 * second cookie for a handshake. Anybody can send what says so: if the handshake goes on, it does.
 */
function beginSoonAnew(peer: Peer, link: Link): void {
  peer.drop('unauthenticated')
  tell(peer.text, 'does not take the cookie that came: begins again, unless it answers')
  link.restartAt = Math.min(link.restartAt, peer.context.clock.now() + ALERT_DELAY)
}

function receiveForHandshake(peer: Peer, record: Buffer): void {
  const link = peer.inFlight
  if (link === undefined) {
    peer.drop('unauthenticated')
    return
  }
  // A part of its flight is no progress to OpenSSL; but whoever repeats it has not gone away.
  link.helloAt = peer.context.clock.now()
  link.waitsForItsTurn = !peer.context.mayWork(record, peer.address, peer.port)
  if (link.waitsForItsTurn) return
  // What OpenSSL makes of each is not known: it keeps what comes too early, and fragments.
  peer.context.budget.spend(() => {
    const accepted = feed(peer, link, link.renumbered(record))
    if (accepted && record[0] === CHANGE_CIPHER_SPEC) feedEarly(peer, link)
  })
}

/** The peer protects from here on: what came too early can be read. */
function feedEarly(peer: Peer, link: Link): void {
  link.readsProtected = true
  for (const record of link.takeEarly()) {
    if (link !== peer.inFlight && link !== peer.current) return
    feed(peer, link, record)
  }
}

/** Anybody can send a clear alert. It counts only where the handshake stands still after it. */
function holdAlert(peer: Peer, record: Buffer): void {
  if (peer.inFlight === undefined) peer.drop('unauthenticated')
  if (peer.inFlight === undefined || peer.heldAlert !== undefined) return
  tell(peer.text, 'an alert came that anybody could have sent: held')
  peer.heldAlert = {
    record: Buffer.from(record),
    due: peer.context.clock.now() + ALERT_DELAY,
  }
}

function receiveHello(peer: Peer, record: Buffer): void {
  const hello = parseClientHello(record)
  if (hello === undefined) {
    peer.drop('malformed')
    return
  }
  const known = [peer.current?.random, peer.retiring?.random]
  const look = firstLook(hello.random, peer.inFlight, [...known, ...peer.over])
  if (look === 'new') receiveNewHello(peer, hello, record)
  else if (look === 'retransmission') receiveHelloAgain(peer, record)
  else peer.drop(look === 'reflected' ? 'reflected' : 'unauthenticated')
}

function receiveHelloAgain(peer: Peer, record: Buffer): void {
  if (peer.inFlight !== undefined) peer.inFlight.helloAt = peer.context.clock.now()
  receiveForHandshake(peer, record)
}

function receiveNewHello(peer: Peer, hello: ClientHello, record: Buffer): void {
  const { canServe, acceptsStrangers } = peer.context
  if (!canServe || !(acceptsStrangers || peer.spokenTo)) {
    peer.drop('unknownPeer')
    return
  }
  const context = peer.context
  const givenAt = context.challenge(hello, record, peer.host, peer.address, peer.port)
  if (givenAt === undefined) return
  // It has begun before it completed ours, and has given that up, since it completed ours.
  const current = peer.current
  if (current?.role === 'client' && givenAt <= current.securedAt) {
    peer.drop('unauthenticated')
    return
  }
  const what = verdict(hello.random, givenAt, peer.inFlight)
  if (what === 'serve') {
    if (isServedJustNow(peer)) holdForItsTurn(peer, record)
    else if (peer.context.mayWork(record, peer.address, peer.port)) serve(peer, record)
  } else if (what === 'hold') {
    tell(peer.text, 'it began too, with the smaller random: held until it answers ours')
    peer.heldHello ??= Buffer.from(record)
  } else {
    giveUp(peer, hello.random)
  }
}

function isServedJustNow(peer: Peer): boolean {
  const link = peer.inFlight
  return link?.role === 'server' && peer.context.clock.now() < link.startedAt + HELLO_INTERVAL
}

/**
 * Each costs a handshake's first half, and a flood of them would cost all that there is. The last one is
 * served when it is time: were it dropped, our flight for the one before would come again first, and who
 * has begun anew would take that for the answer.
 */
function holdForItsTurn(peer: Peer, record: Buffer): void {
  if (peer.heldHello !== undefined) peer.drop('limit')
  peer.heldHello = Buffer.from(record)
}

/** Gives records to an association. */
function feed(peer: Peer, link: Link, records: Buffer): boolean {
  const wasCurrent = link === peer.current
  if (!link.association.receive(records)) return false
  const now = peer.context.clock.now()
  link.heardAt = now
  if (wasCurrent) {
    if (link !== peer.current) return true
    // The peer uses the new keys: what is under way with the old ones will soon have come.
    const retiring = peer.retiring
    if (retiring !== undefined) retiring.endsAt = Math.min(retiring.endsAt, now + OVERLAP)
    if (link.isWorn(now)) wear(peer, now)
  } else if (link === peer.inFlight) {
    // Its hello can come again for nothing.
    if (handshakeType(records) !== CLIENT_HELLO) progressed(peer, link)
    peer.heldAlert = undefined
    link.restartAt = Number.POSITIVE_INFINITY
    if (link.association.heardServerHello) answered(peer, link, now)
  }
  return true
}

function progressed(peer: Peer, link: Link): void {
  link.progressed = true
  // It goes on with this one.
  if (link.role === 'server') peer.heldHello = undefined
}

/** The peer has answered our ClientHello. */
function answered(peer: Peer, link: Link, now: number): void {
  link.answeredAt = Math.min(link.answeredAt, now)
  if (peer.heldHello === undefined) return
  tell(peer.text, 'it answers ours: its own hello is dropped')
  giveUp(peer, parseClientHello(peer.heldHello)?.random)
  peer.heldHello = undefined
}

function isAnswered(link: Link): boolean {
  return link.association.heardServerHello
}

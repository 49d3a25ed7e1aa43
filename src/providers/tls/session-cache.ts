/**
 * The client's sessions. A session is resumed only for the same address, target name and settings,
 * so only against the identity that it was authenticated for; never after two hours without a full
 * handshake, and never after the end of the server's certificate.
 *
 * A TLS 1.3 ticket is used once as long as there is another (RFC 8446, appendix C.4: a second use
 * lets an observer connect the two); the last one stays, because Node's servers send two in a full
 * handshake and none in a resumed one. A TLS 1.2 session stays.
 */
import type { X509Certificate } from 'node:crypto'
import { fullHandshakeInterval } from '../../model/defaults.js'

export interface Session {
  readonly data: Buffer
  readonly reusable: boolean
  readonly end: SessionEnd
}

/** By both clocks, whichever is earlier: one can be set back, and the other stands while the machine sleeps. */
export interface SessionEnd {
  /** In milliseconds of Date.now(). */
  readonly wall: number
  /** In milliseconds of performance.now(). */
  readonly steady: number
}

/** What is kept of one peer. Node does not tell the certificate of a resumed session, so it is kept here. */
interface Peer {
  certificate: X509Certificate
  sessions: Session[]
}

const peers = new Map<string, Peer>()
const peerLimit = 500
const ticketsPerPeer = 4

/** What a session belongs to. Equal settings have equal fingerprints. */
export function sessionKey(
  fingerprint: string,
  host: string,
  port: number | string,
  targetName: string,
): string {
  return JSON.stringify([fingerprint, host, String(port), targetName])
}

/** When the sessions of a full handshake end. Resuming does not extend it. */
export function sessionEnd(certificate: X509Certificate): SessionEnd {
  const now = Date.now()
  const wall = Math.min(now + fullHandshakeInterval, Date.parse(certificate.validTo))
  return { wall, steady: performance.now() + (wall - now) }
}

/** The best session of a peer and the certificate that it was authenticated by. */
export function takeSession(
  key: string,
): { session: Session; certificate: X509Certificate } | undefined {
  const peer = peers.get(key)
  if (!peer) return undefined
  const { certificate, sessions } = peer
  while (sessions.length > 0) {
    const session = sessions[sessions.length - 1] as Session
    const valid = !isOver(session.end)
    if (!valid || (!session.reusable && sessions.length > 1)) sessions.pop()
    if (valid) return { session, certificate }
  }
  return undefined
}

function isOver({ wall, steady }: SessionEnd): boolean {
  return wall <= Date.now() || steady <= performance.now()
}

export function keepSession(key: string, certificate: X509Certificate, session: Session): void {
  let peer = peers.get(key)
  if (peer?.certificate !== certificate) peer = { certificate, sessions: [] }
  if (session.reusable) peer.sessions.length = 0
  peer.sessions.push(session)
  if (peer.sessions.length > ticketsPerPeer) peer.sessions.shift()
  // The least recently used peer goes first.
  peers.delete(key)
  peers.set(key, peer)
  if (peers.size > peerLimit) peers.delete(peers.keys().next().value as string)
}

/** Forgets a peer: what was kept of it may be why a connection failed. */
export function dropSessions(key: string): void {
  peers.delete(key)
}

/**
 * What becomes of a ClientHello from a peer that we know: a retransmission, a peer that has begun
 * anew, or one that began when we did. Its random tells (RFC 6347, section 4.2.8).
 */
import type { AssociationRole } from './association-options.js'

export interface HandshakeInFlight {
  readonly role: AssociationRole
  readonly random: Buffer | null
  /** Client: when the peer answered our ClientHello, by the clock; Infinity: not yet. */
  readonly answeredAt: number
}

/** Before the cookie is looked at. */
export type FirstLook =
  /** Of the handshake in flight: goes to it. */
  | 'retransmission'
  /** Of an association that is complete, or of a handshake that was given up. */
  | 'old'
  /** It is our own, sent back: by whom need not be asked. */
  | 'reflected'
  /** It must show that its sender receives at its address. */
  | 'new'

export function firstLook(
  random: Buffer,
  inFlight: HandshakeInFlight | undefined,
  over: Iterable<Buffer | null | undefined>,
): FirstLook {
  if (inFlight?.random?.equals(random)) {
    return inFlight.role === 'server' ? 'retransmission' : 'reflected'
  }
  for (const each of over) if (each?.equals(random)) return 'old'
  return 'new'
}

/** Once its cookie is verified. */
export type Verdict =
  /** We are, or become, the server of it; what is in flight is given up. */
  | 'serve'
  /** It stays here for the case that the peer never answers ours. */
  | 'hold'
  /** The peer answers, or will answer, ours. */
  | 'ignore'

/** @param givenAt when its cookie was given, by the clock */
export function verdict(
  random: Buffer,
  givenAt: number,
  inFlight: HandshakeInFlight | undefined,
): Verdict {
  // A peer that has begun anew while we served it: its newer hello counts.
  if (inFlight === undefined || inFlight.role === 'server') return 'serve'
  // It has begun before it answered ours, or after that anew.
  if (inFlight.answeredAt < Number.POSITIVE_INFINITY)
    return givenAt < inFlight.answeredAt ? 'ignore' : 'serve'
  // Addresses cannot decide who yields: behind a NAT each end knows others.
  return inFlight.random === null || random.compare(inFlight.random) > 0 ? 'serve' : 'hold'
}

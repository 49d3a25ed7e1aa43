/** How long, and for how much, one set of keys is used. */
import type { ParsedSettings } from '../../model/settings.js'

/** Milliseconds for which a replaced association still receives, after the new one is in use. */
export const OVERLAP = 10_000
/** Milliseconds for which a clear alert is held: anybody can send one, and only the true one means silence. */
export const ALERT_DELAY = 1000
/** Milliseconds for which a peer that we serve cannot begin anew: one that was started again repeats its hello. */
export const HELLO_INTERVAL = 1000
/**
 * Milliseconds in which a stranger must go on with the handshake that it began, or repeat its hello:
 * longer than the 16 s that it waits after it has repeated it four times.
 */
export const STRANGER_PATIENCE = 20_000
/**
 * Milliseconds for which a stranger's handshake that has gone on keeps its place where there is no other:
 * twice what it takes to send a lost flight twice more. To go on needs no more than what others have shown.
 */
export const PLACE_KEPT = 6000
/** Timers that run out without an answer after which a handshake tries another way. */
export const PATIENCE = 2
/**
 * The same before a session is given up whose server has asked for its cookie; 15 s by default. Such a server
 * may be in the middle of the handshake, or have read a part of the hello, and then many take no other one:
 * where datagrams are only lost, to begin anew would end what can still complete.
 */
export const SESSION_PATIENCE = 4
/**
 * Milliseconds until a handshake is begun again that somebody may have spoilt: the answers to the
 * first attempt, which would spoil the second one too, have come by then.
 */
export const SECOND_ATTEMPT = 1000
/** Milliseconds between two attempts to wake a silent peer, and to replace keys after one has failed. */
export const RETRY_INTERVAL = 60_000

/** Records, in one direction: what a cipher protects with one key. */
export interface RecordLimits {
  /** The client begins to replace the keys. */
  readonly soft: number
  /** Nothing is sent or taken any more. */
  readonly hard: number
}

/**
 * RFC 9147, section 4.5.3, for the ciphers that DTLS 1.2 has too; where the cipher itself has no
 * limit in reach, record numbers must not wrap (RFC 6347, section 4.1).
 * @param cipher the suite's standard name
 */
export function recordLimits(cipher: string | undefined): RecordLimits {
  const hard = Math.floor(2 ** exponent(cipher ?? ''))
  // The rest is for what is sent while the keys are replaced.
  return { soft: Math.floor((hard * 7) / 8), hard }
}

function exponent(cipher: string): number {
  if (cipher.includes('CHACHA20')) return 48
  if (cipher.includes('CCM')) return 23
  return 24.5
}

/** What has gone through an association since it was secured; the counters are the association's. */
export interface Usage {
  readonly recordsSent: number
  readonly recordsReceived: number
  readonly bytesSent: number
  readonly bytesReceived: number
}

/** Has enough gone through it, in either direction, that the keys are to be replaced? */
export function isWorn(usage: Usage, limits: RecordLimits, settings: ParsedSettings): boolean {
  return (
    usage.recordsSent >= limits.soft ||
    usage.recordsReceived >= limits.soft ||
    usage.bytesSent >= settings.rekeyAfterBytes ||
    usage.bytesReceived >= settings.rekeyAfterBytes
  )
}

/** Has so much gone through it that it ends, replaced or not? A peer that will not rekey gets twice the bytes. */
export function isWornOut(usage: Usage, limits: RecordLimits, settings: ParsedSettings): boolean {
  return (
    usage.recordsSent >= limits.hard ||
    usage.recordsReceived >= limits.hard ||
    usage.bytesSent >= 2 * settings.rekeyAfterBytes ||
    usage.bytesReceived >= 2 * settings.rekeyAfterBytes
  )
}

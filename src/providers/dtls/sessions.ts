/**
 * The sessions that a client can resume, of all sockets of the process. A session is resumed only
 * with the same settings, address, port and target name, so only against the identity that it was
 * authenticated for; and not longer than its full handshake allows. Resuming does not extend it.
 */
import type { TargetName } from '../../model/target-name.js'
import type { Clock } from '../datagram-provider.js'

export interface Session {
  /** The DER form of an SSL_SESSION. */
  readonly data: Buffer
  /** When the peer must prove its identity anew, in milliseconds since 1970. */
  readonly expires: number
  /** The same by the clock that never goes back: the other can be set. */
  readonly ends: number
}

const sessions = new Map<string, Session>()
/** With their certificates, sessions take 1 to 2 KiB each. */
const sessionLimit = 2000

export function sessionKey(
  fingerprint: string,
  host: string,
  port: number,
  targetName: TargetName | undefined,
): string {
  return JSON.stringify([fingerprint, host, port, targetName?.text ?? null])
}

export function keepSession(key: string, session: Session): void {
  // The one that was kept or used longest ago goes first.
  sessions.delete(key)
  sessions.set(key, session)
  if (sessions.size > sessionLimit) sessions.delete(sessions.keys().next().value as string)
}

/** It stays: a session of DTLS 1.2 can be resumed again. */
export function findSession(
  key: string,
  clock: Pick<Clock, 'now' | 'wallTime'>,
): Session | undefined {
  const session = sessions.get(key)
  if (session === undefined) return undefined
  sessions.delete(key)
  if (session.expires <= clock.wallTime() || session.ends <= clock.now()) return undefined
  sessions.set(key, session)
  return session
}

/** Forgets it: the name serves no more, or it may be why a handshake failed. */
export function dropSession(key: string): void {
  sessions.delete(key)
}

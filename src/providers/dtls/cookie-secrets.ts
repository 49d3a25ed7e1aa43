/**
 * What cookies are made with: secrets of our own, which change by themselves; or, where ticket keys
 * are shared, secrets that every process of a fleet has, so that the answer to the cookie of one may
 * come to another.
 */
import { randomBytes, randomInt } from 'node:crypto'
import type { Clock } from '../datagram-provider.js'
import { derivedKey } from '../ticket-keys.js'

/** A key for cookies, and the time that is written into them. */
export interface CookieSecret {
  readonly key: Buffer
  /** The time now, in 48 bits. */
  stamp(): number
  /** When it was written, by our clock that never goes back; undefined where that is too long ago. */
  givenAt(stamp: number): number | undefined
}

/** The first makes cookies, each is accepted. */
export type CookieSecrets = () => readonly CookieSecret[]

/** Milliseconds after which our own secret is another; the previous one holds as long again. */
export const COOKIE_PERIOD = 60_000
/** Milliseconds for which a cookie of the fleet holds, also at a host that has just begun. */
export const SHARED_COOKIE_LIFETIME = 60_000
/** Milliseconds by which the clocks of hosts may differ. */
export const CLOCK_TOLERANCE = 10_000

export const KEY_LENGTH = 32
/** Of a stamp, in bytes. */
export const STAMP_LENGTH = 6
const STAMP_RANGE = 2 ** (8 * STAMP_LENGTH)

/** @param now milliseconds that never go back */
export function ownCookieSecrets(now: () => number): CookieSecrets {
  // The time in a cookie tells nothing of how long we have been running.
  const epoch = randomInt(2 ** 40) - microseconds(now())
  const create = (): CookieSecret => ({
    key: randomBytes(KEY_LENGTH),
    stamp: () => microseconds(now()) + epoch,
    givenAt: stamp => (stamp - epoch) / 1000,
  })
  let secrets = [create(), create()] as const
  let since = now()
  return () => {
    const periods = Math.floor((now() - since) / COOKIE_PERIOD)
    if (periods >= 1) {
      secrets = [create(), periods === 1 ? secrets[0] : create()]
      since += periods * COOKIE_PERIOD
    }
    return secrets
  }
}

/**
 * The secrets of a fleet. They stay while the ticket keys do, so a cookie holds by its time: that of
 * the wall clock, which all hosts have.
 * @param ticketKeys the current one first; the same list while they are the same
 */
export function sharedCookieSecrets(
  clock: Clock,
): (ticketKeys: readonly Buffer[]) => readonly CookieSecret[] {
  const wallTime = steadyWallTime(clock)
  let of: readonly Buffer[] | undefined
  let secrets: readonly CookieSecret[] = []
  return ticketKeys => {
    if (ticketKeys !== of) {
      of = ticketKeys
      secrets = ticketKeys.map(key => sharedSecret(key, clock, wallTime))
    }
    return secrets
  }
}

function sharedSecret(ticketKey: Buffer, clock: Clock, wallTime: () => number): CookieSecret {
  const derived = derivedKey(ticketKey, 'DTLS cookies', KEY_LENGTH + STAMP_LENGTH)
  // To strangers the time is a number that tells nothing.
  const epoch = derived.readUIntBE(KEY_LENGTH, STAMP_LENGTH)
  const stamp = () => (microseconds(wallTime()) + epoch) % STAMP_RANGE
  return {
    key: derived.subarray(0, KEY_LENGTH),
    stamp,
    givenAt(given) {
      // The shorter way around, since stamps begin anew every nine years.
      const ahead = (stamp() - given + STAMP_RANGE) % STAMP_RANGE
      const age = (ahead < STAMP_RANGE / 2 ? ahead : ahead - STAMP_RANGE) / 1000
      if (age > SHARED_COOKIE_LIFETIME + CLOCK_TOLERANCE || age < -CLOCK_TOLERANCE) return undefined
      return clock.now() - Math.max(age, 0)
    },
  }
}

/** Milliseconds by which the wall clock may run away from ours before we follow it. */
const DRIFT = 100

/**
 * The wall clock's time, as finely as the clock that never goes back tells it: what happens in one
 * process keeps its order, unless the wall clock is set anew.
 */
function steadyWallTime(clock: Clock): () => number {
  let ahead = clock.wallTime() - clock.now()
  return () => {
    const now = clock.wallTime() - clock.now()
    if (Math.abs(now - ahead) > DRIFT) ahead = now
    return clock.now() + ahead
  }
}

function microseconds(milliseconds: number): number {
  return Math.floor(milliseconds * 1000)
}

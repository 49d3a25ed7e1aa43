import { invalid, SocketSecurityError } from '../model/errors.js'
import { type KeyAlgorithm, keyAlgorithms } from './key-algorithm.js'

/** What authorities and identities have in common. */
export interface CertificateOptions {
  /** How long the certificate is valid, in days. Fractions are allowed: an hour is `1 / 24`. */
  days?: number | undefined

  /** When the validity starts. Default: five minutes ago, for peers whose clocks are behind. */
  notBefore?: Date | undefined

  /** The kind of key. Default: `'ecdsa-p256'`. */
  algorithm?: KeyAlgorithm | undefined

  /**
   * A directory to write the certificate and the key to, as `.crt` and `.key`. It is made, for its
   * owner alone, where it does not exist. Key files have mode 0600 from their first moment (on
   * Windows they inherit the directory's rights). An existing file is never overwritten.
   */
  directory?: string | undefined
}

/** From when until when a certificate holds. */
export interface Validity {
  notBefore: Date
  notAfter: Date
}

const DAY_MS = 24 * 60 * 60 * 1000
const CLOCK_SKEW_MS = 5 * 60 * 1000
const MAX_DAYS = 100 * 365

/** A mistyped option must not be ignored: what it asked for would silently not happen. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    throw new SocketSecurityError('EINVAL', `no option is called ${key}: use ${known.join(', ')}`)
  }
}

function parseChoice<T>(option: string, value: unknown, choices: readonly T[]): T {
  if (choices.includes(value as T)) return value as T
  throw invalid(option, value, `use ${choices.join(', ')}`)
}

export function parseAlgorithm(value: unknown = 'ecdsa-p256'): KeyAlgorithm {
  return parseChoice('algorithm', value, keyAlgorithms)
}

/** What an identity is for. */
export type Usage = 'server' | 'client' | 'both'

export function parseUsage(value: unknown = 'both'): Usage {
  return parseChoice('usage', value, ['server', 'client', 'both'])
}

/** RFC 5280, appendix A.1, limits it. */
export const MAX_COMMON_NAME = 64

export function parseCommonName(option: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= MAX_COMMON_NAME) return value
  throw invalid(option, value, `give a text of 1 to ${MAX_COMMON_NAME} characters`)
}

export function parseValidity(days: unknown, start?: Date): Validity {
  if (typeof days !== 'number' || !(days > 0 && days <= MAX_DAYS)) {
    throw invalid('days', days, `give a number above 0, at most ${MAX_DAYS}`)
  }
  if (start !== undefined && !(start instanceof Date && Number.isFinite(start.getTime()))) {
    throw invalid('notBefore', start, 'give a valid Date')
  }
  const now = Date.now()
  return {
    notBefore: wholeSeconds(start?.getTime() ?? now - CLOCK_SKEW_MS),
    notAfter: wholeSeconds((start?.getTime() ?? now) + days * DAY_MS),
  }
}

/** Certificates know no fraction of a second. */
function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000)
}

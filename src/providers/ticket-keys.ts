/**
 * The ticket keys that are in force. Whoever gave a function for them may rotate them; where it fails
 * later, the keys that it gave last go on, so that a secret store that is away ends nothing.
 */
import { hkdfSync, randomBytes } from 'node:crypto'
import type { ParsedSettings } from '../model/settings.js'
import type { TicketKeySource } from '../model/ticket-keys.js'

/** Milliseconds for which an answer is good. Cookies are made for every stranger, and ask too. */
const ASK_INTERVAL = 1000

interface Known {
  keys: readonly Buffer[]
  askedAt: number
  /** What was wrong when it was asked last. */
  failure: string | undefined
}

const known = new WeakMap<TicketKeySource, Known>()

/**
 * The keys now, the current one first: the same list for as long as they are the same. Undefined
 * where none are set.
 */
export function ticketKeysOf({
  ticketKeys: source,
}: Pick<ParsedSettings, 'ticketKeys'>): readonly Buffer[] | undefined {
  if (source === undefined) return undefined
  const now = performance.now()
  let last = known.get(source)
  if (last === undefined) {
    // Until it answers they are nobody else's: clients handshake in full, as without any.
    last = { keys: [randomBytes(48)], askedAt: now, failure: undefined }
    known.set(source, last)
    askAgain(source, last)
  } else if (now >= last.askedAt + ASK_INTERVAL) {
    last.askedAt = now
    askAgain(source, last)
  }
  return last.keys
}

function askAgain(source: TicketKeySource, last: Known): void {
  try {
    const keys = source()
    if (!areEqual(keys, last.keys)) last.keys = keys
    last.failure = undefined
  } catch (error) {
    const failure = String((error as Error | undefined)?.message ?? error)
    if (failure === last.failure) return
    last.failure = failure
    process.emitWarning(
      `security.ticketKeys cannot be had now, so they stay what they were: ${failure}`,
    )
  }
}

function areEqual(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return (
    some === others ||
    (some.length === others.length &&
      some.every((key, index) => key.equals(others[index] as Buffer)))
  )
}

/** What each use has of a key of its own, so that none of them tells anything of another. */
export function derivedKey(key: Buffer, use: string, length: number): Buffer {
  const known = derived.get(key)?.get(use)
  if (known !== undefined) return known
  const found = Buffer.from(hkdfSync('sha256', key, '', `secure-socket ${use}`, length))
  derived.set(key, new Map(derived.get(key)).set(use, found))
  return found
}

const derived = new WeakMap<Buffer, Map<string, Buffer>>()

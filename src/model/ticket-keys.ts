/**
 * The keys of session tickets: what several processes share so that a client which began at one of
 * them resumes at any other. The first of a set encrypts, each of them decrypts.
 */
import { createHash } from 'node:crypto'
import { kindOf, SocketSecurityError } from './errors.js'
import { standsFor } from './fingerprint.js'
import { type Check, copy, isView } from './setting-values.js'

/** One key of 48 random bytes, or the current key and those that were current before it. */
export type TicketKeySet = NodeJS.ArrayBufferView | readonly NodeJS.ArrayBufferView[]
/** The keys, or a function that a server asks for them: while it serves, once a second at the most. */
export type TicketKeys = TicketKeySet | (() => TicketKeySet)
/** The same after parsing: never empty, the current key first. It throws what the setting would. */
export type TicketKeySource = () => readonly Buffer[]

const KEY_LENGTH = 48
/** More are a mistake. Each cookie of a stranger is tried with all of them. */
const KEY_LIMIT = 8

/** A set is copied. A function is asked once, so that what is wrong with it is known at once. */
export const ticketKeys: Check = (key, value) => {
  if (typeof value !== 'function') return fixed(keySet(key, value))
  const source = asked(key, value as () => unknown)
  source()
  return source
}

/**
 * The keys in a file, the current one first: bytes as `openssl rand 48` gives them, one key after the
 * other; or lines of base64 (`openssl rand -base64 48`) or hexadecimal digits.
 * @throws Error that says what was expected
 */
export function ticketKeysInFile(content: Buffer): Buffer[] {
  // 48 random bytes that are all digits and letters: once in 10^30.
  const words = content.toString('latin1').trim().split(/\s+/)
  const isHex = words.every(word => /^[\da-f]{96}$/i.test(word))
  if (isHex || words.every(word => /^[A-Za-z\d+/]{64}$/.test(word)))
    return words.map(word => Buffer.from(word, isHex ? 'hex' : 'base64'))
  if (content.length === 0 || content.length % KEY_LENGTH !== 0) {
    throw new Error(
      `it has ${content.length} bytes: a key is ${KEY_LENGTH} bytes (openssl rand ${KEY_LENGTH}), or a line of them in base64 (openssl rand -base64 ${KEY_LENGTH})`,
    )
  }
  return Array.from({ length: content.length / KEY_LENGTH }, (_, index) =>
    Buffer.from(content.subarray(index * KEY_LENGTH, (index + 1) * KEY_LENGTH)),
  )
}

function fixed(keys: readonly Buffer[]): TicketKeySource {
  const source = () => keys
  standsFor(source, createHash('sha256').update(Buffer.concat(keys)).digest('base64'))
  return source
}

/** One source for each function: that is how equal settings are known. */
function asked(key: string, ask: () => unknown): TicketKeySource {
  let source = sources.get(ask)
  if (source === undefined) {
    source = () => keySet(`${key}()`, answerOf(key, ask))
    sources.set(ask, source)
  }
  return source
}

function answerOf(key: string, ask: () => unknown): unknown {
  try {
    return ask()
  } catch (cause) {
    const reason = String((cause as Error | undefined)?.message ?? cause)
    throw new SocketSecurityError('EINVAL', `security.${key} was asked, and threw: ${reason}`, {
      cause,
      syscall: 'WSASetSocketSecurity',
    })
  }
}

const sources = new WeakMap<object, TicketKeySource>()

function keySet(key: string, value: unknown): readonly Buffer[] {
  // A file in a list can have several of them.
  const keys: unknown[] = Array.isArray(value) ? value.flat() : [value]
  if (keys.length === 0 || keys.length > KEY_LIMIT) throw wrong(key, value)
  return Object.freeze(
    keys.map(each => {
      if (!isView(each) || each.byteLength !== KEY_LENGTH) throw wrong(key, each)
      return copy(each)
    }),
  )
}

function wrong(key: string, value: unknown): Error {
  return new SocketSecurityError(
    'EINVAL',
    `security.${key} is ${kindOf(value)}: give a Buffer of exactly ${KEY_LENGTH} bytes, or 1 to ${KEY_LIMIT} of them, the current one first`,
    { syscall: 'WSASetSocketSecurity' },
  )
}

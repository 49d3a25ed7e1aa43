/** Random input that can be had again: the seed is printed, and TEST_SEED gives it back. */
import type { Test } from 'tap'

export interface Random {
  /** A whole number from 0 to `limit - 1`. */
  below(limit: number): number
  /** One of these. */
  of<T>(choices: readonly T[]): T
  /** So many of these, none twice. */
  some<T>(choices: readonly T[], count: number): T[]
  /** `shortest` to `longest` characters of an alphabet. */
  text(alphabet: readonly string[] | string, shortest: number, longest: number): string
}

/** A generator for this test. To repeat a failure: TEST_SEED=… npx tap FILE. */
export function seededRandom(t: Test): Random {
  const given = process.env.TEST_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(given)
  if (!Number.isInteger(seed)) throw new Error(`TEST_SEED is ${given}: give a whole number`)
  t.comment(`TEST_SEED=${seed}`)
  return seededBy(seed)
}

/** The same for those who have a seed. */
export function seededBy(seed: number): Random {
  let state = seed >>> 0

  return { below, of, some, text }

  // A counter that is mixed: a Weyl sequence through the finalizer of MurmurHash3.
  function below(limit: number): number {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) % limit
  }

  function of<T>(choices: readonly T[]): T {
    return choices[below(choices.length)] as T
  }

  function some<T>(choices: readonly T[], count: number): T[] {
    const rest = [...choices]
    return Array.from({ length: count }, () => rest.splice(below(rest.length), 1)[0] as T)
  }

  function text(alphabet: readonly string[] | string, shortest: number, longest: number): string {
    const characters = typeof alphabet === 'string' ? [...alphabet] : alphabet
    const length = shortest + below(longest - shortest + 1)
    return Array.from({ length }, () => of(characters)).join('')
  }
}

/** So many bytes. */
export function bytesOf(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(4 * Math.ceil(length / 4))
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(random.below(2 ** 32), at)
  return bytes.subarray(0, length)
}

/** Changes bytes as a fuzzer does: a little, in ways that parsers have been wrong about. */
import type { Random } from '../../model/random.js'

const edges = [0, 1, 0x7f, 0x80, 0xfe, 0xff]

/** A changed copy of at most `limit` bytes. @param pool other inputs, to take parts from */
export function mutated(
  random: Random,
  input: Buffer,
  pool: readonly Buffer[],
  words: readonly Buffer[],
  limit: number,
): Buffer {
  let bytes: Buffer = Buffer.from(input)
  for (let times = 1 << random.below(4); times > 0; times--) {
    bytes = changed(random, bytes, pool, words).subarray(0, limit)
  }
  return bytes
}

function changed(
  random: Random,
  bytes: Buffer,
  pool: readonly Buffer[],
  words: readonly Buffer[],
): Buffer {
  const at = random.below(bytes.length + 1)
  const to = Math.min(bytes.length, at + random.below(1 << random.below(7)))
  const put = (piece: Uint8Array, end = at) =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(end)])
  const other = random.of(pool)
  switch (random.below(10)) {
    case 0:
      if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
      return bytes
    case 1:
      if (at < bytes.length) bytes[at] = random.below(2) ? random.of(edges) : random.below(256)
      return bytes
    case 2:
      // A length, or a part of one.
      if (at < bytes.length) bytes[at] = (bytes[at] as number) + random.below(9) - 4
      return bytes
    case 3:
      return put(Buffer.alloc(0), to)
    case 4:
      // Again, once or very often.
      return put(Buffer.concat(Array(1 + random.below(8)).fill(bytes.subarray(at, to))))
    case 5:
      return put(Buffer.from(Array.from({ length: 1 + random.below(8) }, () => random.below(256))))
    case 6:
    case 7:
      return words.length === 0 ? bytes : put(random.of(words), random.below(2) ? at : to)
    case 8:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))])
    default:
      return put(other, random.below(2) ? at : to)
  }
}

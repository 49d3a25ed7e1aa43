import type { Readable } from 'node:stream'
import { MAX_MESSAGE_BYTES } from '../../providers/datagram-provider.js'

const LINE_END = 0x0a

/**
 * What becomes of an input: datagrams that are neither empty nor too large.
 * @param lines each line is one, without its line end; else what is read at once, cut where it is too large
 * @throws (rejects) at a line that is too large; errors of the input
 */
export function datagramsOf(input: Readable, lines: boolean): AsyncIterable<Buffer> {
  return lines ? linesOf(input) : piecesOf(input)
}

async function* piecesOf(input: Readable): AsyncGenerator<Buffer> {
  for await (const chunk of input) {
    const bytes = Buffer.from(chunk)
    for (let at = 0; at < bytes.length; at += MAX_MESSAGE_BYTES)
      yield bytes.subarray(at, at + MAX_MESSAGE_BYTES)
  }
}

async function* linesOf(input: Readable): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0)
  for await (const chunk of input) {
    let bytes = Buffer.concat([rest, Buffer.from(chunk)])
    for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END)) {
      if (end > 0) yield checked(bytes.subarray(0, end))
      bytes = bytes.subarray(end + 1)
    }
    rest = Buffer.from(checked(bytes))
  }
  if (rest.length > 0) yield rest
}

function checked(line: Buffer): Buffer {
  if (line.length <= MAX_MESSAGE_BYTES) return line
  throw new Error(
    `a line is longer than ${MAX_MESSAGE_BYTES} bytes, and does not fit into a datagram`,
  )
}

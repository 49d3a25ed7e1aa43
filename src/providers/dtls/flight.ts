/** Flights as datagrams: OpenSSL gives whole records, one after the other. */
import { recordEnd } from './records.js'

/** Whole records in pieces of at most `limit` bytes; a longer record is a piece of its own. What is cut is left out. */
export function groupRecords(records: Buffer, limit: number): Buffer[] {
  const pieces: Buffer[] = []
  let start = 0
  let end = 0
  while (end < records.length) {
    const next = recordEnd(records, end)
    if (next < 0) break
    if (next - start > limit && end > start) {
      pieces.push(records.subarray(start, end))
      start = end
    }
    end = next
  }
  if (end > start) pieces.push(records.subarray(start, end))
  return pieces
}

/** How many whole records there are. */
export function countRecords(records: Buffer): number {
  let count = 0
  for (let at = 0; at >= 0 && at < records.length; at = recordEnd(records, at)) count += 1
  return count
}

/** Flights as datagrams: OpenSSL gives whole records, one after the other. */

/** DTLS 1.2's record header: type, version, epoch, sequence number, length (RFC 6347, section 4.1). */
const headerLength = 13
const lengthAt = 11

/** The end of the record at an offset; beyond the end of the bytes where it is cut. */
export function endOfRecord(bytes: Uint8Array, start: number): number {
  const high = bytes[start + lengthAt] ?? 255
  const low = bytes[start + lengthAt + 1] ?? 255
  return start + headerLength + high * 256 + low
}

/** Whole records in pieces of at most `limit` bytes; a longer record is a piece of its own. What is cut is left out. */
export function groupRecords(records: Buffer, limit: number): Buffer[] {
  const pieces: Buffer[] = []
  let start = 0
  let end = 0
  for (;;) {
    const next = end < records.length ? endOfRecord(records, end) : Number.POSITIVE_INFINITY
    if (next <= records.length && (next - start <= limit || end === start)) {
      end = next
      continue
    }
    if (end > start) pieces.push(records.subarray(start, end))
    if (next > records.length) return pieces
    start = end
  }
}

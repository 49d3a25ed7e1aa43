/**
 * The records of a datagram (RFC 6347, section 4.1), looked at before OpenSSL sees them.
 *
 * OpenSSL takes one memory of records: a record that is cut, or a byte that belongs to none, costs
 * all that follow it. And a protected record that is too short to be authentic ends its association
 * instead of being dropped. So only whole records that somebody could have authenticated go on.
 */

/** type 1, version 2, epoch 2, sequence_number 6, length 2 */
export const HEADER_LENGTH = 13

export const CHANGE_CIPHER_SPEC = 20
export const ALERT = 21
export const HANDSHAKE = 22
export const APPLICATION_DATA = 23

/** The first byte of every version of DTLS: the one's complement of 1. */
const DTLS_MAJOR = 0xfe
/** The version of all that a handshake's end and its keys protect: there is one. */
export const DTLS1_2 = 0xfefd
/** What a record can say (RFC 5246, section 6.2.1). */
export const PLAINTEXT_LIMIT = 2 ** 14
/**
 * The standard lets a cipher add 2048 bytes; those of today add 24, and OpenSSL takes 320. Of a longer
 * record it skips the header, and takes what the record contains for records that nobody has screened.
 */
const FRAGMENT_LIMIT = PLAINTEXT_LIMIT + 256

/** Where the record that begins at `offset` ends; -1 where no whole record begins there. */
export function recordEnd(datagram: Buffer, offset: number): number {
  const begin = offset + HEADER_LENGTH
  if (begin > datagram.length || datagram[offset + 1] !== DTLS_MAJOR) return -1
  const length = fragmentLength(datagram, offset)
  const end = begin + length
  return length > FRAGMENT_LIMIT || end > datagram.length ? -1 : end
}

/** Is it of a kind that DTLS 1.2 has? Another kind is skipped, alone. */
export function hasKnownType(datagram: Buffer, offset: number): boolean {
  const type = datagram[offset] as number
  return type >= CHANGE_CIPHER_SPEC && type <= APPLICATION_DATA
}

export function epochOf(datagram: Buffer, offset: number): number {
  return ((datagram[offset + 3] as number) << 8) | (datagram[offset + 4] as number)
}

export function versionOf(datagram: Buffer, offset: number): number {
  return ((datagram[offset + 1] as number) << 8) | (datagram[offset + 2] as number)
}

/** sequence_number */
export function numberOf(record: Buffer): number {
  return record.readUIntBE(5, 6)
}

/** Makes the numbers of the clear records larger, in place. */
export function raiseClearNumbers(records: Buffer, by: number): void {
  let offset = 0
  for (let end = recordEnd(records, 0); end >= 0; end = recordEnd(records, offset)) {
    if (epochOf(records, offset) === 0)
      records.writeUIntBE(records.readUIntBE(offset + 5, 6) + by, offset + 5, 6)
    offset = end
  }
}

/** Bytes after the header. */
export function fragmentLength(datagram: Buffer, offset: number): number {
  return ((datagram[offset + 11] as number) << 8) | (datagram[offset + 12] as number)
}

/**
 * May somebody have authenticated this record of epoch ≥ 1? It has at least the cipher's explicit
 * nonce and tag; and there is one epoch of protected records, since nothing is renegotiated. Of a
 * record of another version OpenSSL skips the header, and takes what it contains for records: among
 * them could be one that ends the association.
 */
export function couldBeAuthentic(datagram: Buffer, offset: number, minimum: number): boolean {
  if (epochOf(datagram, offset) !== 1 || versionOf(datagram, offset) !== DTLS1_2) return false
  return fragmentLength(datagram, offset) >= minimum
}

/**
 * Where a run of datagrams ends that can go to OpenSSL as one: each nothing but one record of
 * application data that could be authentic, of just this version. OpenSSL skips the header of a
 * record of another version, and takes what it contains for records: alone such a datagram costs
 * itself, in a run it would cost others.
 * @param segment bytes of each datagram, but for the last one, which may be shorter
 * @param limit bytes of the run, at most
 * @returns a multiple of `segment` from `begin`, or the end of all
 */
export function endOfRun(
  datagrams: Buffer,
  begin: number,
  segment: number,
  { recordVersion, minimumRecord }: { recordVersion: number; minimumRecord: number },
  limit: number,
): number {
  const most = Math.min(datagrams.length, begin + limit)
  let offset = begin
  while (offset < most) {
    const end = Math.min(offset + segment, datagrams.length)
    if (end > most || end - offset < HEADER_LENGTH) break
    if (datagrams[offset] !== APPLICATION_DATA) break
    if (versionOf(datagrams, offset) !== recordVersion) break
    if (fragmentLength(datagrams, offset) !== end - offset - HEADER_LENGTH) break
    if (!couldBeAuthentic(datagrams, offset, minimumRecord)) break
    offset = end
  }
  return offset
}

/**
 * Is the whole datagram made of protected records that could be authentic? What it nearly always
 * is, so it is found out without making anything.
 */
export function isProtected(datagram: Buffer, minimum: number): boolean {
  let offset = 0
  do {
    const end = recordEnd(datagram, offset)
    if (end < 0 || !hasKnownType(datagram, offset)) return false
    if (!couldBeAuthentic(datagram, offset, minimum)) return false
    offset = end
  } while (offset < datagram.length)
  return true
}

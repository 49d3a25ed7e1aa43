// What can be read of TLS without its keys: the headers of the records (RFC 8446, section 5.1).

const CHANGE_CIPHER_SPEC = 20
const ALERT = 21
const HANDSHAKE = 22
const ENCRYPTED = 23

const HEADER = 5
/** What TLS 1.3 adds to the bytes of an application: a content type and the tag of an AEAD cipher. */
const OVERHEAD = HEADER + 1 + 16

const names = {
  [CHANGE_CIPHER_SPEC]: 'ChangeCipherSpec',
  [ALERT]: 'alert',
  [ENCRYPTED]: 'encrypted',
}
const messages = { 1: 'ClientHello', 2: 'ServerHello' }

/**
 * Splits what one side said into TLS records.
 * @returns {{name: string, encrypted: boolean, bytes: Buffer}[]}
 * @throws Error where a byte belongs to no record
 */
export function tlsRecords(captured) {
  const records = []
  for (let rest = captured; rest.length > 0; ) {
    const size = rest.length < HEADER ? 0 : HEADER + rest.readUInt16BE(3)
    const known = rest[0] >= CHANGE_CIPHER_SPEC && rest[0] <= ENCRYPTED && rest[1] === 3
    if (!known || size === 0 || size > rest.length)
      throw new Error('what the tap has seen is no TLS')
    const bytes = rest.subarray(0, size)
    const name = rest[0] === HANDSHAKE ? (messages[rest[HEADER]] ?? 'handshake') : names[rest[0]]
    records.push({ name, encrypted: rest[0] === ENCRYPTED, bytes })
    rest = rest.subarray(size)
  }
  return records
}

/** Where the record is that a message travelled in: the last one that has the size for it. */
export function recordOf(message, records) {
  const size = Buffer.byteLength(message) + OVERHEAD
  return records.findLastIndex(({ encrypted, bytes }) => encrypted && bytes.length === size)
}

/** Such as "ClientHello 397, ChangeCipherSpec 6, encrypted 967 101 74". */
export function listRecords(records) {
  const groups = []
  for (const { name, bytes } of records) {
    const last = groups.at(-1)
    if (last?.name === name) last.sizes.push(bytes.length)
    else groups.push({ name, sizes: [bytes.length] })
  }
  return groups.map(({ name, sizes }) => `${name} ${sizes.join(' ')}`).join(', ')
}

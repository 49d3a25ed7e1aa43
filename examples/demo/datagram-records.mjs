// What can be read of DTLS without its keys: the headers of the records (RFC 6347, section 4.1).

const CHANGE_CIPHER_SPEC = 20
const ALERT = 21
const HANDSHAKE = 22
const APPLICATION_DATA = 23

const HEADER = 13
const TAG = 16
/** What the AEAD ciphers of DTLS 1.2 add: a tag, and most of them a nonce before (RFC 5288, RFC 7905). */
const OVERHEADS = [TAG, 8 + TAG]

const kinds = { [CHANGE_CIPHER_SPEC]: 'ChangeCipherSpec', [ALERT]: 'alert' }
const messages = {
  1: 'ClientHello',
  2: 'ServerHello',
  3: 'HelloVerifyRequest',
  11: 'Certificate',
  15: 'CertificateVerify',
  16: 'ClientKeyExchange',
}

/**
 * Splits datagrams into DTLS records.
 * @param {Buffer[]} datagrams
 * @returns {{name: string, data: boolean, bytes: Buffer}[]} `data`: it carries a message
 * @throws Error where a byte belongs to no record
 */
export function dtlsRecords(datagrams) {
  return datagrams.flatMap(recordsIn)
}

function recordsIn(datagram) {
  const records = []
  for (let rest = datagram; rest.length > 0; ) {
    const size = rest.length < HEADER ? 0 : HEADER + rest.readUInt16BE(11)
    const known = rest[0] >= CHANGE_CIPHER_SPEC && rest[0] <= APPLICATION_DATA && rest[1] === 0xfe
    if (!known || size === 0 || size > rest.length)
      throw new Error('what the tap has seen is no DTLS')
    records.push(record(rest.subarray(0, size)))
    rest = rest.subarray(size)
  }
  return records
}

function record(bytes) {
  const type = bytes[0]
  const encrypted = bytes.readUInt16BE(3) > 0 // the epoch
  if (type === APPLICATION_DATA && !encrypted) throw new Error('data in clear')
  const name = encrypted
    ? 'encrypted'
    : type === HANDSHAKE
      ? (messages[bytes[HEADER]] ?? 'handshake')
      : kinds[type]
  return { name, data: type === APPLICATION_DATA, bytes }
}

/** The record that a message travelled in: the first one that has the size for it. */
export function recordOf(message, records) {
  const sizes = OVERHEADS.map(overhead => HEADER + overhead + Buffer.byteLength(message))
  return records.find(({ data, bytes }) => data && sizes.includes(bytes.length))
}

/** The bytes of a record in which the message is. */
export function payloadOf(message, record) {
  const end = Math.max(0, record.length - TAG)
  return record.subarray(Math.max(0, end - Buffer.byteLength(message)), end)
}

/**
 * GUID: 16 bytes, of which the first three groups are numbers with their little end first, and the
 * rest is bytes in the order in which they are written (guiddef.h).
 */
export const sizeofGuid = 16

const text = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i

/** Writes a GUID of the form `0a1b2c3d-4e5f-6789-abcd-ef0123456789`. */
export function writeGuid(into: Buffer, offset: number, guid: string): void {
  if (!text.test(guid)) throw new TypeError(`${JSON.stringify(guid)} is no GUID`)
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex')
  into.writeUInt32LE(bytes.readUInt32BE(0), offset)
  into.writeUInt16LE(bytes.readUInt16BE(4), offset + 4)
  into.writeUInt16LE(bytes.readUInt16BE(6), offset + 6)
  bytes.copy(into, offset + 8, 8)
}

/** The same form, in lower case. */
export function readGuid(from: Buffer, offset: number): string {
  const number = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  return [
    number(from.readUInt32LE(offset), 8),
    number(from.readUInt16LE(offset + 4), 4),
    number(from.readUInt16LE(offset + 6), 4),
    from.toString('hex', offset + 8, offset + 10),
    from.toString('hex', offset + 10, offset + 16),
  ].join('-')
}

/**
 * Messages to the daemon as bytes. They are written into one buffer, measured before, so that the
 * secrets in them are in one place and can be overwritten there.
 */
import { SocketSecurityError, show } from '../../../model/errors.js'
import {
  KEY_VALUE,
  LIST_END,
  LIST_ITEM,
  LIST_START,
  MAX_DEPTH,
  MAX_NAME,
  MAX_VALUE,
  SECTION_END,
  SECTION_START,
} from './elements.js'
import type { Message, Scalar } from './section.js'

/**
 * How many bytes the message takes.
 * @throws SocketSecurityError EINVAL for what VICI cannot carry
 */
export function measure(message: Message, depth = 0): number {
  if (depth > MAX_DEPTH) throw unfit(`sections are more than ${MAX_DEPTH} deep`)
  let size = 0
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined) continue
    checkName(name)
    size += 2 + name.length
    if (isScalar(value)) size += 2 + sizeOf(value, name)
    else if (isList(value)) for (const item of value) size += 3 + sizeOf(item, name)
    else size += measure(value, depth + 1)
    // The end of a list or of a section.
    if (!isScalar(value)) size += 1
  }
  return size
}

/**
 * Writes a message that measure() has taken.
 * @returns where it ends
 */
export function write(message: Message, buffer: Buffer, start: number): number {
  let at = start
  for (const [name, value] of Object.entries(message)) {
    if (value === undefined) continue
    if (isScalar(value)) {
      at = writeScalar(value, buffer, writeName(KEY_VALUE, name, buffer, at))
    } else if (isList(value)) {
      at = writeName(LIST_START, name, buffer, at)
      for (const item of value) at = writeScalar(item, buffer, buffer.writeUInt8(LIST_ITEM, at))
      at = buffer.writeUInt8(LIST_END, at)
    } else {
      at = write(value, buffer, writeName(SECTION_START, name, buffer, at))
      at = buffer.writeUInt8(SECTION_END, at)
    }
  }
  return at
}

/** The bytes of a message, without a packet around them. */
export function encodeMessage(message: Message): Buffer {
  const buffer = Buffer.alloc(measure(message))
  write(message, buffer, 0)
  return buffer
}

/** @throws SocketSecurityError EINVAL for a name that the daemon would not read */
export function checkName(name: string): void {
  if (name === '' || name.length > MAX_NAME || !isPrintable(name))
    throw unfit(`the name ${show(name)} is not 1 to ${MAX_NAME} printable ASCII characters`)
}

function writeName(type: number, name: string, buffer: Buffer, start: number): number {
  const at = buffer.writeUInt8(name.length, buffer.writeUInt8(type, start))
  return at + buffer.write(name, at, 'latin1')
}

function writeScalar(value: Scalar, buffer: Buffer, start: number): number {
  if (Buffer.isBuffer(value)) {
    const at = buffer.writeUInt16BE(value.length, start)
    return at + value.copy(buffer, at)
  }
  const text = textFor(value)
  const at = buffer.writeUInt16BE(text.length, start)
  return at + buffer.write(text, at, 'latin1')
}

/** The value itself is in no error: it may be a secret. */
function sizeOf(value: Scalar, name: string): number {
  const bytes = Buffer.isBuffer(value) ? value : textFor(value)
  if (bytes.length > MAX_VALUE)
    throw unfit(`a value of ${show(name)} has ${bytes.length} bytes, and ${MAX_VALUE} is the most`)
  if (typeof bytes === 'string' && !isPrintable(bytes))
    throw unfit(`a value of ${show(name)} is not printable ASCII, and strongSwan reads no other`)
  return bytes.length
}

function textFor(value: Exclude<Scalar, Buffer>): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return String(value)
}

/** As the daemon asks (isprint), which takes a value of other text for one that is not there. */
function isPrintable(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}

function isScalar(value: Message[string]): value is Scalar {
  return typeof value !== 'object' || Buffer.isBuffer(value)
}

function isList(value: Message[string]): value is readonly Scalar[] {
  return Array.isArray(value)
}

function unfit(what: string): Error {
  return new SocketSecurityError('EINVAL', `a message to strongSwan cannot be sent: ${what}`)
}

/**
 * The system's side of sending, made up: it reads what sendto and sendmmsg are given out of the
 * process's own memory, as the kernel does, and answers as it is told to.
 */
import { loadKoffi } from '../../../lib/koffi.js'
import type { Pointer } from '../../../lib/memory.js'
import type { SendCalls } from '../../../src/channels/batch/sender.js'

/** What one call, or one of its messages, wants to send. */
export interface Message {
  readonly fd: number
  /** `address:port`; undefined where the socket's own peer is meant. */
  readonly to: string | undefined
  readonly bytes: Buffer
  /** What the message is cut into; 0 where it is one datagram. */
  readonly segment: number
  /** Pieces of memory that it was gathered from. */
  readonly pieces: number
}

export interface Datagram {
  readonly to: string | undefined
  readonly bytes: Buffer
}

export class FakeSystem implements SendCalls {
  /** What has left, in order. */
  readonly left: Datagram[] = []
  /** The same as it was given: messages of each call. */
  readonly calls: Message[][] = []
  /** 0, or the error number that a message meets. */
  answer: (message: Message) => number = () => 0

  sendto(
    fd: number,
    data: Pointer,
    length: number,
    flags: number,
    name: Pointer,
    nameLength: number,
  ): number {
    if (flags !== 0x40) throw new Error('a call that could wait: no MSG_DONTWAIT')
    const to = name === 0 ? undefined : socketAddress(memory(name, nameLength))
    const message = { fd, to, bytes: memory(data, length), segment: 0, pieces: 1 }
    this.calls.push([message])
    const errno = this.#take(message)
    return errno === 0 ? length : -errno
  }

  sendmmsg(fd: number, vector: Pointer, count: number, flags: number): number {
    if (flags !== 0x40) throw new Error('a call that could wait: no MSG_DONTWAIT')
    if (count < 1 || count > 1024) throw new Error(`${count} messages`)
    const call: Message[] = []
    this.calls.push(call)
    for (let index = 0; index < count; index += 1) {
      const message = messageAt(fd, vector + index * 64)
      call.push(message)
      const errno = this.#take(message)
      if (errno !== 0) return index === 0 ? -errno : index
    }
    return count
  }

  #take(message: Message): number {
    const errno = this.answer(message)
    if (errno !== 0) return errno
    const { to, bytes, segment } = message
    if (segment === 0) this.left.push({ to, bytes })
    else
      for (let at = 0; at < bytes.length; at += segment)
        this.left.push({ to, bytes: bytes.subarray(at, at + segment) })
    return 0
  }
}

/** struct mmsghdr, of 64 bits. */
function messageAt(fd: number, at: Pointer): Message {
  const header = memory(at, 64)
  const nameLength = header.readUInt32LE(8)
  const to = nameLength === 0 ? undefined : socketAddress(memory(pointer(header, 0), nameLength))
  const pieces = number64(header, 24)
  if (pieces < 1 || pieces > 1024) throw new Error(`${pieces} pieces`)
  const vector = memory(pointer(header, 16), pieces * 16)
  const parts: Buffer[] = []
  for (let index = 0; index < pieces; index += 1)
    parts.push(memory(pointer(vector, index * 16), number64(vector, index * 16 + 8)))
  const bytes = Buffer.concat(parts)
  const segment = segmentOf(header, bytes.length)
  if (header.readInt32LE(48) !== 0) throw new Error('flags in a header')
  return { fd, to, bytes, segment, pieces }
}

function segmentOf(header: Buffer, total: number): number {
  const space = number64(header, 40)
  if (space === 0) return 0
  const control = memory(pointer(header, 32), space)
  // struct cmsghdr: CMSG_LEN(2) = 18, SOL_UDP, UDP_SEGMENT, and a uint16_t.
  const [length, level, type] = [
    number64(control, 0),
    control.readInt32LE(8),
    control.readInt32LE(12),
  ]
  if (length !== 18 || level !== 17 || type !== 103 || space < 18)
    throw new Error(`a strange control message: ${control.toString('hex')}`)
  const segment = control.readUInt16LE(16)
  const count = Math.ceil(total / segment)
  if (count < 2 || count > 64 || total > 65507)
    throw new Error(`${count} segments of ${segment} bytes`)
  return segment
}

function socketAddress(name: Buffer): string {
  const family = name.readUInt16LE(0)
  const port = name.readUInt16BE(2)
  if (family === 2 && name.length === 16) return `${name.subarray(4, 8).join('.')}:${port}`
  if (family === 10 && name.length === 28) {
    const groups = [0, 2, 4, 6, 8, 10, 12, 14].map(each => name.readUInt16BE(8 + each).toString(16))
    return `[${groups.join(':')}%${name.readUInt32LE(24)}]:${port}`
  }
  throw new Error(`a strange name: ${name.toString('hex')}`)
}

function pointer(from: Buffer, at: number): Pointer {
  return number64(from, at)
}

function number64(from: Buffer, at: number): number {
  return Number(from.readBigUInt64LE(at))
}

/** A copy of what stands there. */
function memory(at: Pointer, length: number): Buffer {
  return Buffer.from(loadKoffi().decode(BigInt(at), 0, 'uint8_t', length) as Uint8Array)
}

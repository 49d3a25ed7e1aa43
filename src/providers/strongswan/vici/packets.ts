/**
 * The packets of VICI: a length of four bytes, the kind of packet, for some kinds a name, and a
 * message (strongSwan's README of the vici plugin).
 */
import { SocketSecurityError } from '../../../model/errors.js'
import { checkName, measure, write } from './encode.js'
import type { Message } from './section.js'

export const COMMAND_REQUEST = 0
export const COMMAND_RESPONSE = 1
export const COMMAND_UNKNOWN = 2
export const EVENT_REGISTER = 3
export const EVENT_UNREGISTER = 4
export const EVENT_CONFIRM = 5
export const EVENT_UNKNOWN = 6
export const EVENT = 7

/** The daemon refuses larger packets (vici_socket.h), without the four bytes of the length. */
export const MAX_PACKET = 512 * 1024
const LENGTH = 4

export interface Packet {
  readonly type: number
  /** Of an event; '' else. */
  readonly name: string
  /** The message, not yet looked at. */
  readonly message: Buffer
}

/**
 * A packet to the daemon, its length included. It may hold secrets: to be overwritten once it is
 * written.
 * @throws SocketSecurityError EINVAL, EMSGSIZE
 */
export function encodePacket(type: number, name: string, message: Message = {}): Buffer {
  checkName(name)
  const size = 2 + name.length + measure(message)
  if (size > MAX_PACKET)
    throw new SocketSecurityError(
      'EMSGSIZE',
      `a message to strongSwan (${name}) has ${size} bytes, and it takes ${MAX_PACKET}: give fewer or smaller certificates`,
    )
  // A buffer of its own, not a part of the pool, so that it can be overwritten whole.
  const packet = Buffer.alloc(LENGTH + size)
  packet.writeUInt32BE(size, 0)
  packet.writeUInt8(type, LENGTH)
  packet.writeUInt8(name.length, LENGTH + 1)
  packet.write(name, LENGTH + 2, 'latin1')
  write(message, packet, LENGTH + 2 + name.length)
  return packet
}

/**
 * @param bytes without the length
 * @throws Error that says what is wrong with it
 */
export function decodePacket(bytes: Buffer): Packet {
  const type = bytes[0] as number
  if (type !== EVENT) return { type, name: '', message: bytes.subarray(1) }
  const end = 2 + (bytes[1] ?? Number.POSITIVE_INFINITY)
  if (end > bytes.length) throw new Error('it ends inside of the name of an event')
  return { type, name: bytes.toString('latin1', 2, end), message: bytes.subarray(end) }
}

/** Takes a stream of bytes apart into packets; holds no more than one of them. */
export class Packets {
  #chunks: Buffer[] = []
  #held = 0

  /**
   * What is complete now, without the lengths.
   * @throws Error for a length that no packet has
   */
  push(chunk: Buffer): Buffer[] {
    const complete: Buffer[] = []
    this.#chunks.push(chunk)
    this.#held += chunk.length
    while (this.#held >= LENGTH) {
      const length = this.#length()
      if (length < 1 || length > MAX_PACKET) throw new Error(`a packet of ${length} bytes`)
      if (this.#held < LENGTH + length) break
      const bytes = this.#joined()
      const rest = bytes.subarray(LENGTH + length)
      this.#chunks = rest.length === 0 ? [] : [rest]
      this.#held = rest.length
      complete.push(bytes.subarray(LENGTH, LENGTH + length))
    }
    return complete
  }

  /** Joined only until the length is whole, so that a packet in a thousand pieces is copied once. */
  #length(): number {
    if ((this.#chunks[0] as Buffer).length < LENGTH) this.#joined()
    return (this.#chunks[0] as Buffer).readUInt32BE()
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Buffer
  }
}

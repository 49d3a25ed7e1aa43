/**
 * Memory that foreign code may read and write. Buffers that are collected or moved while a library
 * still has their address are how processes die; so what is handed out lives as long as the process.
 */
import { loadKoffi } from './koffi.js'

/** The address of something, as a Number: an address in user space fits; 0 is NULL. */
export type Pointer = number

/** A Buffer for the life of the process, and where it is. */
export interface Arena {
  readonly bytes: Buffer
  readonly address: Pointer
}

/** Never collected, whatever happens to who asked for it. */
const pinned: Buffer[] = []
/** Where the memory of each begins. */
const addresses = new WeakMap<ArrayBufferLike, Pointer>()

/** Memory that a library may read and write for ever. */
export function createArena(size: number): Arena {
  const bytes = Buffer.allocUnsafeSlow(size)
  pinned.push(bytes)
  const address = addressOf(bytes)
  addresses.set(bytes.buffer, address - bytes.byteOffset)
  return { bytes, address }
}

/** Where that is, if it is a part of an arena. */
export function addressInArena(bytes: Buffer): Pointer | undefined {
  const address = addresses.get(bytes.buffer)
  return address && address + bytes.byteOffset
}

/** Where a Buffer is. That does not keep it: whoever asks must. */
export function addressOf(bytes: Buffer): Pointer {
  return Number(loadKoffi().address(bytes))
}

/**
 * struct mmsghdr and struct iovec (sys/socket.h, sys/uio.h) on a machine of 64 bits whose little end is
 * first: what sendmmsg and recvmmsg have in common.
 */
import type { Pointer } from '../../../lib/memory.js'

export const sizeofMmsghdr = 64
export const sizeofIovec = 16

/** Fields of a struct mmsghdr, in words of 32 bits from its beginning. */
export const msgName = 0
export const msgNamelen = 2
export const msgIov = 4
export const msgIovlen = 6
export const msgControl = 8
export const msgControllen = 10
export const msgFlags = 12
export const msgLen = 14

/** Of a struct iovec: after the pointer. */
export const iovLen = 2

/** Of a control message: after its length, which has 8 bytes. */
export const cmsgLevel = 2
export const cmsgType = 3
export const cmsgData = 4

/** As two words; what is too large for one is cut off by the array itself. */
export function setPointer(words: Uint32Array, at: number, pointer: Pointer): void {
  words[at] = pointer
  words[at + 1] = pointer / 0x1_0000_0000
}

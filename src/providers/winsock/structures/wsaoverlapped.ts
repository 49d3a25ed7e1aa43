/**
 * WSAOVERLAPPED (32 bytes): what the system writes to while a call is pending (winsock2.h).
 */
import { room } from './room.js'

export const sizeofWsaOverlapped = 32

/** NTSTATUS of a call that has not completed (ntstatus.h). */
export const STATUS_PENDING = 0x103

/**
 * One for a call that is about to be made: all zeros but for the event.
 * @param quiet the lowest bit of the event is set: no completion port hears of the call
 * @throws SocketSecurityError EMSGSIZE (R5)
 */
export function writeWsaOverlapped(into: Buffer, event: number, quiet: boolean): number {
  const bytes = room(into, sizeofWsaOverlapped, 'WSAOVERLAPPED', 'WSAOVERLAPPED').fill(0)
  // Handles are multiples of 4: the lowest bits are free for such purposes.
  bytes.writeBigUInt64LE(BigInt(event) | (quiet ? 1n : 0n), 24)
  return bytes.length
}

/**
 * How a call has ended, by what the system has written. For where the SOCKET cannot be asked any
 * more; only after its event was signalled.
 */
export function readWsaOverlapped(from: Buffer): { status: number; bytes: number } {
  const bytes = room(from, sizeofWsaOverlapped, 'WSAOVERLAPPED', 'WSAOVERLAPPED')
  // Internal: an NTSTATUS, of 32 bits. InternalHigh: bytes that were transferred.
  return { status: bytes.readUInt32LE(0), bytes: bytes.readUInt32LE(8) }
}

/** NT_SUCCESS of ntdef.h: neither a warning nor an error. */
export function hasSucceeded(status: number): boolean {
  return status < 0x80000000
}

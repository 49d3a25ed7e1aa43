/**
 * SOCKETs of our own making, before a handle of Node's takes them.
 */
import type { SocketKind } from '../../model/settings.js'
import type { NativeDescriptor } from '../provider.js'

/** A SOCKET; ours until a handle has opened it, or it is discarded. */
export interface WindowsSocket extends NativeDescriptor {
  readonly family: 4 | 6
  readonly kind: SocketKind
  /** Is it still ours, and open? False after discard() and adopted(). */
  readonly owned: boolean
  /** Node's handle has opened the descriptor and owns it now: discard() does nothing any more. */
  adopted(): void
}

/**
 * A new SOCKET, overlapped and not inherited by children.
 * @throws SocketSecurityError by errors.ts, syscall 'WSASocketW'; ENOBUFS for a number that Node cannot take
 */
export function createSocket(_kind: SocketKind, _family: 4 | 6): WindowsSocket {
  throw new Error('to come')
}

/**
 * No other socket may bind to the port of this one, whatever options it sets (R9). To be called
 * before bind.
 * @throws SocketSecurityError by errors.ts, syscall 'setsockopt'
 */
export function useExclusively(_socket: number): void {
  throw new Error('to come')
}

/**
 * IPV6_V6ONLY: whether a SOCKET of IPv6 is for IPv6 alone (Windows' default).
 * @throws SocketSecurityError by errors.ts, syscall 'setsockopt'
 */
export function setIpv6Only(_socket: number, _only: boolean): void {
  throw new Error('to come')
}

/**
 * Binds it. No address: any address of its family; port 0: any.
 * @throws an error as node:net's: code (EADDRINUSE, EACCES, EADDRNOTAVAIL…), syscall 'bind', address, port
 */
export function bindSocket(
  _socket: WindowsSocket,
  _local: { address?: string | undefined; port?: number | undefined },
): void {
  throw new Error('to come')
}

/**
 * Where it is bound or connected to; undefined where it is not.
 * @throws SocketSecurityError by errors.ts
 */
export function localAddress(_socket: number): { address: string; port: number } | undefined {
  throw new Error('to come')
}

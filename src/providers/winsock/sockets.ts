/**
 * SOCKETs of our own making, before a handle of Node's takes them.
 */
import { getSystemErrorMap } from 'node:util'
import {
  AF_INET,
  AF_INET6,
  bind,
  closesocket,
  INVALID_SOCKET,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SO_EXCLUSIVEADDRUSE,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setsockopt,
  WSA_FLAG_NO_HANDLE_INHERIT,
  WSA_FLAG_OVERLAPPED,
  WSASocketW,
  wsaGetLastError,
} from '../../../lib/winsock.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { SocketKind } from '../../model/settings.js'
import type { NativeDescriptor } from '../provider.js'
import { winsockError } from './errors.js'
import { sockaddr } from './structures/sockaddr.js'

/** A SOCKET; ours until a handle has opened it, or it is discarded. */
export interface WindowsSocket extends NativeDescriptor {
  readonly family: 4 | 6
  readonly kind: SocketKind
  /** A handle of Node's has opened it. */
  readonly isAdopted: boolean
  /** May its number still be used? It is ours and open, or that very handle still holds it. */
  alive(): boolean
}

/** Node's handles keep a SOCKET in an int. */
const largestForNode = 0x7fffffff

/**
 * A new SOCKET, overlapped and not inherited by children.
 * @throws SocketSecurityError by errors.ts, syscall 'WSASocketW'; ENOBUFS for a number that Node cannot take
 */
export function createSocket(kind: SocketKind, family: 4 | 6): WindowsSocket {
  const [type, protocol] =
    kind === 'stream' ? [SOCK_STREAM, IPPROTO_TCP] : [SOCK_DGRAM, IPPROTO_UDP]
  const flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT
  const socket = WSASocketW(family === 4 ? AF_INET : AF_INET6, type, protocol, flags)
  if (socket === INVALID_SOCKET) throw winsockError(wsaGetLastError(), { syscall: 'WSASocketW' })
  if (socket > largestForNode) {
    closesocket(socket)
    throw new SocketSecurityError(
      'ENOBUFS',
      `the new socket has the number ${socket}, which Node cannot take: close handles of this process`,
      { syscall: 'WSASocketW' },
    )
  }
  return ownedSocket(socket, kind, family)
}

function ownedSocket(descriptor: number, kind: SocketKind, family: 4 | 6): WindowsSocket {
  let owned = true
  let held: (() => boolean) | undefined
  return {
    descriptor,
    kind,
    family,
    get isAdopted() {
      return held !== undefined
    },
    alive: () => (held === undefined ? owned : held()),
    adopted(alive) {
      if (owned) held = alive
      owned = false
    },
    discard() {
      // Twice, or after Node's handle has taken it, it would close what is somebody else's by now.
      if (!owned) return
      owned = false
      closesocket(descriptor)
    },
  }
}

/**
 * No other socket may bind to the port of this one, whatever options it sets (R9). To be called
 * before bind.
 * @throws SocketSecurityError by errors.ts, syscall 'setsockopt'
 */
export function useExclusively(socket: number): void {
  const error = setsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1)
  if (error !== 0) throw winsockError(error, { syscall: 'setsockopt' })
}

/**
 * Binds it. No address: any address of its family; port 0: any.
 * @throws SocketSecurityError EINVAL for what is no address of its family; else an error as
 * node:net's: code (EADDRINUSE, EACCES, EADDRNOTAVAIL…), errno, syscall 'bind', address, port
 */
export function bindSocket(
  { descriptor, family }: WindowsSocket,
  local: { readonly address?: string | undefined; readonly port?: number | undefined },
): void {
  const { address = family === 4 ? '0.0.0.0' : '::', port = 0 } = local
  const error = bind(descriptor, sockaddr({ family, address, port }, 'bind'))
  if (error !== 0) throw bindError(error, address, port)
}

/** As Node makes it, so that who looks for EADDRINUSE finds all that it finds there. */
function bindError(error: number, address: string, port: number): Error {
  const { code, message } = winsockError(error, { syscall: 'bind' })
  const shown = `${address.includes(':') ? `[${address}]` : address}:${port}`
  const number = [...getSystemErrorMap()].find(([, [name]]) => name === code)?.[0]
  return Object.assign(new Error(`bind ${code} ${shown}: ${message}`), {
    code,
    errno: number ?? error,
    syscall: 'bind',
    address,
    port,
  })
}

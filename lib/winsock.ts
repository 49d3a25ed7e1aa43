/**
 * Winsock: sockets (ws2_32.dll) and their secure socket extensions (Fwpuclnt.dll, Windows Vista and
 * later). Thin and without state: what each function returns here is 0, WSA_IO_PENDING, or another
 * error number of Winsock's, unless it says otherwise. A SOCKET is a number.
 *
 * A pointer to memory that a call may still use after it has returned is a number; a Buffer is
 * passed only where the call is over when it returns.
 */

import type { Pointer } from './kernel32.js'
import { declareFunction, loadSystemLibrary } from './windows-library.js'

export type { Pointer } from './kernel32.js'

/** winsock2.h, ws2def.h, ws2ipdef.h */
export const AF_INET = 2
export const AF_INET6 = 23
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const IPPROTO_TCP = 6
export const IPPROTO_UDP = 17
export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 27
export const SOL_SOCKET = 0xffff
export const SO_EXCLUSIVEADDRUSE = ~4
export const INVALID_SOCKET = -1
export const WSA_FLAG_OVERLAPPED = 0x01
export const WSA_FLAG_NO_HANDLE_INHERIT = 0x80

/** winerror.h; the others are in src/providers/winsock/errors.ts */
export const WSA_IO_PENDING = 997
export const WSA_IO_INCOMPLETE = 996
export const WSAEFAULT = 10014
export const WSAEINVAL = 10022
export const WSAEMSGSIZE = 10040
export const WSAEOPNOTSUPP = 10045
export const WSAEAFNOSUPPORT = 10047

/** A new SOCKET, or INVALID_SOCKET; wsaGetLastError() says why. */
export function WSASocketW(family: number, type: number, protocol: number, flags: number): number {
  return sockets().WSASocketW(family, type, protocol, 0, 0, flags)
}

/** The error of the last call in this thread; to be asked at once. */
export function wsaGetLastError(): number {
  return sockets().WSAGetLastError()
}

export function closesocket(socket: number): number {
  return outcome(sockets().closesocket(socket))
}

/** @param address a SOCKADDR_IN or SOCKADDR_IN6 */
export function bind(socket: number, address: Buffer): number {
  return outcome(sockets().bind(socket, address, address.length))
}

/** Fills in a SOCKADDR. */
export function getsockname(socket: number, address: Buffer): number {
  return outcome(sockets().getsockname(socket, address, [address.length]))
}

/** Sets an option of type int or BOOL. */
export function setsockopt(socket: number, level: number, name: number, value: number): number {
  return outcome(sockets().setsockopt(socket, level, name, [value], 4))
}

/** An option of type int or BOOL, or the error as a negative number. */
export function getsockopt(socket: number, level: number, name: number): number {
  const value = [0]
  const error = outcome(sockets().getsockopt(socket, level, name, value, [4]))
  return error === 0 ? (value[0] as number) : -error
}

/** How a call has ended, without waiting: WSA_IO_INCOMPLETE where it has not. */
export function WSAGetOverlappedResult(
  socket: number,
  overlapped: Pointer,
): { error: number; bytes: number } {
  const bytes = [0]
  const done = sockets().WSAGetOverlappedResult(socket, overlapped, bytes, 0, [0])
  return { error: done === 0 ? wsaGetLastError() : 0, bytes: bytes[0] as number }
}

/** The four functions that can complete later. */
export function WSASetSocketSecurity(
  socket: number,
  settings: Pointer,
  length: number,
  overlapped: Pointer,
): number {
  return outcome(extensions().WSASetSocketSecurity(socket, settings, length, overlapped, 0))
}

export function WSASetSocketPeerTargetName(
  socket: number,
  name: Pointer,
  length: number,
  overlapped: Pointer,
): number {
  return outcome(extensions().WSASetSocketPeerTargetName(socket, name, length, overlapped, 0))
}

export function WSADeleteSocketPeerTargetName(
  socket: number,
  address: Pointer,
  length: number,
  overlapped: Pointer,
): number {
  return outcome(extensions().WSADeleteSocketPeerTargetName(socket, address, length, overlapped, 0))
}

/** @param infoLength the address of a ULONG: the room for `info`, and then what it takes */
export function WSAQuerySocketSecurity(
  socket: number,
  template: Pointer,
  templateLength: number,
  info: Pointer,
  infoLength: Pointer,
  overlapped: Pointer,
): number {
  const query = extensions().WSAQuerySocketSecurity
  return outcome(query(socket, template, templateLength, info, infoLength, overlapped, 0))
}

/**
 * The same, over when it returns: the calling thread waits.
 * @param template SOCKET_SECURITY_QUERY_TEMPLATE; null for the connected peer
 * @param info is filled in
 */
export function querySocketSecurityNow(
  socket: number,
  template: Buffer | null,
  info: Buffer,
): { error: number; length: number } {
  const length = [info.length]
  const query = extensions().querySocketSecurityNow
  const error = outcome(query(socket, template, template?.length ?? 0, info, length, 0, 0))
  return { error, length: length[0] as number }
}

/**
 * The calling thread becomes the peer, until WSARevertImpersonation().
 * @param address SOCKADDR_STORAGE of a datagram peer; null for the connected peer
 */
export function WSAImpersonateSocketPeer(socket: number, address: Buffer | null): number {
  return outcome(extensions().WSAImpersonateSocketPeer(socket, address, address?.length ?? 0))
}

export function WSARevertImpersonation(): number {
  return outcome(extensions().WSARevertImpersonation())
}

/**
 * Looks for all functions of the secure socket extensions, so that a missing one is found before
 * anything is done.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function requireSecureSocketExtensions(): void {
  extensions()
}

/** SOCKET_ERROR or a reason in its place; a function that failed without an error has failed all the same. */
function outcome(result: number): number {
  return result === 0 ? 0 : wsaGetLastError() || WSASYSCALLFAILURE
}

const WSASYSCALLFAILURE = 10107

let declaredSockets: ReturnType<typeof declareSockets> | undefined
let declaredExtensions: ReturnType<typeof declareExtensions> | undefined

function sockets() {
  declaredSockets ??= declareSockets()
  return declaredSockets
}

function extensions() {
  // Loading a library changes the last error: what tells it must be there before the first call.
  sockets()
  declaredExtensions ??= declareExtensions()
  return declaredExtensions
}

// biome-ignore format: a declaration a line
function declareSockets() {
  const library = loadSystemLibrary('ws2_32.dll')
  const from = <T>(signature: string) => declareFunction<T>(library, 'ws2_32.dll', signature)
  return {
    WSAGetLastError: from<() => number>('int __stdcall WSAGetLastError()'),
    WSASocketW: from<(family: number, type: number, protocol: number, info: Pointer, group: number, flags: number) => number>('intptr_t __stdcall WSASocketW(int family, int type, int protocol, intptr_t info, uint32_t group, uint32_t flags)'),
    closesocket: from<(socket: number) => number>('int __stdcall closesocket(intptr_t socket)'),
    bind: from<(socket: number, address: Buffer, length: number) => number>('int __stdcall bind(intptr_t socket, const void *address, int length)'),
    getsockname: from<(socket: number, address: Buffer, length: number[]) => number>('int __stdcall getsockname(intptr_t socket, void *address, _Inout_ int *length)'),
    setsockopt: from<(socket: number, level: number, name: number, value: number[], length: number) => number>('int __stdcall setsockopt(intptr_t socket, int level, int name, const int *value, int length)'),
    getsockopt: from<(socket: number, level: number, name: number, value: number[], length: number[]) => number>('int __stdcall getsockopt(intptr_t socket, int level, int name, _Out_ int *value, _Inout_ int *length)'),
    WSAGetOverlappedResult: from<(socket: number, overlapped: Pointer, bytes: number[], wait: number, flags: number[]) => number>('int __stdcall WSAGetOverlappedResult(intptr_t socket, intptr_t overlapped, _Out_ uint32_t *bytes, int wait, _Out_ uint32_t *flags)'),
  }
}

// biome-ignore format: a declaration a line
function declareExtensions() {
  const library = loadSystemLibrary('Fwpuclnt.dll')
  const from = <T>(signature: string) => declareFunction<T>(library, 'Fwpuclnt.dll', signature)
  return {
    WSASetSocketSecurity: from<(socket: number, settings: Pointer, length: number, overlapped: Pointer, routine: Pointer) => number>('int __stdcall WSASetSocketSecurity(intptr_t socket, intptr_t settings, uint32_t length, intptr_t overlapped, intptr_t routine)'),
    WSASetSocketPeerTargetName: from<(socket: number, name: Pointer, length: number, overlapped: Pointer, routine: Pointer) => number>('int __stdcall WSASetSocketPeerTargetName(intptr_t socket, intptr_t name, uint32_t length, intptr_t overlapped, intptr_t routine)'),
    WSADeleteSocketPeerTargetName: from<(socket: number, address: Pointer, length: number, overlapped: Pointer, routine: Pointer) => number>('int __stdcall WSADeleteSocketPeerTargetName(intptr_t socket, intptr_t address, uint32_t length, intptr_t overlapped, intptr_t routine)'),
    WSAQuerySocketSecurity: from<(socket: number, template: Pointer, templateLength: number, info: Pointer, infoLength: Pointer, overlapped: Pointer, routine: Pointer) => number>('int __stdcall WSAQuerySocketSecurity(intptr_t socket, intptr_t template, uint32_t templateLength, intptr_t info, intptr_t infoLength, intptr_t overlapped, intptr_t routine)'),
    querySocketSecurityNow: from<(socket: number, template: Buffer | null, templateLength: number, info: Buffer, infoLength: number[], overlapped: Pointer, routine: Pointer) => number>('int __stdcall WSAQuerySocketSecurity(intptr_t socket, const void *template, uint32_t templateLength, void *info, _Inout_ uint32_t *infoLength, intptr_t overlapped, intptr_t routine)'),
    WSAImpersonateSocketPeer: from<(socket: number, address: Buffer | null, length: number) => number>('int __stdcall WSAImpersonateSocketPeer(intptr_t socket, const void *address, uint32_t length)'),
    WSARevertImpersonation: from<() => number>('int __stdcall WSARevertImpersonation()'),
  }
}

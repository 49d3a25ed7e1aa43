/**
 * SOCKETs without Node: what Windows itself answers, with its own error numbers. They do not block;
 * whatever takes time is asked for again and again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { declareFunction, loadSystemLibrary } from '../../lib/windows-library.js'
import * as winsock from '../../lib/winsock.js'
import { type Address, readSocketAddress, socketAddress } from './variants.js'

export type Kind = 'stream' | 'datagram'

/** Windows' error numbers that are more than a number here (winerror.h). */
export const WSAEACCES = 10013
export const WSAEWOULDBLOCK = 10035
export const WSAEADDRINUSE = 10048
export const WSAETIMEDOUT = 10060

/** How often something that takes time is asked for. */
const POLL_MS = 10

export function delay(milliseconds: number): Promise<void> {
  return sleep(milliseconds)
}

/** A SOCKET of the family of that address. */
export function newSocket(kind: Kind, { address }: { address: string }, overlapped = true): number {
  const family = address.includes(':') ? winsock.AF_INET6 : winsock.AF_INET
  const stream = kind === 'stream'
  const type = stream ? winsock.SOCK_STREAM : winsock.SOCK_DGRAM
  const protocol = stream ? winsock.IPPROTO_TCP : winsock.IPPROTO_UDP
  const flags = winsock.WSA_FLAG_NO_HANDLE_INHERIT
  const socket = winsock.WSASocketW(
    family,
    type,
    protocol,
    overlapped ? flags | winsock.WSA_FLAG_OVERLAPPED : flags,
  )
  if (socket === winsock.INVALID_SOCKET)
    throw new Error(`WSASocketW failed with ${winsock.wsaGetLastError()}`)
  return socket
}

export function close(...sockets: (number | undefined)[]): void {
  for (const socket of sockets) if (socket !== undefined) winsock.closesocket(socket)
}

/** 0 or an error. */
export function bind(socket: number, local: Address): number {
  return winsock.bind(socket, socketAddress(local))
}

/** Where it is bound. */
export function localAddress(socket: number): Address {
  const bytes = Buffer.alloc(128)
  const error = winsock.getsockname(socket, bytes)
  if (error !== 0) throw new Error(`getsockname failed with ${error}`)
  return readSocketAddress(bytes)
}

/** Is SO_EXCLUSIVEADDRUSE set? */
export function isExclusive(socket: number): boolean {
  return winsock.getsockopt(socket, winsock.SOL_SOCKET, winsock.SO_EXCLUSIVEADDRUSE) === 1
}

/** A SOCKET of IPv6 takes IPv4 as well. */
export function useBothFamilies(socket: number): void {
  winsock.setsockopt(socket, winsock.IPPROTO_IPV6, winsock.IPV6_V6ONLY, 0)
}

/** 0 or an error: WSAETIMEDOUT is Windows' own, or ours after that time. */
export async function connect(
  socket: number,
  to: Address,
  milliseconds: number,
): Promise<{ error: number; milliseconds: number }> {
  const started = performance.now()
  const ended = (error: number) => ({ error, milliseconds: performance.now() - started })
  const address = socketAddress(to)
  setBlocking(socket, false)
  const error = result(calls().connect(socket, address, address.length))
  if (error !== WSAEWOULDBLOCK) return ended(error)
  while (performance.now() - started < milliseconds) {
    const state = look(socket)
    if (state.failed) return ended(pendingError(socket) || WSAETIMEDOUT)
    if (state.writable) return ended(0)
    await delay(POLL_MS)
  }
  return ended(WSAETIMEDOUT)
}

/** 0 or an error. */
export function listen(socket: number): number {
  setBlocking(socket, false)
  return result(calls().listen(socket, 16))
}

/** A connection that came within that time, and before it is to stop, blocking as a new SOCKET is. */
export async function accept(
  listener: number,
  milliseconds: number,
  stop?: AbortSignal,
): Promise<{ socket: number; from: Address } | undefined> {
  const deadline = performance.now() + milliseconds
  for (;;) {
    const address = Buffer.alloc(128)
    const socket = calls().accept(listener, address, [address.length])
    if (socket !== winsock.INVALID_SOCKET) {
      setBlocking(socket, true)
      return { socket, from: readSocketAddress(address) }
    }
    if (performance.now() > deadline || stop?.aborted) return undefined
    await delay(POLL_MS)
  }
}

/** 0 or an error. */
export function send(socket: number, text: string, to?: Address): number {
  const bytes = Buffer.from(text)
  const address = to ? socketAddress(to) : null
  const sent = calls().sendto(socket, bytes, bytes.length, 0, address, address?.length ?? 0)
  return sent === bytes.length ? 0 : winsock.wsaGetLastError()
}

/** What came first within that time; of a stream as much as came at once. */
export async function receive(
  socket: number,
  milliseconds: number,
  stop?: AbortSignal,
): Promise<{ text: string; from: Address } | { error: number }> {
  const deadline = performance.now() + milliseconds
  setBlocking(socket, false)
  try {
    for (;;) {
      const bytes = Buffer.alloc(2048)
      const address = Buffer.alloc(128)
      const length = calls().recvfrom(socket, bytes, bytes.length, 0, address, [address.length])
      if (length >= 0) {
        const known = address.readUInt16LE(0) !== 0
        const from = known ? readSocketAddress(address) : { address: '', port: 0 }
        return { text: bytes.toString('latin1', 0, length), from }
      }
      const error = winsock.wsaGetLastError()
      if (error !== WSAEWOULDBLOCK) return { error }
      if (performance.now() > deadline || stop?.aborted) return { error: WSAETIMEDOUT }
      await delay(POLL_MS)
    }
  } finally {
    setBlocking(socket, true)
  }
}

export function setBlocking(socket: number, blocking: boolean): void {
  calls().ioctlsocket(socket, FIONBIO, [blocking ? 0 : 1])
}

/** winsock2.h */
const FIONBIO = 0x8004667e | 0
const SO_ERROR = 0x1007

/** Why a connection was not made. */
function pendingError(socket: number): number {
  return winsock.getsockopt(socket, winsock.SOL_SOCKET, SO_ERROR)
}

/** What select() says of one SOCKET, at once. */
function look(socket: number): { writable: boolean; failed: boolean } {
  // fd_set: a count, and up to 64 SOCKETs; one is enough here.
  const set = () => {
    const bytes = Buffer.alloc(8 + 8 * 64)
    bytes.writeUInt32LE(1, 0)
    bytes.writeBigUInt64LE(BigInt(socket), 8)
    return bytes
  }
  const writable = set()
  const failed = set()
  calls().select(0, null, writable, failed, Buffer.alloc(8))
  return { writable: writable.readUInt32LE(0) > 0, failed: failed.readUInt32LE(0) > 0 }
}

function result(value: number): number {
  return value === 0 ? 0 : winsock.wsaGetLastError()
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

// biome-ignore format: a declaration a line
function declare() {
  const library = loadSystemLibrary('ws2_32.dll')
  const from = <T>(signature: string) => declareFunction<T>(library, 'ws2_32.dll', signature)
  return {
    connect: from<(socket: number, address: Buffer, length: number) => number>('int __stdcall connect(intptr_t socket, const void *address, int length)'),
    listen: from<(socket: number, backlog: number) => number>('int __stdcall listen(intptr_t socket, int backlog)'),
    accept: from<(socket: number, address: Buffer, length: number[]) => number>('intptr_t __stdcall accept(intptr_t socket, void *address, _Inout_ int *length)'),
    sendto: from<(socket: number, bytes: Buffer, length: number, flags: number, address: Buffer | null, addressLength: number) => number>('int __stdcall sendto(intptr_t socket, const void *bytes, int length, int flags, const void *address, int addressLength)'),
    recvfrom: from<(socket: number, bytes: Buffer, length: number, flags: number, address: Buffer, addressLength: number[]) => number>('int __stdcall recvfrom(intptr_t socket, void *bytes, int length, int flags, void *address, _Inout_ int *addressLength)'),
    ioctlsocket: from<(socket: number, command: number, value: number[]) => number>('int __stdcall ioctlsocket(intptr_t socket, int command, _Inout_ uint32_t *value)'),
    select: from<(ignored: number, readable: Buffer | null, writable: Buffer, failed: Buffer, timeout: Buffer) => number>('int __stdcall select(int ignored, void *readable, void *writable, void *failed, const void *timeout)'),
  }
}

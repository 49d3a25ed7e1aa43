/**
 * node:net as it was when this library was loaded, and what its sockets have that its types do not
 * tell. Taken once: a program that secures others by patching net must not send us round in circles.
 */
import nodeNet, { type Socket } from 'node:net'

export const net = { ...nodeNet }

/** net.Socket's own methods, to be called with whatever the application gave. */
export const netSocket = methodsOf(net.Socket.prototype) as Loose<Socket> & Internals

/** The methods and accessors of a prototype as they are now, whatever patches it later. */
export function methodsOf(prototype: object): object {
  return Object.create(
    Object.getPrototypeOf(prototype),
    Object.getOwnPropertyDescriptors(prototype),
  )
}

type Loose<T> = {
  [K in keyof T]: T[K] extends (...args: never[]) => unknown
    ? (this: object, ...args: unknown[]) => unknown
    : T[K]
}

export interface Internals {
  connecting: boolean
  _handle: unknown
  _peername?: object | null
  _sockname?: object | null
  _pendingData: unknown
  _pendingEncoding: string
  _bytesDispatched: number
  _connections: number
  _host: string | null
  _unrefTimer(): void
  _undestroy?(): void
  _getpeername(): object
  _getsockname(): object
}

export function internals(socket: object): Internals {
  return socket as Internals
}

/** Node's handle of a TCP socket, as far as it is used here. */
export interface TcpHandle {
  /** libuv's error number, or 0: the handle owns the descriptor. */
  open(descriptor: number): number
  connect(request: ConnectRequest, address: string, ...rest: unknown[]): number
  connect6(request: ConnectRequest, address: string, ...rest: unknown[]): number
  close(): void
}

/** What tells Node that a handle is connected. */
export interface ConnectRequest {
  oncomplete?: ((...args: unknown[]) => void) | ((status: number, ...args: unknown[]) => void)
  readonly address?: string
  readonly port?: number
}

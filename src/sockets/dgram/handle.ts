/**
 * Node's handle of a datagram socket, which is told to open a socket that we have made. It stands
 * under the one symbol that every version of Node has; what is missing there is an error.
 */
import type { Socket } from 'node:dgram'

/** What Node's UDP handle offers, as far as it is used here. */
export interface UdpHandle {
  /** 0, or an error number of libuv's. */
  open(descriptor: number): number
  close(...args: unknown[]): void
  /** 0, or an error number of libuv's. */
  bind?(address: string, port: number, flags: number): number
  /** Whether libuv reads; where these are missing, somebody else cannot read in its place. */
  recvStart?(): number
  recvStop?(): number
  /** Of the host of a datagram that is to be sent, or to be bound to. */
  lookup?: (address: string, callback: (...args: unknown[]) => void) => unknown
}

/** What Node keeps of a socket. */
export interface NodeState {
  readonly handle?: Partial<UdpHandle> | null
  /** 2 where it is bound. */
  readonly bindState?: number
  /** 1 while it is being connected, 2 where it is. */
  readonly connectState?: number
  readonly reuseAddr?: boolean
  readonly ipv6Only?: boolean
  readonly reusePort?: boolean
  readonly sendBlockList?: unknown
  readonly receiveBlockList?: unknown
}

/** Empty where this version of Node keeps it elsewhere. */
export function nodeStateOf(socket: Socket): NodeState {
  const key = stateSymbol(socket)
  return Object(key && (socket as unknown as Record<symbol, unknown>)[key])
}

/** Undefined where the socket is closed, or where this version of Node has none. */
export function handleOf(socket: Socket): UdpHandle | undefined {
  const { handle } = nodeStateOf(socket)
  return typeof handle?.open === 'function' ? (handle as UdpHandle) : undefined
}

let known: symbol | undefined

function stateSymbol(socket: Socket): symbol | undefined {
  if (known !== undefined && known in socket) return known
  known = Object.getOwnPropertySymbols(socket).find(each => each.description === 'state symbol')
  return known
}

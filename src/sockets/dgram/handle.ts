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
  /** Whether libuv reads; where these are missing, somebody else cannot read in its place. */
  recvStart?(): number
  recvStop?(): number
}

/** Undefined where the socket is closed, or where this version of Node has none. */
export function handleOf(socket: Socket): UdpHandle | undefined {
  const key = stateSymbol(socket)
  if (key === undefined) return undefined
  const { handle } = Object((socket as unknown as Record<symbol, unknown>)[key]) as {
    handle?: Partial<UdpHandle> | null
  }
  return typeof handle?.open === 'function' ? (handle as UdpHandle) : undefined
}

let known: symbol | undefined

function stateSymbol(socket: Socket): symbol | undefined {
  if (known !== undefined && known in socket) return known
  known = Object.getOwnPropertySymbols(socket).find(each => each.description === 'state symbol')
  return known
}

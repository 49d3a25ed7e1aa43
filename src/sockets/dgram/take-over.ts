/**
 * Makes a plain dgram.Socket of somebody else's a SecureDgramSocket, as `../take-over.ts` does with
 * connections. One that has spoken in clear already goes on with the socket that it has.
 */
import type { Socket } from 'node:dgram'
import type { BlockList } from 'node:net'
import { SecureDgramSocket, type SecureDgramSocketOptions } from '../secure-dgram-socket.js'
import { markTaken } from '../taken.js'
import { onListening } from './base-events.js'
import { handleOf, nodeStateOf, type UdpHandle } from './handle.js'
import { dgram } from './internals.js'
import { initialise, nothingGiven } from './options.js'
import { type Lookup, typeOf } from './resolver.js'
import { stateOf } from './state.js'

/** That of the sockets which are not of a subclass; who takes them over puts what he decides himself there. */
export const takenPrototype: object = Object.create(SecureDgramSocket.prototype)

/** What the constructor was told and does not keep, where somebody has seen it. */
export interface KnownOptions {
  readonly lookup?: unknown
  readonly signal?: AbortSignal | undefined
  /** What its handle looked names up by. */
  readonly handleLookup?: UdpHandle['lookup']
}

/**
 * @param known undefined where nobody has seen its options
 */
export function takeOver(socket: Socket, known: KnownOptions | undefined): void {
  const { bindState, reuseAddr, reusePort, sendBlockList, receiveBlockList } = nodeStateOf(socket)
  const given = nothingGiven()
  given.lookup = lookUpThrough(socket, known, (...args) => state.resolver.base(...args))
  const isBound = bindState === 2
  // Its descriptor is Node's: only Node can read it.
  if (isBound) given.channel = 'portable'
  const options = { type: typeOf(socket), signal: known?.signal, reuseAddr, reusePort }
  const lists = { sendBlockList: sendBlockList as BlockList | undefined, receiveBlockList }
  initialise(socket, { ...options, ...lists } as SecureDgramSocketOptions, undefined, given)
  const state = stateOf(socket)
  markTaken(socket)
  if (Object.getPrototypeOf(socket) === dgram.Socket.prototype)
    Object.setPrototypeOf(socket, takenPrototype)
  if (isBound) onListening(socket, state)
}

/**
 * Makes Node's handle look names up by ours, and gives the one that it had, if that is not Node's own:
 * the option's, or what somebody has put into the handle.
 */
function lookUpThrough(
  socket: Socket,
  known: KnownOptions | undefined,
  ours: Lookup,
): Lookup | null {
  const handle = handleOf(socket)
  const lookup = handle?.lookup
  if (handle === undefined || lookup === undefined) return null
  const [family, loopback] = typeOf(socket) === 'udp6' ? [6, '::1'] : [4, '127.0.0.1']
  handle.lookup = (address, callback) => ours(address || loopback, family as number, callback)
  if (known?.handleLookup === lookup) return (known.lookup as Lookup | undefined) ?? null
  return (host, _family, callback) =>
    lookup.call(handle, host, callback as (...args: unknown[]) => void)
}

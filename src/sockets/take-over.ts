/**
 * Makes a plain net.Socket of somebody else's a SecureSocket, before it connects, and back.
 *
 * A socket of net.Socket itself gets our prototype. One of a subclass keeps its own, so that what it
 * overrides still works; then net.Socket's methods must lead to ours (`src/register/dispatch.ts`).
 */
import type { Socket } from 'node:net'
import { internals, net, netSocket } from './net-internals.js'
import { onreadGate } from './onread.js'
import { SecureSocket } from './secure-socket.js'
import { forgetState, stateOf } from './stream-state.js'
import { markTaken, unmarkTaken } from './taken.js'

/** That of the sockets which are not of a subclass; who takes them over puts what he decides himself there. */
export const takenPrototype: object = Object.create(SecureSocket.prototype)

/**
 * Before its connect(). What its constructor was told is found where net.Socket keeps it.
 * @param signal that of the constructor, which is not kept
 */
export function takeOver(socket: Socket, signal?: AbortSignal): void {
  const state = stateOf(socket)
  state.signal = signal ?? null
  const told = constructorOptions(socket)
  state.noDelay = told.noDelay
  state.keepAlive = told.keepAlive
  state.onread = onreadGate(told.onread)
  markTaken(socket)
  if (Object.getPrototypeOf(socket) === net.Socket.prototype)
    Object.setPrototypeOf(socket, takenPrototype)
  else Object.defineProperties(socket, accessors)
}

/** It is net.Socket's again; not while it has a connection. */
export function giveBack(socket: Socket): void {
  unmarkTaken(socket)
  forgetState(socket)
  if (Object.getPrototypeOf(socket) === takenPrototype)
    Object.setPrototypeOf(socket, net.Socket.prototype)
  else for (const name of Object.keys(accessors)) Reflect.deleteProperty(socket, name)
}

/** Those of net.Socket's cannot be replaced, so that the socket itself gets ours. */
const accessors = Object.fromEntries(
  Object.entries(Object.getOwnPropertyDescriptors(SecureSocket.prototype)).filter(
    ([name, { get }]) => get && name in net.Socket.prototype,
  ),
)
for (const each of Object.values(accessors))
  Object.assign(each, { configurable: true, enumerable: false })

/**
 * Goes on in clear where the socket was to be secured until now, and nothing of its connection has
 * begun; what was written meanwhile waits for it.
 */
export function continueInClear(socket: Socket, connect: () => void): void {
  const { dial, waiting, wanted } = stateOf(socket)
  dial?.cancel()
  if (socket.destroyed) return
  giveBack(socket)
  internals(socket).connecting = false
  connect()
  waiting?.write(asChannel(socket))
  if (wanted) netSocket._read.call(socket, 0)
}

/** Past the buffer of the Writable, which has handed the write out already. */
function asChannel(socket: Socket): Socket {
  const write = (...args: unknown[]) => netSocket._write.apply(socket, args)
  return { write, cork() {}, uncork() {} } as unknown as Socket
}

interface ConstructorOptions {
  readonly noDelay: boolean
  readonly keepAlive: unknown[] | null
  readonly onread: object | null
}

/**
 * net.Socket keeps its options under symbols. Where a version of Node does so no longer, they have no
 * effect; no security depends on them.
 */
function constructorOptions(socket: Socket): ConstructorOptions {
  const kept = new Map<string | undefined, unknown>()
  for (const symbol of Object.getOwnPropertySymbols(socket))
    kept.set(symbol.description, (socket as unknown as Record<symbol, unknown>)[symbol])
  const buffer = kept.get('kBufferGen') ?? kept.get('kBuffer')
  const callback = kept.get('kBufferCb')
  // In seconds, unlike the option.
  const delay = Number(kept.get('kSetKeepAliveInitialDelay') ?? 0) * 1000
  return {
    noDelay: Boolean(kept.get('kSetNoDelay')),
    keepAlive: kept.get('kSetKeepAlive') ? [true, delay] : null,
    onread: buffer && callback ? { buffer, callback } : null,
  }
}

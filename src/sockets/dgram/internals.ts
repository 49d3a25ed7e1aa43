/**
 * node:dgram as it was when this library was loaded. Taken once: a program that secures others by
 * patching dgram must not send us round in circles.
 */
import nodeDgram, { type Socket } from 'node:dgram'
import { methodsOf } from '../net-internals.js'

export const dgram = { ...nodeDgram }

/** dgram.Socket's own methods, to be called with whatever the application gave. */
export const dgramSocket = methodsOf(dgram.Socket.prototype) as Loose<Socket> & {
  bindSync?: (this: object, ...args: unknown[]) => AddressOfSocket
  connectSync?: (this: object, ...args: unknown[]) => void
}

export interface AddressOfSocket {
  address: string
  family: string
  port: number
}

type Loose<T> = {
  [K in keyof T]: T[K] extends (...args: never[]) => infer R
    ? (this: object, ...args: unknown[]) => R
    : T[K]
}

let closedSocket: Socket | undefined

/**
 * Node's own error for a call that it refuses, in the words of this version of Node. The call is
 * made on a socket that is closed and connected to nothing: whatever the arguments are, it throws and
 * nothing is sent.
 */
export function nodeError(method: 'send' | 'connect' | 'address', args: unknown[] = []): Error {
  if (closedSocket === undefined) {
    closedSocket = dgram.createSocket('udp4')
    closedSocket.close()
    // From now on it takes itself for connecting, and refuses the next one for that.
    attempt(() => dgramSocket.connect.call(closedSocket as Socket, 1))
  }
  const socket = closedSocket
  const call = dgramSocket[method] as (this: object, ...args: unknown[]) => unknown
  return attempt(() => call.apply(socket, args))
}

function attempt(call: () => unknown): Error {
  try {
    call()
  } catch (error) {
    return error as Error
  }
  throw new Error('a closed socket has worked')
}

/** ERR_SOCKET_DGRAM_NOT_RUNNING */
export function notRunning(): Error {
  return nodeError('address')
}

/** ERR_SOCKET_DGRAM_IS_CONNECTED */
export function isConnected(): Error {
  return nodeError('connect', [1])
}

/** Whether Node refuses such arguments of connect(), and how. */
export function connectArgumentsError(args: unknown[]): Error | undefined {
  const error = nodeError('connect', args) as Error & { code?: string }
  return error.code === 'ERR_SOCKET_DGRAM_IS_CONNECTED' ? undefined : error
}

/**
 * A connection that this library makes in clear on purpose (R15). Whoever secures the connections of
 * others by patching net leaves it alone.
 */
import nodeNet, { type Socket, type TcpNetConnectOpts } from 'node:net'

// Taken now: a program that secures others by patching net must not send us round in circles.
const net = { ...nodeNet }

const onPurpose = new WeakSet<object>()

/** As net.connect(). */
export function connectInClear(options: TcpNetConnectOpts): Socket {
  const socket = new net.Socket(options)
  onPurpose.add(socket)
  if (options.timeout) socket.setTimeout(options.timeout)
  return socket.connect(options)
}

export function isClearOnPurpose(socket: object): boolean {
  return onPurpose.has(socket)
}

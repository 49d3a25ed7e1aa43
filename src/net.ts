/** `secure-socket/net`: shaped like node:net, with secured sockets and servers. */
import net from 'node:net'
import { connectArguments } from './sockets/connect-arguments.js'
import {
  type ConnectionListener,
  SecureServer,
  type SecureServerOptions,
} from './sockets/secure-server.js'
import { type SecureConnectOptions, SecureSocket } from './sockets/secure-socket.js'

export * from 'node:net'
export type { ConnectionListener, SecureServerOptions } from './sockets/secure-server.js'
export { SecureServer, SecureServer as Server } from './sockets/secure-server.js'
export type {
  SecureConnectOptions,
  SecureSocketOptions,
  SecurityOptions,
} from './sockets/secure-socket.js'
export {
  SecureSocket,
  SecureSocket as Socket,
  SecureSocket as Stream,
} from './sockets/secure-socket.js'

/**
 * Connects a secured socket: every overload of net.createConnection, plus `security` and
 * `peerTargetName`. 'connect' fires when the channel is secured and the peer has proved its name.
 */
export function createConnection(options: SecureConnectOptions, listener?: () => void): SecureSocket
export function createConnection(port: number, host?: string, listener?: () => void): SecureSocket
export function createConnection(port: number, listener?: () => void): SecureSocket
export function createConnection(path: string, listener?: () => void): SecureSocket
export function createConnection(...args: unknown[]): SecureSocket {
  const [options, callback] = connectArguments(args)
  const socket = new SecureSocket(options as object)
  if (options.timeout) socket.setTimeout(options.timeout)
  const { security: _security, peerTargetName: _name, ...rest } = options as SecureConnectOptions
  return callback ? socket.connect(rest, callback) : socket.connect(rest)
}

export { createConnection as connect }

/** Creates a server whose connections are secured: net.createServer, plus `security`. */
export function createServer(listener?: ConnectionListener): SecureServer
export function createServer(
  options?: SecureServerOptions,
  listener?: ConnectionListener,
): SecureServer
export function createServer(
  options?: SecureServerOptions | ConnectionListener,
  listener?: ConnectionListener,
): SecureServer {
  return typeof options === 'function'
    ? new SecureServer(options)
    : new SecureServer(options, listener)
}

interface Face
  extends Omit<
    typeof net,
    'Socket' | 'Stream' | 'Server' | 'connect' | 'createConnection' | 'createServer'
  > {
  Socket: typeof SecureSocket
  Stream: typeof SecureSocket
  Server: typeof SecureServer
  SecureSocket: typeof SecureSocket
  SecureServer: typeof SecureServer
  connect: typeof createConnection
  createConnection: typeof createConnection
  createServer: typeof createServer
}

/** For `import net from 'secure-socket/net'`, as with node:net. */
const face: Face = {
  ...net,
  Socket: SecureSocket,
  Stream: SecureSocket,
  Server: SecureServer,
  SecureSocket,
  SecureServer,
  connect: createConnection,
  createConnection,
  createServer,
}
export default face

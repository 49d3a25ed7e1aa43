/** Connecting to the daemon. */
import { AsyncResource } from 'node:async_hooks'
import nodeNet from 'node:net'
import { SocketSecurityError, show } from '../../../model/errors.js'
import { connectFailed } from '../daemon/errors.js'
import { ViciConnection } from './connection.js'
import type { RequestOptions, Vici } from './vici.js'
import { Waiting } from './waiting.js'

/** sockaddr_un: a longer path would be cut off, and name another socket. */
const MAX_PATH = 107

// Taken now: a program that secures others by patching net must not send us round in circles.
const NetSocket = nodeNet.Socket
/** The context of nobody: a peer whom the caller impersonates is not everybody's who listens. */
const outside = new AsyncResource('secure-socket.Vici')

/**
 * Connects to the daemon that listens at a path. Whoever listens there is given keys: the path is to
 * be one where only the administrator can put a socket.
 * @param options.timeout milliseconds; default 10,000
 * @throws (rejects) SocketSecurityError ERR_PROVIDER_UNAVAILABLE, EACCES, ETIMEDOUT, ECANCELED
 */
export async function connectVici(
  path: string,
  options: Pick<RequestOptions, 'signal' | 'timeout'> = {},
): Promise<Vici> {
  if (path === '' || path.includes('\0') || Buffer.byteLength(path) > MAX_PATH)
    throw new SocketSecurityError(
      'EINVAL',
      `the path of strongSwan's socket is ${show(path)}: it has 1 to ${MAX_PATH} bytes, and no zero`,
    )
  return outside.runInAsyncScope(connect, undefined, path, options)
}

function connect(path: string, options: RequestOptions): Promise<Vici> {
  const waiting = new Waiting<Vici>(`a connection to ${path}`, options)
  if (waiting.settled) return waiting.done
  const socket = new NetSocket()
  const onError = (error: Error) => waiting.fail(connectFailed(error, path))
  socket.on('error', onError)
  waiting.done.then(
    () => socket.off('error', onError),
    () => socket.destroy(),
  )
  try {
    socket.connect({ path }, () => {
      // Not later: its end must not pass unseen.
      if (!waiting.settled) waiting.succeed(new ViciConnection(socket, path))
    })
  } catch (error) {
    onError(error as Error)
  }
  return waiting.done
}

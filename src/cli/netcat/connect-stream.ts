import { connect } from '../../promises.js'
import type { SecureSocket } from '../../sockets/secure-socket.js'
import type { Terminal } from '../command.js'
import type { Events } from './events.js'
import { exchange } from './exchange.js'
import type { NetcatOptions } from './options.js'

/** @throws (rejects) why it could not be secured, or what ended it before both ends did */
export async function connectStream(
  host: string,
  options: NetcatOptions,
  terminal: Terminal,
  events: Events,
): Promise<void> {
  const socket = await connected(host, options)
  const info = await socket.querySecurity()
  events.secured({ address: socket.remoteAddress ?? host, port: options.port }, info)
  await exchange(socket, terminal, events, options.idle)
}

async function connected(host: string, options: NetcatOptions): Promise<SecureSocket> {
  const { port, security, peerTargetName, timeout } = options
  const patience = new AbortController()
  const timer = timeout === undefined ? undefined : setTimeout(() => patience.abort(), timeout)
  try {
    return await connect({
      host,
      port,
      security,
      ...(peerTargetName === undefined ? {} : { peerTargetName }),
      // Each direction ends by itself.
      allowHalfOpen: true,
      signal: patience.signal,
    } as Parameters<typeof connect>[0])
  } catch (error) {
    if (!patience.signal.aborted) throw error
    throw new Error(`${host} was not secured within ${(timeout ?? 0) / 1000} s`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** `secure-socket/promises`: connect and listen with promises, and connections by `for await`. */

import { once } from 'node:events'
import type { AddressInfo, ListenOptions } from 'node:net'
import { createConnection } from './net.js'
import { SecureServer, type SecureServerOptions } from './sockets/secure-server.js'
import type { SecureConnectOptions, SecureSocket } from './sockets/secure-socket.js'

/**
 * Connects a secured socket and resolves when the channel is secured and the peer has proved its
 * name. Rejects with what `'error'` would give; an AbortSignal in `options.signal` destroys the
 * socket, also later.
 */
export function connect(options: SecureConnectOptions): Promise<SecureSocket> {
  const socket = createConnection(options)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

export type SecureListenOptions = SecureServerOptions &
  ListenOptions & {
    /** Secured connections that may wait for the loop; more are closed. Default: 511, as the backlog of listen. */
    maxWaiting?: number
  }

/** A listening server whose connections are taken by `for await (const socket of listener)`. */
export interface SecureListener extends AsyncIterable<SecureSocket>, AsyncDisposable {
  /** The server itself, for its events (`'tlsClientError'`, `'drop'`) and settings. */
  readonly server: SecureServer
  /** Where it listens. */
  address(): AddressInfo
  /** Stops listening, destroys the connections that nobody has taken, and ends the loop; resolves when all connections have ended. */
  close(): Promise<void>
}

/**
 * Creates a server and resolves when it listens.
 * @throws (rejects) SocketSecurityError ENOCREDENTIAL and others; EADDRINUSE and others of node:net
 */
export async function listen(options: SecureListenOptions): Promise<SecureListener> {
  const { maxWaiting = 511, ...rest } = options
  const server = new SecureServer(rest)
  const waiting: SecureSocket[] = []
  let wake: (() => void) | null = null
  let ended = false
  let failure: Error | null = null

  server.on('connection', socket => {
    if (ended || waiting.length >= maxWaiting) {
      socket.destroy()
      return
    }
    waiting.push(socket)
    // One that fails before it is taken is not handed out, and nobody else hears its error.
    socket.on('error', ignore)
    wake?.()
  })
  server.listen(rest)
  await once(server, 'listening')
  server.on('error', error => {
    failure = error
    end()
  })
  server.on('close', end)

  return {
    server,
    address: () => server.address() as AddressInfo,
    close,
    [Symbol.asyncIterator]: connections,
    [Symbol.asyncDispose]: close,
  }

  async function* connections(): AsyncGenerator<SecureSocket> {
    while (true) {
      const socket = waiting.shift()
      if (socket) {
        if (socket.destroyed) continue
        socket.off('error', ignore)
        yield socket
      } else if (failure) {
        throw failure
      } else if (ended) {
        return
      } else {
        await new Promise<void>(resolve => {
          wake = resolve
        })
        wake = null
      }
    }
  }

  async function close(): Promise<void> {
    end()
    if (!server.listening) return
    await new Promise(resolve => server.close(resolve))
  }

  function end(): void {
    ended = true
    for (const socket of waiting.splice(0)) socket.destroy()
    wake?.()
  }
}

function ignore(): void {}

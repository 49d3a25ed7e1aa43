/** `secure-socket/promises`: connect, listen and datagrams with promises, and what comes by `for await`. */

import type { AddressInfo, ListenOptions } from 'node:net'
import { createConnection } from './net.js'
import { SecureDatagrams, type SecureDatagramsOptions } from './sockets/datagrams.js'
import { SecureServer, type SecureServerOptions } from './sockets/secure-server.js'
import type { SecureConnectOptions, SecureSocket } from './sockets/secure-socket.js'

export type {
  Datagram,
  Message,
  SecureDatagrams,
  SecureDatagramsOptions,
} from './sockets/datagrams.js'

/**
 * Creates a datagram socket whose methods give promises, and whose messages are taken by `for await
 * (const { message, rinfo } of socket)`. Messages that come while the loop is busy wait for it, up to
 * `maxWaiting`; more are lost and counted, as UDP loses what nobody takes.
 * @throws SocketSecurityError EINVAL, EOPNOTSUPP for settings; node:dgram's own errors
 */
export function createSocket(options: SecureDatagramsOptions | 'udp4' | 'udp6'): SecureDatagrams {
  return new SecureDatagrams(options)
}

/**
 * Connects a secured socket and resolves when the channel is secured and the peer has proved its
 * name. Rejects with what `'error'` would give; an AbortSignal in `options.signal` destroys the
 * socket, also later.
 */
export async function connect(options: SecureConnectOptions): Promise<SecureSocket> {
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
  /** The loops that wait for a connection. */
  let loops: (() => void)[] = []
  let closing: Promise<void> | null = null
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
    wake()
  })
  server.listen(rest)
  await listening(server, (rest as { signal?: AbortSignal }).signal)
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
        await new Promise<void>(resolve => loops.push(resolve))
      }
    }
  }

  function close(): Promise<void> {
    closing ??= new Promise(resolve => {
      if (server.listening) server.close(() => resolve())
      else resolve()
    })
    end()
    return closing
  }

  function end(): void {
    ended = true
    for (const socket of waiting.splice(0)) socket.destroy()
    wake()
  }

  /** Every loop looks again; who finds nothing waits again. */
  function wake(): void {
    const waking = loops
    loops = []
    for (const resolve of waking) resolve()
  }
}

/** Resolves when the server listens, rejects when it never will. */
function listening(server: SecureServer, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (result: () => void) => {
      server.off('listening', onListening)
      server.off('error', onError)
      server.off('close', onClose)
      result()
    }
    const onListening = () => settle(resolve)
    const onError = (error: Error) => settle(() => reject(error))
    const onClose = () =>
      settle(() => reject(signal?.reason ?? new Error('closed before it was listening')))
    server.on('listening', onListening)
    server.on('error', onError)
    server.on('close', onClose)
  })
}

function ignore(): void {}

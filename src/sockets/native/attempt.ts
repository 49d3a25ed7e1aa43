/**
 * One attempt to connect, at the handle that Node makes for it: the handle opens a secured socket in
 * the very call that connects, or refuses; and Node does not hear that it is connected before the
 * system has said what secures it.
 */
import { getSystemErrorMap } from 'node:util'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { Connection, NativeSocket } from '../../providers/provider.js'
import type { ConnectRequest, TcpHandle } from '../net-internals.js'
import { beforeClose } from './before-close.js'
import { verified } from './connection.js'
import { guardWrites, refusal } from './guarded-writes.js'
import type { PreparedSockets } from './prepared-sockets.js'

/** What the attempts of one connect() share. */
export interface Attempts {
  readonly settings: ParsedSettings
  readonly prepared: PreparedSockets
  /** Whose sockets they are, whatever an earlier connect() of the same object still tries. */
  readonly port: number
  /** Nothing may connect any more. */
  isCancelled(): boolean
  /** Is it the handle that the socket has now? */
  holds(handle: object): boolean
  /** An address was not tried; another may be. */
  refused(error: Error): void
  /** The system is being asked, which must not last for ever while that is wanted. */
  asks(peer: string, isWanted: () => boolean): void
  /** Just before Node hears that the handle is connected. */
  secured(handle: object, connection: Connection): void
  /** Nothing is tried any more; or nothing secures it any longer, and it must end at once. */
  failed(error: Error): void
}

/** Every handle that Node makes for a socket comes by here before it connects. */
export function armHandle(handle: Partial<TcpHandle>, attempts: Attempts): void {
  const { prepared, isCancelled } = attempts
  for (const name of ['connect', 'connect6'] as const) {
    const original = handle[name]
    handle[name] = (request, address, ...rest) => {
      if (isCancelled()) return refusal()
      if (typeof handle.open !== 'function' || typeof original !== 'function')
        return refuse(unavailable('its handles'))
      if (typeof request?.oncomplete !== 'function') return refuse(unavailable('its requests'))
      const native = rest[0] === attempts.port ? prepared.take(address) : undefined
      if (!native) return refuse(prepared.failure(address) ?? notPrepared(address))
      const status = handle.open(native.descriptor)
      if (status !== 0) {
        native.discard()
        return refuse(notTaken(status))
      }
      native.adopted(() => attempts.holds(handle))
      beforeClose(handle, native)
      guardWrites(handle, native)
      native.onLost?.(error => {
        if (attempts.holds(handle)) attempts.failed(error)
      })
      verifyBeforeComplete(handle, native, request, attempts)
      return original.call(handle, request, address, ...rest)
    }
  }

  function refuse(error: Error): number {
    attempts.refused(error)
    return refusal()
  }
}

/** A handle that no connect() of ours has made connects to nobody. */
export function refuseHandle(handle: Partial<TcpHandle>): void {
  handle.connect = handle.connect6 = refusal
}

/** Puts the system's answer between the connection and Node's knowledge of it. */
function verifyBeforeComplete(
  handle: object,
  native: NativeSocket,
  request: ConnectRequest,
  attempts: Attempts,
): void {
  const complete = request.oncomplete as (...args: unknown[]) => void
  request.oncomplete = completed

  function completed(status: number, ...rest: unknown[]): void {
    const peer = peerText(String(request.address), Number(request.port))
    if (attempts.isCancelled() || status !== 0) {
      if (errorName(status) === 'UNKNOWN') attempts.refused(unknownToNode(peer))
      complete.call(request, status, ...rest)
      return
    }
    attempts.asks(peer, isCurrent)
    // In a tick of its own: what a listener throws is no failure of this promise.
    verified(native, attempts.settings, peer).then(
      connection => process.nextTick(succeed, connection),
      error => process.nextTick(fail, error),
    )

    function succeed(connection: Connection): void {
      if (!isCurrent()) return
      if (!attempts.holds(handle)) {
        fail(exchanged())
        return
      }
      attempts.secured(handle, connection)
      complete.call(request, status, ...rest)
    }
  }

  function fail(error: Error): void {
    if (isCurrent()) attempts.failed(error)
  }

  /** Node takes an attempt away when its time is over, and closes its handle. */
  function isCurrent(): boolean {
    return !attempts.isCancelled() && request.oncomplete === completed
  }
}

function errorName(status: number): string | undefined {
  return getSystemErrorMap().get(status)?.[0]
}

/** Such as WSA_IPSEC_NAME_POLICY_ERROR (11033), which libuv has no name for. */
function unknownToNode(peer: string): Error {
  return new SocketSecurityError(
    'EPROTO',
    `${peer}: the system could not connect, by an error that Node does not know: most likely there is no IPsec policy by which the peer could prove its name`,
    { peer },
  )
}

function unavailable(what: string): Error {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `this version of Node lets nothing be secured under ${what} before connect(): nothing is sent`,
  )
}

function notPrepared(address: string): Error {
  return new SocketSecurityError(
    'EPROTO',
    `no socket was secured for the address ${address}: nothing is sent`,
  )
}

function notTaken(status: number): Error {
  return new SocketSecurityError(
    'EPROTO',
    `Node did not take the secured socket (${status}): nothing is sent`,
  )
}

/** What the socket connects by is not what was secured. */
export function exchanged(): Error {
  return new SocketSecurityError(
    'EPROTO',
    'the socket that connected is not the one that was secured',
  )
}

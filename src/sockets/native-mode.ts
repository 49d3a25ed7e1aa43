/**
 * Native mode: the SecureSocket is a plain socket of the operating system whose packets the system
 * secures. The provider's descriptor, with its security applied, is put under Node's handle in the
 * event 'connectionAttempt', just before connect(2): so every attempt of autoSelectFamily has its
 * own, and none is tried without.
 */

import type { Socket, TcpNetConnectOpts } from 'node:net'
import { constants } from 'node:os'
import { SocketSecurityError } from '../model/errors.js'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'
import type { NativeProvider } from '../providers/provider.js'

/** What Node's TCP handle offers, as far as it is used here. */
interface TcpHandle {
  open(fd: number): number
  connect(...args: unknown[]): number
  connect6(...args: unknown[]): number
}

interface NativeConnect {
  readonly provider: NativeProvider
  readonly options: TcpNetConnectOpts
  readonly settings: ParsedSettings
  readonly targetName: TargetName
  /** node:net's own connect(). */
  readonly connect: (options: TcpNetConnectOpts) => void
  /** An attempt begins: until the next tick, the handle must not be taken away. */
  readonly attempting: () => void
  /** An attempt was not secured and is given up; there may be others. */
  readonly attemptFailed: (error: Error) => void
  /** The connection is secured, or the error why not. */
  readonly done: (error: Error | null) => void
}

/** Connects `socket` with the provider's security under it. */
export function connectNative(socket: Socket, request: NativeConnect): void {
  const { provider, settings, targetName, done } = request
  // Node would bind first, and a bound handle takes no other descriptor: the provider binds.
  const { localAddress, localPort, ...options } = request.options
  const secured = new WeakSet<object>()

  socket.on('connectionAttempt', onAttempt)
  // First in line: nobody sees 'connect' on a handle that is not the secured one.
  socket.prependOnceListener('connect', onConnect)
  socket.once('close', detach)
  request.connect(options)

  function onAttempt(address: string, port: number, family: 4 | 6): void {
    const handle = currentHandle(socket)
    request.attempting()
    try {
      if (!handle)
        throw new SocketSecurityError(
          'EPROTO',
          'this version of Node has no handle to secure before connect()',
        )
      const fd = provider.openSocket({
        address,
        port,
        family,
        localAddress,
        localPort,
        settings,
        targetName,
      })
      const status = handle.open(fd)
      if (status !== 0)
        throw new SocketSecurityError(
          'EPROTO',
          `Node did not take the secured socket (${status}): nothing is sent`,
        )
      secured.add(handle)
    } catch (error) {
      // Fail closed: this handle can no longer connect.
      if (handle) handle.connect = handle.connect6 = () => -constants.errno.ECANCELED
      request.attemptFailed(error as Error)
    }
  }

  function onConnect(): void {
    const handle = currentHandle(socket)
    detach()
    if (handle && secured.has(handle)) done(null)
    else
      done(
        new SocketSecurityError(
          'EPROTO',
          'the socket that connected is not the one that was secured',
        ),
      )
  }

  function detach(): void {
    socket.off('connectionAttempt', onAttempt)
    socket.off('connect', onConnect)
    socket.off('close', detach)
  }
}

function currentHandle(socket: Socket): TcpHandle | null {
  const { _handle } = socket as unknown as { _handle: Partial<TcpHandle> | null }
  return typeof _handle?.open === 'function' && typeof _handle.connect === 'function'
    ? (_handle as TcpHandle)
    : null
}

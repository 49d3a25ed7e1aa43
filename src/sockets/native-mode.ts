/**
 * Native mode: the SecureSocket is a plain socket of the operating system whose packets the system
 * secures. The provider's descriptor, with its security applied, is put under Node's handle in the
 * event 'connectionAttempt', just before connect(2): so every attempt of autoSelectFamily has its
 * own, and none is tried without.
 */

import type { Socket, TcpNetConnectOpts } from 'node:net'
import { constants } from 'node:os'
import { SocketSecurityError } from '../model/errors.js'
import type { SecurityInfo } from '../model/security-info.js'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'
import type { Connection, NativeProvider } from '../providers/provider.js'
import { netSocket } from './net-internals.js'
import { stateOf } from './stream-state.js'

/** What Node's TCP handle offers, as far as it is used here. */
interface TcpHandle {
  open(fd: number): number
  connect(...args: unknown[]): number
  connect6(...args: unknown[]): number
}

export interface NativeConnectRequest {
  readonly provider: NativeProvider
  readonly options: TcpNetConnectOpts
  readonly settings: ParsedSettings
  readonly targetName: TargetName
}

/** Connects `socket` with the provider's security under it. */
export function connectNative(socket: Socket, request: NativeConnectRequest): void {
  const { provider, settings, targetName } = request
  // Node would bind first, and a bound handle takes no other descriptor: the provider binds.
  const { localAddress, localPort, ...options } = request.options
  const state = stateOf(socket)
  const secured = new WeakSet<object>()

  socket.on('connectionAttempt', onAttempt)
  // First in line: nobody sees 'connect' on a handle that is not the secured one.
  socket.prependOnceListener('connect', onConnect)
  socket.once('close', detach)
  netSocket.connect.call(socket, options)

  function onAttempt(address: string, port: number, family: 4 | 6): void {
    const handle = currentHandle(socket)
    // Until the next tick Node needs the handle, whatever the application does.
    state.attempting = true
    process.nextTick(() => {
      state.attempting = false
    })
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
      state.outcome = error as Error
    }
  }

  function onConnect(): void {
    const handle = currentHandle(socket)
    detach()
    state.outcome = null
    if (!handle || !secured.has(handle)) {
      const message = 'the socket that connected is not the one that was secured'
      socket.destroy(new SocketSecurityError('EPROTO', message))
      return
    }
    state.established = state.securedBefore = true
    state.connection = nativeConnection(() => provider.query(socket))
    state.secured?.resolve(state.connection.query())
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

function nativeConnection(query: () => SecurityInfo): Connection {
  return {
    early: null,
    overhead: { read: 0, written: 0 },
    secured: true,
    query,
    authorized: true,
    authorizationError: null,
    alpnProtocol: false,
    certificate: undefined,
    endError: () => null,
    explain: error => error,
  }
}

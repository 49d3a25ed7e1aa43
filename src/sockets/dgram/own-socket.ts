/**
 * On Linux a socket of our own making under Node's handle, where it has to be: the batch channel
 * needs its descriptor, and reusePort is an option that older versions of Node do not know.
 */
import type { Socket } from 'node:dgram'
import { SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET, setsockopt } from '../../../lib/linux-sockets.js'
import { openBatchSocket } from '../../channels/batch/open-socket.js'
import { SocketSecurityError } from '../../model/errors.js'
import type { NativeDescriptor } from '../../providers/provider.js'
import { noBatch } from './channel-choice.js'
import { canceled } from './errors.js'
import { handleOf } from './handle.js'
import { typeOf } from './resolver.js'
import type { DgramState } from './state.js'

export function usesOwnSocket({ channelChoice, reuse }: DgramState): boolean {
  return process.platform === 'linux' && (channelChoice?.kind === 'batch' || reuse === 'reusePort')
}

/**
 * Before every binding. Where Node does not take such a socket, it makes its own as ever, and the
 * channel is the portable one, unless the other was asked for.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE; EPROTO where others could take the port (R9);
 * ECANCELED where the handle was closed while the address was looked up
 */
export function openOwnSocket(
  socket: Socket,
  state: DgramState,
  adopt: (made: NativeDescriptor) => Error | undefined,
): void {
  // That number is perhaps another socket's by now.
  if (state.descriptor !== -1 && handleOf(socket) !== state.handle) throw canceled()
  if (state.descriptor === -1) {
    const failure = opened(socket, state, adopt)
    if (failure) {
      if (state.channelChoice?.kind === 'batch' && state.channelChoice.required)
        throw noBatch('the socket could not be made, or Node did not take it', failure)
      state.channelChoice = { kind: 'portable', required: false }
      return
    }
  }
  // A handle that opens a socket sets SO_REUSEADDR; where it is asked for, the binding sets it again.
  apply(state.descriptor, SO_REUSEADDR, 0)
  if (state.reuse === 'reusePort') apply(state.descriptor, SO_REUSEPORT, 1)
}

function opened(
  socket: Socket,
  state: DgramState,
  adopt: (made: NativeDescriptor) => Error | undefined,
): Error | undefined {
  const handle = handleOf(socket)
  if (typeof handle?.recvStart !== 'function' || typeof handle.recvStop !== 'function')
    return new Error('Node has no handle that can be told not to read')
  try {
    const made = openBatchSocket(typeOf(socket) === 'udp6' ? 6 : 4)
    const refused = adopt(made)
    if (refused) return refused
    state.descriptor = made.descriptor
    return undefined
  } catch (error) {
    return error as Error
  }
}

function apply(descriptor: number, option: number, value: number): void {
  const result = setsockopt(descriptor, SOL_SOCKET, option, value)
  if (result === 0) return
  throw new SocketSecurityError(
    'EPROTO',
    `the system did not say who may share the port (setsockopt: ${result}): nothing is bound`,
    { syscall: 'WSASetSocketSecurity', errno: result },
  )
}

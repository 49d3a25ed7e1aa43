/** What happens to the base socket, and what follows for the endpoint. */
import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import type { DatagramEndpoint } from '../../providers/datagram-provider.js'
import { sameAddress } from './addresses.js'
import { finish, updateAcceptance, within } from './endpoint.js'
import { handleOf } from './handle.js'
import { type AddressOfSocket, dgramSocket } from './internals.js'
import type { DgramState } from './state.js'

export function onListening(socket: Socket, state: DgramState): void {
  state.bind = 'bound'
  state.own = ownAddress(socket)
  updateAcceptance(state)
}

/** Null where the system has taken the port away, or the socket is closed by now. */
export function ownAddress(socket: Socket): AddressOfSocket | null {
  try {
    const address = dgramSocket.address.call(socket)
    return address.port === 0 ? null : address
  } catch {
    return null
  }
}

/** Node forgets a close() that waits for a binding, where the binding fails. */
export function closeAtLast(socket: Socket, state: DgramState): void {
  if (!state.closed || state.ended || handleOf(socket) === undefined) return
  dgramSocket.close.call(socket)
}

export function onError(socket: Socket, state: DgramState, error: Error): void {
  if (state.connect === 'connecting') disconnected(state, error)
  if (state.bind !== 'binding') return
  state.bind = 'unbound'
  state.afterBinding = null
  state.waiting.fail(error)
  if (state.closing) finish(socket, state)
}

/** Anybody can forge one: it ends nothing, and may explain why a peer does not answer. */
export function onIcmpError(socket: Socket, state: DgramState, error: Error): void {
  const { endpoint, remote } = state
  if (endpoint && remote)
    within(socket, state, () => endpoint.sendFailed(error, remote.address, remote.port))
  else state.icmpErrors += 1
}

export function disconnected(state: DgramState, error: Error): void {
  state.connect = 'none'
  state.connection?.reject(error)
  state.connection = null
  state.remote = null
  state.channel?.connected?.(null)
  updateAcceptance(state)
}

/** Nothing reaches the other peers of a connected socket: they are told while it can be done. */
export function leaveOthers(socket: Socket, state: DgramState, host: string, port: number): void {
  const { endpoint } = state
  if (!endpoint || state.connect !== 'none') return
  const others = endpoint
    .peers()
    .filter(each => each.port !== port || isIP(host) === 0 || !sameAddress(each.address, host))
  within(socket, state, () => closePeers(endpoint, others))
}

export function closePeers(endpoint: DatagramEndpoint, peers = endpoint.peers()): void {
  for (const { address, port } of peers) endpoint.closePeer(address, port)
}

export function bindImplicitly(socket: Socket, state: DgramState): void {
  state.bindingImplicitly = true
  try {
    ;(socket.bind as (...args: unknown[]) => void)({ port: 0, exclusive: true }, null)
  } finally {
    state.bindingImplicitly = false
  }
}

/** Which peer a call is about. */
import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import { SocketSecurityError, show } from '../../model/errors.js'
import { checkPeerAddress } from '../../model/lifecycle.js'
import type { PeerAddress } from '../../providers/datagram-provider.js'
import { isConnected } from './endpoint.js'
import { typeOf } from './resolver.js'
import type { DgramState } from './state.js'

/** R17, as far as it can be seen before a look-up. */
export function givenPeer(
  peer: unknown,
  syscall: string,
): { readonly address: string; readonly port: number } {
  const { address, port = 0 } = Object(peer) as Partial<PeerAddress>
  if (typeof address !== 'string' || address === '') {
    throw new SocketSecurityError(
      'EINVAL',
      `the peer is ${show(peer)}: give {address, port}, as in rinfo`,
      { syscall },
    )
  }
  if (isIP(address) !== 0) checkPeerAddress(address, port, syscall)
  else checkPeerAddress('127.0.0.1', port, syscall)
  return { address, port }
}

/** The peer that was given, or else the one that the socket is connected to. */
export function peerOr(
  socket: Socket,
  state: DgramState,
  peer: unknown,
  syscall: string,
): PeerAddress {
  if (peer !== undefined) {
    const given = givenPeer(peer, syscall)
    if (given.port === 0) checkPeerAddress(given.address, Number.NaN, syscall)
    return given
  }
  if (isConnected(socket, state) && state.remote) return state.remote
  throw notConnected(syscall)
}

/** Where there is no time to look a name up. */
export function literalPeer(
  socket: Socket,
  state: DgramState,
  peer: unknown,
  syscall: string,
): PeerAddress {
  const given = peerOr(socket, state, peer, syscall)
  checkPeerAddress(given.address, given.port, syscall)
  return given
}

export function notConnected(syscall: string): SocketSecurityError {
  return new SocketSecurityError(
    'ENOTCONN',
    'the socket is not connected: say which peer, as {address, port}',
    { syscall },
  )
}

/** Does something with the address of a host: at once where it is an address, so that no await is needed. */
export function withAddress<T>(
  socket: Socket,
  state: DgramState,
  host: string,
  call: (address: string) => T | Promise<T>,
): T | Promise<T> {
  return isIP(host) === 0 ? lookedUp(socket, state, host).then(call) : call(host)
}

export function lookedUp(socket: Socket, state: DgramState, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    state.resolver.resolve(host, typeOf(socket), (error, ip) =>
      error ? reject(error) : resolve(ip),
    )
  })
}

/** One peer among the many of a datagram socket: securing it ahead, and asking for its security. */

import type { Socket } from 'node:dgram'
import { checkPeerQuery } from '../../model/lifecycle.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import { destination, sameAddress } from './addresses.js'
import { bindImplicitly } from './base-events.js'
import { mustWait, wait } from './binding.js'
import { connectedElsewhere, endpointOf, within } from './endpoint.js'
import { canceled } from './errors.js'
import { lookedUp } from './peer-arguments.js'
import { type DgramState, socketState } from './state.js'
import { applyHostName, nameFailure } from './target-names.js'

export async function secured(
  socket: Socket,
  state: DgramState,
  host: string,
  port: number,
): Promise<SecurityInfo> {
  state.securing += 1
  try {
    if (state.bind === 'unbound') bindImplicitly(socket, state)
    if (mustWait(state, host, port))
      await new Promise<void>((run, fail) => wait(state, { run, fail, host, port, bytes: 0 }))
    const failed = nameFailure(state, host, host, port)
    if (failed) throw failed
    const address = destination(await lookedUp(socket, state, host))
    if (state.closing) throw canceled()
    const { remote } = state
    const connected = state.connect === 'connected' && remote !== null
    if (connected && (port !== remote.port || !sameAddress(address, remote.address)))
      throw connectedElsewhere(address, port, remote)
    const endpoint = endpointOf(socket)
    const name = connected ? state.host : host
    const failure =
      nameFailure(state, name, address, port) ?? applyHostName(socket, state, name, address, port)
    if (failure) throw failure
    return await within(socket, state, () => endpoint.secure(address, port, name))
  } finally {
    state.securing -= 1
  }
}

/** What the system says now, where only it knows; else what is known. */
export async function refreshed(
  state: DgramState,
  address: string,
  port: number,
  syscall: string,
): Promise<SecurityInfo> {
  const known = query(state, address, port, syscall)
  const { endpoint } = state
  if (!endpoint?.refresh) return known
  const info = await endpoint.refresh(address, port)
  checkPeerQuery(socketState(state), peerText(address, port), info !== undefined, syscall)
  return info as SecurityInfo
}

export function query(
  state: DgramState,
  address: string,
  port: number,
  syscall: string,
): SecurityInfo {
  const info = state.endpoint?.query(address, port)
  checkPeerQuery(socketState(state), peerText(address, port), info !== undefined, syscall)
  return info as SecurityInfo
}

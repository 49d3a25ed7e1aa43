/**
 * IPsec on Windows, for datagrams: SOCKETs with security applied right after their creation, and
 * the verbs for each of their peers.
 */
import { peerText } from '../../model/peer-text.js'
import type {
  NativeDatagramProvider,
  NativeDatagramRequest,
  NativeDatagramSocket,
} from '../datagram-provider.js'
import {
  type CallTarget,
  deletePeerTargetName,
  type Peer,
  querySecurity,
  setPeerTargetName,
  setSecurity,
} from './calls.js'
import { exclusiveSocket } from './exclusive-socket.js'
import { impersonatePeer } from './impersonation.js'
import { checkWinsockSettings, winsockPeerName } from './settings.js'
import type { WindowsSocket } from './sockets.js'
import { IDENTIFY, securityInfo } from './tokens.js'

export const winsockDatagramProvider: NativeDatagramProvider = {
  mode: 'native',
  checkSettings: checkWinsockSettings,
  checkTargetName(name, settings) {
    winsockPeerName(name, true, settings)
  },
  openSocket: openDatagramSocket,
}

async function openDatagramSocket(request: NativeDatagramRequest): Promise<NativeDatagramSocket> {
  // WSASetSocketSecurity makes the port exclusive too, says its documentation (R9).
  const socket = exclusiveSocket('datagram', request.family)
  try {
    await setSecurity(targetOf(socket, request), request.settings)
  } catch (error) {
    socket.discard()
    throw error
  }
  return datagramSocket(socket, request)
}

function datagramSocket(
  socket: WindowsSocket,
  request: NativeDatagramRequest,
): NativeDatagramSocket {
  const { family, settings } = request
  const target = (address: string, port: number): [CallTarget, Peer] => [
    { ...targetOf(socket, { settings }), peer: peerText(address, port) },
    { family, address, port },
  ]
  return {
    descriptor: socket.descriptor,
    discard: () => socket.discard(),
    adopted: alive => socket.adopted(alive),
    async setTargetName(address, port, name, isSet) {
      const text = winsockPeerName(name, isSet, settings)
      if (text !== null) await setPeerTargetName(...target(address, port), text)
    },
    async deleteTargetName(address, port) {
      // Then none was given to the system.
      if (settings.ipsec?.optionalPeerNameVerification) return
      await deletePeerTargetName(...target(address, port))
    },
    async query(address, port) {
      const [asked, peer] = target(address, port)
      return await securityInfo(await querySecurity(asked, { peer, tokenAccess: IDENTIFY }))
    },
    impersonate(address, port, fn) {
      const [{ peer }, to] = target(address, port)
      const { descriptor, alive } = socket
      return impersonatePeer({ socket: descriptor, alive, address: to, peer }, fn)
    },
  }
}

function targetOf(
  socket: WindowsSocket,
  { settings, signal }: Pick<NativeDatagramRequest, 'settings'> & { signal?: AbortSignal },
): CallTarget {
  return {
    socket: socket.descriptor,
    adopted: socket.isAdopted,
    alive: socket.alive,
    timeout: settings.handshakeTimeout,
    signal,
  }
}

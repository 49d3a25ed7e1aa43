/** Whom the peers of a datagram socket must prove to be: names by address, and by the name of a host. */

import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import { defaultDatagramPolicy } from '../../model/defaults.js'
import { SocketSecurityError, show } from '../../model/errors.js'
import { checkPeerAddress, checkSetPeerTargetName, checkSocket } from '../../model/lifecycle.js'
import { peerText } from '../../model/peer-text.js'
import { parseTargetNameFor, type TargetName } from '../../model/target-name.js'
import { chosenTargetName, nameByPolicy } from '../../policy/chosen-target-name.js'
import { currentPolicy } from '../../policy/current-policy.js'
import { hostKey, nameKey, sameAddress } from './addresses.js'
import { runWaiting } from './binding.js'
import { finishWhenDone, within } from './endpoint.js'
import { givenPeer, lookedUp, withAddress } from './peer-arguments.js'
import { type DgramState, socketState } from './state.js'

/** A datagram peer whose target name is set. */
export interface NamedPeer {
  /** An address, or the name of a host, which is looked up. */
  readonly address: string
  /** Absent: all ports of the address. */
  readonly port?: number
  readonly targetName: string
}

export function setName(socket: Socket, state: DgramState, peer: NamedPeer): void | Promise<void> {
  const syscall = 'WSASetSocketPeerTargetName'
  checkSocket(socketState(state), syscall)
  const { address, port } = givenPeer(peer, syscall)
  const key = nameKey(address, port)
  const failed = (error: unknown): never => {
    if (state.connect === 'none') {
      state.nameFailures ??= new Map()
      state.nameFailures.set(key, error as Error)
    }
    throw error
  }
  let name: TargetName
  try {
    name = parseTargetNameFor(state.settings, peer.targetName)
    checkSetPeerTargetName(socketState(state))
    if (isIP(address) !== 0) {
      checkAllowed(state, name, { address, port })
      const applied = applyName(socket, state, address, port, name)
      state.nameFailures?.delete(key)
      return applied?.catch(failed)
    }
  } catch (error) {
    const { code } = error as { code?: string }
    // A name that came too late: the one before it, if any, holds.
    if (code === 'EISCONN') throw error
    failed(error)
  }
  holdUp(state, address, 1)
  return inTime(state, address, lookedUp(socket, state, address))
    .then(async ip => {
      checkSocket(socketState(state), syscall)
      checkAllowed(state, name, { host: address, address: ip, port })
      await applyName(socket, state, ip, port, name)
      state.hostNames ??= new Map()
      state.hostNames.set(key, name)
      state.nameFailures?.delete(key)
    })
    .catch(failed)
    .finally(() => {
      holdUp(state, address, -1)
      runWaiting(state)
      if (state.closing) finishWhenDone(socket, state)
    })
}

/** A name that was never set is no error: it serves no handshake either. */
export function deleteName(
  socket: Socket,
  state: DgramState,
  peer: { address: string; port?: number },
): void | Promise<void> {
  const syscall = 'WSADeleteSocketPeerTargetName'
  checkSocket(socketState(state), syscall)
  const { address: host, port } = givenPeer(peer, syscall)
  state.hostNames?.delete(nameKey(host, port))
  state.nameFailures?.delete(nameKey(host, port))
  return withAddress<void>(socket, state, host, address => {
    checkPeerAddress(address, port, syscall)
    state.earlyNames = state.earlyNames.filter(
      each => each.port !== port || !sameAddress(each.address, address),
    )
    state.addressNames?.delete(nameKey(address, port))
    state.nameFailures?.delete(nameKey(address, port))
    const { endpoint } = state
    const deleted =
      endpoint && within(socket, state, () => endpoint.deleteTargetName(address, port))
    if (deleted instanceof Promise) return deleted.then(() => {})
  })
}

/**
 * A name that was set for a host holds wherever the host is found today: another answer of the
 * resolver must not make another name do (R20). Returns why it cannot be set.
 */
export function applyHostName(
  socket: Socket,
  state: DgramState,
  host: string,
  address: string,
  port: number,
): Error | undefined {
  const { hostNames, addressNames } = state
  // Whatever the policy has against it is told to who sends: this may be the answer of a look-up.
  try {
    const policy = currentPolicy()
    if ((hostNames === null && policy === null) || isIP(host) !== 0) return undefined
    const set = hostNames ? named(hostNames, host, port) : undefined
    const flow = { transport: 'udp', direction: 'out', host, address, port } as const
    const name = nameByPolicy(set, state.settings, flow)
    if (!name) return undefined
    if (addressNames && named(addressNames, address, port)?.text === name.text) return undefined
    // What is sent to the peer waits for it, and fails with it.
    applyName(socket, state, address, port, name)?.catch(() => {})
    return undefined
  } catch (error) {
    return error as Error
  }
}

/** A target name that could not be set fails what relies on it (R12). */
export function nameFailure(
  { nameFailures }: DgramState,
  host: string,
  address: string,
  port: number,
): Error | undefined {
  if (nameFailures === null) return undefined
  return named(nameFailures, host, port) ?? named(nameFailures, address, port)
}

/** What goes to a host waits while a name for it is looked up. */
function holdUp({ nameLookups }: DgramState, host: string, more: number): void {
  const key = hostKey(host)
  const count = (nameLookups.get(key) ?? 0) + more
  if (count === 0) nameLookups.delete(key)
  else nameLookups.set(key, count)
}

/** A resolver that never answers holds nothing up for longer than a handshake may take. */
function inTime<T>({ settings }: DgramState, host: string, lookup: Promise<T>): Promise<T> {
  const milliseconds = (settings ?? defaultDatagramPolicy).handshakeTimeout
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new SocketSecurityError(
          'ERR_TLS_HANDSHAKE_TIMEOUT',
          `the address of ${show(host)} was not found within ${milliseconds} ms: its target name cannot be set`,
          { syscall: 'WSASetSocketPeerTargetName' },
        ),
      )
    }, milliseconds).unref()
    lookup.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

function applyName(
  socket: Socket,
  state: DgramState,
  address: string,
  port: number,
  name: TargetName,
): Promise<void> | undefined {
  const syscall = 'WSASetSocketPeerTargetName'
  checkPeerAddress(address, port, syscall) // R17
  const { endpoint } = state
  const waits = state.waiting.some(
    call =>
      (port === 0 || call.port === port) &&
      isIP(call.host) !== 0 &&
      sameAddress(call.host, address),
  )
  if (waits) {
    throw new SocketSecurityError(
      'EISCONN',
      `the target name of ${peerText(address, port)} must be set before the first datagram to it`,
      { syscall, peer: peerText(address, port) },
    ) // R18
  }
  const applied = endpoint
    ? within(socket, state, () => endpoint.setTargetName(address, port, name))
    : void state.earlyNames.push({ address, port, name })
  state.addressNames ??= new Map()
  state.addressNames.set(nameKey(address, port), name)
  return applied ?? undefined
}

/** R10: may the application name that peer? Port 0 stands for all: what the policy says of one counts there. */
function checkAllowed(
  { settings }: DgramState,
  name: TargetName,
  { port, ...peer }: { readonly host?: string; readonly address: string; readonly port: number },
): void {
  const flow = { transport: 'udp', direction: 'out', ...peer } as const
  chosenTargetName(name, settings, port === 0 ? flow : { ...flow, port })
}

/** What is known of a port, or else of the whole host. */
function named<T>(names: Map<string, T>, host: string, port: number): T | undefined {
  return names.get(nameKey(host, port)) ?? names.get(nameKey(host, 0))
}

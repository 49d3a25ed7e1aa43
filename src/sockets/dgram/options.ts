/** The options of the constructor: what the base socket is given of them, and what we keep. */
import type { Socket, SocketOptions } from 'node:dgram'
import { BlockList } from 'node:net'
import type { ChannelKind } from '../../channels/channel.js'
import type { DatagramSecuritySettings } from '../../model/settings.js'
import { isPolicyError } from '../../policy/policy-errors.js'
import { settingsFor } from '../../policy/settings-source.js'
import type { SettingsSource } from '../../policy/source.js'
import { isOfEveryObject } from '../own-options.js'
import { setSource } from '../set-source.js'
import { channelOption } from './channel-choice.js'
import type { SecureRemoteInfo } from './endpoint.js'
import type { Lookup } from './resolver.js'
import { type DgramState, stateOf } from './state.js'

export type SecureDgramSocketOptions = SocketOptions & {
  /** What secures the socket; null or absent: the default policy. */
  security?: DatagramSecuritySettings | null
  /**
   * How the datagrams travel: `'batch'`, many in one system call, or `'portable'`, one by one as
   * those of node:dgram. Absent: what the variable SECURE_SOCKET_CHANNEL names, else batch where it
   * is available (Linux). One that was asked for and is not available is ERR_PROVIDER_UNAVAILABLE.
   */
  channel?: ChannelKind | undefined
}

export type MessageListener = (message: Buffer, rinfo: SecureRemoteInfo) => void

/** What is read before the base constructor, which wants a look-up function, and must not open a handle for nothing. */
export interface Given {
  /** Exists after the base constructor only. */
  state: DgramState | null
  lookup: Lookup | null
  source: SettingsSource | null
  /** What was asked for, and the policy refuses. */
  asked: DatagramSecuritySettings | null
  channel: ChannelKind | null
}

export function nothingGiven(): Given {
  return { state: null, lookup: null, source: null, asked: null, channel: null }
}

export function baseOptions(
  type: SecureDgramSocketOptions | string | undefined,
  given: Given,
): SocketOptions {
  const options = typeof type === 'object' && type !== null ? type : { type }
  const { security, lookup, channel, ...rest } = options as SecureDgramSocketOptions
  if (security !== undefined && !isOfEveryObject(options, 'security', security))
    readSecurity(security, given)
  given.channel = channelOption(channel)
  // Node says it best what is wrong with one that is no function.
  if (lookup !== undefined && typeof lookup !== 'function') return { ...rest, lookup }
  given.lookup = (lookup as Lookup | undefined) ?? null
  const base: Lookup = (hostname, family, callback) =>
    given.state?.resolver.base(hostname, family, callback)
  return { ...rest, lookup: base as SocketOptions['lookup'] }
}

/**
 * What the administrator has forbidden, or done wrong, fails what relies on the settings: a program that
 * ran before a policy came has no reason to catch it here.
 */
function readSecurity(security: DatagramSecuritySettings | null, given: Given): void {
  try {
    given.source = settingsFor(security, 'datagram')
  } catch (error) {
    if (!isPolicyError(error)) throw error
    given.asked = security
  }
}

export function initialise(
  socket: Socket,
  type: SecureDgramSocketOptions | string,
  listener: unknown,
  given: Given,
): void {
  const state = stateOf(socket)
  given.state = state
  state.resolver.custom = given.lookup
  if (given.source !== null) setSource(state, given.source)
  state.asked = given.asked
  state.channelOption = given.channel
  if (typeof listener === 'function') socket.on('message', listener as MessageListener)
  if (typeof type !== 'object') return
  const { signal, reuseAddr, reusePort, sendBlockList, receiveBlockList } =
    type as SecureDgramSocketOptions & {
      reusePort?: boolean
      sendBlockList?: BlockList
      receiveBlockList?: unknown
    }
  state.signal = signal ?? null
  state.reuse = reusePort ? 'reusePort' : reuseAddr ? 'reuseAddr' : null
  state.sendBlockList = sendBlockList ?? null
  state.receiveBlockList = receiveBlockList instanceof BlockList ? receiveBlockList : null
}

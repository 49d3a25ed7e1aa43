/** Which channel a socket's datagrams take: as the constructor says, else the environment, else the best there is. */
import { batchUnavailable } from '../../channels/batch/availability.js'
import type { ChannelKind } from '../../channels/channel.js'
import { invalid, SocketSecurityError } from '../../model/errors.js'

export interface ChannelChoice {
  readonly kind: ChannelKind
  /** Somebody has asked for just this one: where it is missing, nothing is sent. */
  readonly required: boolean
}

const VARIABLE = 'SECURE_SOCKET_CHANNEL'
const CHOICES = "it must be 'batch' or 'portable'"

/**
 * The option `channel` of the constructor.
 * @throws SocketSecurityError EINVAL
 */
export function channelOption(value: unknown): ChannelKind | null {
  if (value === undefined) return null
  if (isKind(value)) return value
  throw invalid('channel', value, CHOICES)
}

/**
 * For datagrams that we protect ourselves.
 * @throws SocketSecurityError EINVAL where the environment names no channel; ERR_PROVIDER_UNAVAILABLE
 * where the one that was asked for is not available
 */
export function chooseChannel(option: ChannelKind | null): ChannelChoice {
  const asked = option ?? fromEnvironment()
  if (asked === 'portable') return { kind: 'portable', required: true }
  const missing = batchUnavailable()
  if (missing === undefined) return { kind: 'batch', required: asked === 'batch' }
  if (asked === 'batch') throw noBatch(missing)
  return { kind: 'portable', required: false }
}

/** The system secures the packets of such a socket, and Node carries them. */
export function nativeChannel(option: ChannelKind | null): ChannelChoice {
  if (option === 'batch') throw noBatch('the datagrams of IPsec travel one by one')
  return { kind: 'portable', required: true }
}

/** @param why a phrase */
export function noBatch(why: string, cause?: unknown): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `the channel 'batch' is not available: ${why}; without it being asked for, the socket uses 'portable'`,
    { cause },
  )
}

function fromEnvironment(): ChannelKind | null {
  const value = process.env[VARIABLE]
  if (value === undefined || value === '') return null
  if (isKind(value)) return value
  throw invalid(VARIABLE, value, CHOICES)
}

function isKind(value: unknown): value is ChannelKind {
  return value === 'batch' || value === 'portable'
}

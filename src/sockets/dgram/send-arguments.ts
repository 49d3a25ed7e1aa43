/** The many forms of dgram's send(), made into one. */
// Imported, since Node looks the global one up anew for each message.
import { Buffer } from 'node:buffer'
import { isConnected, nodeError } from './internals.js'

export interface Sending {
  readonly message: Buffer
  /** 0 where the socket is connected. */
  readonly port: number
  /** As it was given; undefined for loopback, or where the socket is connected. */
  readonly address: string | undefined
  readonly callback: SentCallback | undefined
}

export type SentCallback = (error: Error | null, bytes?: number) => void

/**
 * Reads the arguments as node:dgram does; they have the names that they have in its longest form.
 * @throws node:dgram's own errors
 */
export function sendArguments(
  connected: boolean,
  message: unknown,
  offset: unknown,
  length: unknown,
  port: unknown,
  address: unknown,
  callback: unknown,
): Sending {
  return connected
    ? connectedForm(message, offset, length, port, address)
    : unconnectedForm(message, offset, length, port, address, callback)
}

/** send(message[, callback]), send(message, offset, length[, callback]) */
function connectedForm(
  message: unknown,
  offset: unknown,
  length: unknown,
  port: unknown,
  address: unknown,
): Sending {
  const sliced = typeof length === 'number'
  const callback = sliced ? port : offset
  const other = sliced && typeof port === 'function' ? undefined : port
  if (other || address) throw isConnected()
  const bytes = sliced ? slice(message, offset, length) : wholeMessage(message)
  if (bytes === undefined) throw refusal(sliced ? [message, offset, length, 1] : [message, 1])
  return { message: bytes, port: 0, address: undefined, callback: asCallback(callback) }
}

/** send(message, port[, address][, callback]), send(message, offset, length, port[, address][, callback]) */
function unconnectedForm(
  message: unknown,
  second: unknown,
  third: unknown,
  fourth: unknown,
  fifth: unknown,
  sixth: unknown,
): Sending {
  const sliced = Boolean(fifth || (fourth && typeof fourth !== 'function'))
  const port = sliced ? fourth : second
  const host = sliced ? fifth : third
  const last = sliced ? sixth : fourth
  const bytes = sliced ? slice(message, second, third) : wholeMessage(message)
  const address = typeof host === 'function' ? undefined : host
  if (bytes === undefined || !isPort(port) || !isHost(address))
    throw refusal([message, second, third, fourth, fifth, sixth])
  return {
    message: bytes,
    port: Number(port),
    address: address || undefined,
    callback: asCallback(typeof host === 'function' ? host : last),
  }
}

/** Undefined where Node refuses it. */
function slice(message: unknown, offset: unknown, length: unknown): Buffer | undefined {
  const bytes = asBuffer(message)
  const start = (offset as number) >>> 0
  const end = start + ((length as number) >>> 0)
  return bytes === undefined || end > bytes.length ? undefined : bytes.subarray(start, end)
}

function wholeMessage(message: unknown): Buffer | undefined {
  if (!Array.isArray(message)) return asBuffer(message)
  const parts = message.map(asBuffer)
  if (!parts.every(each => each !== undefined)) return undefined
  return parts.length === 1 ? parts[0] : Buffer.concat(parts)
}

function asBuffer(value: unknown): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value
  if (typeof value === 'string') return Buffer.from(value)
  if (ArrayBuffer.isView(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  return undefined
}

function isPort(value: unknown): boolean {
  if (typeof value === 'string' && value.trim() === '') return false
  if (typeof value !== 'number' && typeof value !== 'string') return false
  const port = Number(value)
  return Number.isInteger(port) && port > 0 && port <= 65535
}

function isHost(value: unknown): value is string | undefined {
  return value === undefined || value === null || typeof value === 'string'
}

function asCallback(value: unknown): SentCallback | undefined {
  return typeof value === 'function' ? (value as SentCallback) : undefined
}

/** How Node says it; where it would have let them pass, ours. */
function refusal(args: unknown[]): Error {
  const error = nodeError('send', args) as Error & { code?: string }
  if (error.code !== 'ERR_SOCKET_DGRAM_NOT_RUNNING') return error
  return Object.assign(new TypeError('these arguments of send() cannot be used'), {
    code: 'ERR_INVALID_ARG_VALUE',
  })
}

/** What send() does with a message, from the name of its destination to the endpoint. */

import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import { MAX_MESSAGE_BYTES, type PeerAddress } from '../../providers/datagram-provider.js'
import { destination, isOwnAddress, standsForMany } from './addresses.js'
import { ownAddress } from './base-events.js'
import { finishWhenDone, protect, tell } from './endpoint.js'
import { canceled, failSend, unsupported } from './errors.js'
import { dgramSocket } from './internals.js'
import { loopback, typeOf } from './resolver.js'
import type { SentCallback } from './send-arguments.js'
import type { DgramState } from './state.js'
import { applyHostName, nameFailure } from './target-names.js'

/** The largest datagram of UDP over IPv4. */
const MAX_DATAGRAM_BYTES = 65507

export function sendTo(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  port: number,
  address: string | undefined,
  callback: SentCallback | undefined,
): void {
  if (state.connect === 'connected' && state.remote && port === 0) {
    deliver(socket, state, message, state.remote.address, state.remote.port, state.host, callback)
    return
  }
  const host = address ?? loopback(typeOf(socket))
  const failed = nameFailure(state, host, host, port)
  if (failed) {
    refuse(socket, failed, { address: host, port }, callback)
    return
  }
  if (state.resolver.knows(host)) {
    found(socket, state, message, host, port, host, callback)
    return
  }
  const kept = Buffer.from(message)
  state.lookups += 1
  state.resolver.resolve(address, typeOf(socket), (error, ip) => {
    state.lookups -= 1
    if (error && !state.closed) failSend(socket, error, callback)
    else found(socket, state, kept, ip, port, host, callback)
    if (state.closing) finishWhenDone(socket, state)
  })
}

/** The host has this address. */
function found(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  ip: string,
  port: number,
  host: string,
  callback: SentCallback | undefined,
): void {
  if (!state.closed) deliver(socket, state, message, ip, port, host, callback)
  else if (callback) process.nextTick(callback, canceled())
  if (state.closing) finishWhenDone(socket, state)
}

/** @param host what the application called it */
function deliver(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  ip: string,
  port: number,
  host: string,
  callback: SentCallback | undefined,
): void {
  const address = destination(ip)
  state.own ??= ownAddress(socket)
  const inside = state.own !== null && isOwnAddress(state.own, address, port)
  const refused = inside
    ? oversize(message, MAX_DATAGRAM_BYTES, address, port)
    : (refusal(state, message, address, port, host) ??
      applyHostName(socket, state, host, address, port))
  if (refused) {
    refuse(socket, refused, { address, port }, callback)
  } else if (inside) {
    deliverInside(socket, state, message, { address, port }, callback)
  } else {
    protect(socket, state, message, address, port, host, callback)
  }
}

/** node:dgram does not emit an 'error' for what it refuses either. */
function refuse(
  socket: Socket,
  error: Error,
  peer: PeerAddress,
  callback: SentCallback | undefined,
): void {
  if (callback) process.nextTick(callback, error)
  else process.nextTick(tell, socket, 'peerError', error, peer)
}

/** Why a datagram is not sent to where it should go. */
function refusal(
  state: DgramState,
  message: Buffer,
  address: string,
  port: number,
  host: string,
): Error | undefined {
  const tooLarge = oversize(message, MAX_MESSAGE_BYTES, address, port)
  if (tooLarge) return tooLarge
  if (message.length === 0) {
    return new SocketSecurityError(
      'EOPNOTSUPP',
      'an empty datagram cannot be secured: send at least one byte',
      { syscall: 'send', peer: peerText(address, port) },
    )
  }
  if (standsForMany(address)) return unsupported(`sending to ${address}`)
  if (state.sendBlockList?.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')) {
    return Object.assign(new Error(`IP(${address}) is blocked by net.BlockList`), {
      code: 'ERR_IP_BLOCKED',
    })
  }
  return nameFailure(state, host, address, port)
}

function oversize(message: Buffer, most: number, address: string, port: number): Error | undefined {
  if (message.length <= most) return undefined
  const peer = peerText(address, port)
  // What no datagram can carry is refused in Node's words.
  const text =
    message.length > MAX_DATAGRAM_BYTES
      ? `send EMSGSIZE ${address}:${port}`
      : `the message to ${peer} has ${message.length} bytes: a secured datagram carries ${most} at most`
  const error = new SocketSecurityError('EMSGSIZE', text, { syscall: 'send', peer })
  return Object.assign(error, { address, port })
}

/** From this socket to itself: there is no wire, and nobody to authenticate. */
function deliverInside(
  socket: Socket,
  state: DgramState,
  message: Buffer,
  from: PeerAddress,
  callback: SentCallback | undefined,
): void {
  const copy = Buffer.from(message)
  const family = from.address.includes(':') ? 'IPv6' : 'IPv4'
  const rinfo = { ...from, family, size: copy.length, peer: undefined, targetName: undefined }
  setImmediate(() => {
    if (!state.closing) dgramSocket.emit.call(socket, 'message', copy, rinfo)
  })
  if (callback) process.nextTick(callback, null, copy.length)
}

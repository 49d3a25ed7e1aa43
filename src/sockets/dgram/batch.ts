/** Between a socket and its batch channel: how it begins, what it brings, and how it ends. */
import type { Socket } from 'node:dgram'
import { BatchChannel } from '../../channels/batch/batch-channel.js'
import type { ChannelObserver } from '../../channels/channel.js'
import { onIcmpError } from './base-events.js'
import { noBatch } from './channel-choice.js'
import { finishWhenDone, receive } from './endpoint.js'
import { hasIcmpCode } from './errors.js'
import type { UdpHandle } from './handle.js'
import { typeOf } from './resolver.js'
import type { DgramState } from './state.js'

/**
 * In the tick in which Node has bound the socket, and has begun to read it: libuv has read nothing
 * yet, and reads nothing from now on.
 * @returns why there is no channel, where just this one was asked for
 */
export function startChannel(socket: Socket, state: DgramState): Error | undefined {
  const { channelChoice, handle, descriptor } = state
  if (channelChoice?.kind !== 'batch' || state.channel !== null || state.closed) return undefined
  if (handle === null || descriptor === -1) return undefined
  const family = typeOf(socket) === 'udp6' ? 6 : 4
  let channel: BatchChannel | undefined
  try {
    channel = new BatchChannel(descriptor, family, observer(socket, state))
    const status = handle.recvStop?.()
    if (status !== 0) throw new Error(`Node's handle reads on (${status})`)
    channel.start()
  } catch (error) {
    channel?.close()
    if (channelChoice.required) return noBatch('the system does not let it read the socket', error)
    state.channelChoice = { kind: 'portable', required: false }
    handle.recvStart?.()
    return undefined
  }
  closeWith(handle, channel)
  if (state.unreferenced) channel.unref()
  state.channel = channel
  return undefined
}

/** Whoever closes the handle closes the descriptor: the system gives its number to others at once. */
function closeWith(handle: UdpHandle, channel: BatchChannel): void {
  const { close } = handle
  handle.close = function (this: UdpHandle, ...args) {
    channel.close()
    return close.apply(this, args)
  }
}

function observer(socket: Socket, state: DgramState): ChannelObserver {
  return {
    received(datagrams, segment, address, port) {
      if (!isBlocked(state, address)) receive(socket, state, datagrams, address, port, segment)
      return !state.closed
    },
    failed(error) {
      if (state.closed) return
      if (hasIcmpCode(error)) onIcmpError(socket, state, error)
      // Where nobody listens it is thrown, and that is no affair of the channel's.
      else process.nextTick(() => socket.emit('error', error))
    },
    drained() {
      if (state.closing) finishWhenDone(socket, state)
    },
  }
}

/** Node asks this list for what it reads itself. */
function isBlocked({ receiveBlockList }: DgramState, address: string): boolean {
  return receiveBlockList?.check(address, address.includes(':') ? 'ipv6' : 'ipv4') ?? false
}

/** Sockets of the system under Node's handle, as the batch channel needs them, with nothing secured. */
import dgram, { type Socket } from 'node:dgram'
import type { Test } from 'tap'
import * as linux from '../../../lib/linux-sockets.js'
import { openBatchSocket } from '../../../src/channels/batch/open-socket.js'
import { handleOf, type UdpHandle } from '../../../src/sockets/dgram/handle.js'
import { event } from '../../support/events.js'

export const LOOPBACK = '127.0.0.1'

export interface AdoptedSocket {
  readonly socket: Socket
  readonly descriptor: number
  readonly port: number
}

/** Bound, and read by nobody. Closed with the test. */
export async function adopted(
  t: Pick<Test, 'teardown'>,
  address = LOOPBACK,
): Promise<AdoptedSocket> {
  const isIpv6 = address.includes(':')
  const { descriptor } = openBatchSocket(isIpv6 ? 6 : 4)
  const socket = dgram.createSocket(isIpv6 ? 'udp6' : 'udp4')
  t.teardown(() => end(socket))
  const handle = handleOf(socket) as UdpHandle
  const status = handle.open(descriptor)
  if (status !== 0) throw new Error(`Node did not take the socket: ${status}`)
  socket.bind(0, address)
  socket.once('listening', () => handle.recvStop?.())
  await event(socket, 'listening')
  return { socket, descriptor, port: socket.address().port }
}

/** A plain socket, whose datagrams the system cuts into pieces of `segment` bytes where that is given. */
export async function farEnd(
  t: Pick<Test, 'teardown'>,
  segment = 0,
  address = LOOPBACK,
): Promise<Socket> {
  const { socket, descriptor } = await adopted(t, address)
  if (segment > 0) {
    const status = linux.setsockopt(descriptor, linux.SOL_UDP, linux.UDP_SEGMENT, segment)
    if (status !== 0) throw new Error(`UDP_SEGMENT: ${status}`)
  }
  return socket
}

/** Once all of it is in the other's socket: on loopback, sending is delivering. */
export function delivered(from: Socket, datagram: Uint8Array, port: number, address = LOOPBACK) {
  return new Promise<void>((resolve, reject) => {
    from.send(datagram, port, address, error => (error ? reject(error) : resolve()))
  })
}

/** Also of one that is closed already. */
export function end(socket: Socket): void {
  try {
    socket.close()
  } catch {
    // It is.
  }
}

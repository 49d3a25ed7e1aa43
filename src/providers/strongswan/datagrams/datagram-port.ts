/** The port of a datagram socket: bound, with nothing in it that came before it was guarded. */
import { constants } from 'node:os'
import * as linux from '../../../../lib/linux-sockets.js'
import { systemError } from '../../../channels/batch/system-error.js'
import type { NativeBinding, PeerAddress } from '../../datagram-provider.js'
import { bindSocket, type LinuxSocket, makeSocket } from '../host/linux-socket.js'

/** How often a port is looked for that nobody takes before we do. */
const TRIES = 50

/** Sockets of this process that are closed and have their port for a moment yet. */
const lingering = new Set<Promise<void>>()

/** The port is in use until then, whatever the program knows of it. */
export function lingers(until: Promise<void>): void {
  lingering.add(until)
  until.finally(() => lingering.delete(until))
}

/**
 * Binds a socket that Node's handle has taken, for itself alone (R9).
 * @throws (rejects) a system error with syscall 'bind'
 */
export async function bindDatagrams(
  socket: LinuxSocket,
  { address, port, ipv6Only }: NativeBinding,
): Promise<PeerAddress> {
  // A handle that opens a socket sets it: others could bind to the port then.
  const status = linux.setsockopt(socket.descriptor, linux.SOL_SOCKET, linux.SO_REUSEADDR, 0)
  if (status < 0) throw systemError(status, 'setsockopt')
  if (port === 0) return bindSomewhere(socket, address, ipv6Only)
  const bind = () => bindSocket(socket, { address, port }, { ipv6Only })
  try {
    return bind()
  } catch (error) {
    if (!isInUse(error) || lingering.size === 0) throw error
    await Promise.all(lingering)
    return bind()
  }
}

/**
 * A port of the system's, asked for by its number: what the system has given by itself it takes away
 * when the socket is disconnected, and the next one would not be guarded.
 */
function bindSomewhere(socket: LinuxSocket, address: string, ipv6Only: boolean): PeerAddress {
  for (let tries = 1; ; tries += 1) {
    const port = freePort(socket.family, address, ipv6Only)
    try {
      return bindSocket(socket, { address, port }, { ipv6Only })
    } catch (error) {
      if (!isInUse(error) || tries >= TRIES) throw error
    }
  }
}

function freePort(family: 4 | 6, address: string, ipv6Only: boolean): number {
  const probe = makeSocket('datagram', family)
  try {
    return bindSocket(probe, { address, port: 0 }, { ipv6Only }).port
  } finally {
    probe.discard()
  }
}

function isInUse(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
}

/** Datagrams that are thrown away without a pause; a flood may go on while they are. */
const MOST_DRAINED = 1_000_000
/** Of a datagram that is not read, one byte is enough. */
const sink = new Uint8Array(1)

/**
 * Throws away what has come: in clear, before the port was guarded. What comes later is secured.
 * @throws a system error where it cannot be read
 */
export function drain(descriptor: number): void {
  for (let count = 0; count < MOST_DRAINED; count += 1) {
    const received = linux.recv(descriptor, sink, linux.MSG_DONTWAIT)
    // An ICMP error is told in place of a datagram.
    if (received === -constants.errno.EAGAIN) return
    if (received < 0 && !isTransient(received)) throw systemError(received, 'recv')
  }
}

function isTransient(status: number): boolean {
  const { EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EACCES, EPROTO } =
    constants.errno
  const transient = [EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EACCES, EPROTO]
  return transient.includes(-status)
}

/** Sockets of our own making, bound and guarded before a handle of Node's takes them. */
import * as linux from '../../../../lib/linux-sockets.js'
import {
  readSource,
  SOCKADDR_WORDS,
  sockaddr,
  sockaddrBytes,
} from '../../../channels/batch/sockaddr.js'
import { systemError } from '../../../channels/batch/system-error.js'
import { SocketSecurityError } from '../../../model/errors.js'
import type { SocketKind } from '../../../model/settings.js'
import type { PeerAddress } from '../../datagram-provider.js'
import type { NativeDescriptor } from '../../provider.js'

/** A descriptor; ours until a handle has opened it, or it is discarded. */
export interface LinuxSocket extends NativeDescriptor {
  readonly family: 4 | 6
  /** May its number still be used? It is ours and open, or that very handle still holds it. */
  alive(): boolean
  /** The handle is closing: its number means nothing from the next call on. */
  closing(): void
}

/**
 * A new socket that does not block and that children do not inherit.
 * @throws a system error; SocketSecurityError EAFNOSUPPORT where the machine has not that family
 */
export function makeSocket(kind: SocketKind, family: 4 | 6): LinuxSocket {
  const domain = family === 4 ? linux.AF_INET : linux.AF_INET6
  const type = kind === 'stream' ? linux.SOCK_STREAM : linux.SOCK_DGRAM
  const descriptor = linux.socket(domain, type | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC, 0)
  if (descriptor < 0) throw notMade(systemError(descriptor, 'socket'), family)
  let owned = true
  let held: (() => boolean) | undefined
  return {
    descriptor,
    family,
    alive: () => owned || held?.() === true,
    adopted(alive) {
      owned = false
      held = alive
    },
    closing() {
      held = undefined
    },
    discard() {
      // Its number may be somebody else's by now.
      if (!owned) return
      owned = false
      linux.close(descriptor)
    },
  }
}

export interface BindOptions {
  /** As of net.Server: connections that linger from before do not keep the port. */
  readonly reuseAddress?: boolean
  readonly ipv6Only?: boolean
}

/**
 * Binds it.
 * @returns where: the port is one of the system's where none was asked for
 * @throws an error as Node makes it, with syscall 'bind' and libuv's number as errno: EADDRINUSE,
 * EADDRNOTAVAIL, EACCES…
 */
export function bindSocket(
  { descriptor, family }: LinuxSocket,
  { address, port }: PeerAddress,
  { reuseAddress = false, ipv6Only }: BindOptions = {},
): PeerAddress {
  const name = sockaddr(family, address, port)
  const status =
    option(reuseAddress, () =>
      linux.setsockopt(descriptor, linux.SOL_SOCKET, linux.SO_REUSEADDR, 1),
    ) ||
    option(family === 6 && ipv6Only !== undefined, () =>
      linux.setsockopt(descriptor, linux.IPPROTO_IPV6, linux.IPV6_V6ONLY, ipv6Only ? 1 : 0),
    ) ||
    (name === undefined ? -22 : linux.bind(descriptor, name, sockaddrBytes(family)))
  if (status !== 0) throw systemError(status, 'bind', { address, port })
  return boundAddress(descriptor)
}

/**
 * Where a descriptor is bound.
 * @throws a system error
 */
export function boundAddress(descriptor: number): PeerAddress {
  const words = new Uint32Array(SOCKADDR_WORDS)
  const status = linux.getsockname(descriptor, words)
  if (status !== 0) throw systemError(status, 'getsockname')
  return readSource(words, 0)
}

function option(wanted: boolean, set: () => number): number {
  return wanted ? set() : 0
}

/** Without IPv6 a machine listens on IPv4: that is looked for by this code. */
function notMade(error: Error, family: 4 | 6): Error {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'EAFNOSUPPORT') return error
  return new SocketSecurityError('EAFNOSUPPORT', `this machine has no IPv${family}`, {
    syscall: 'socket',
    cause: error,
  })
}

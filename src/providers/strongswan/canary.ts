/**
 * Whether the kernel still has the daemon's policies, as a process without any privilege can see it:
 * connect(2) of a datagram socket asks for a route, and the kernel refuses one with EPERM where a
 * guard drops what would go there. Nothing is ever sent.
 *
 * strongSwan takes guards away in the reverse of the order in which they came when it is stopped. So
 * the canary is put behind each new guard again, and is the first one that dies.
 */
import { networkInterfaces } from 'node:os'
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  connect,
  getsockname,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  setsockopt,
  socket,
} from '../../../lib/linux-sockets.js'
import {
  readSource,
  SOCKADDR_WORDS,
  sockaddr,
  sockaddrBytes,
} from '../../channels/batch/sockaddr.js'
import { systemError } from '../../channels/batch/system-error.js'
import { SocketSecurityError } from '../../model/errors.js'

const EPERM = -1
/** ENETDOWN, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EINVAL: nothing could go there anyway. */
const nowhere = new Set([-100, -101, -113, -99, -22])

export interface Canary {
  readonly port: number
  /** Whether a guard of its port is in the kernel. */
  lives(remoteAddress?: string): boolean
  close(): void
}

export function openCanary(): Canary {
  const { fd, family } = openSocket()
  const port = bindSomewhere(fd, family)
  const bytes = sockaddrBytes(family)
  let last: string | undefined
  let words: Uint32Array | undefined
  return {
    port,
    lives(remoteAddress = last ?? neighbour()) {
      if (remoteAddress === undefined) return true
      if (remoteAddress !== last) {
        words = sockaddr(family, remoteAddress, 9)
        last = remoteAddress
      }
      // An address that the socket cannot even name: nothing can be sent there by such a socket.
      if (words === undefined) return true
      const status = connect(fd, words, bytes)
      return status === EPERM || nowhere.has(status) || isOwn(remoteAddress)
    },
    close: () => {
      close(fd)
    },
  }
}

function openSocket(): { fd: number; family: 4 | 6 } {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const dual = socket(AF_INET6, type, 0)
  if (dual >= 0) {
    setsockopt(dual, IPPROTO_IPV6, IPV6_V6ONLY, 0)
    return { fd: dual, family: 6 }
  }
  const fd = socket(AF_INET, type, 0)
  if (fd < 0) throw systemError(fd, 'socket')
  return { fd, family: 4 }
}

function bindSomewhere(fd: number, family: 4 | 6): number {
  const any = sockaddr(family, family === 6 ? '::' : '0.0.0.0', 0) as Uint32Array
  const name = new Uint32Array(SOCKADDR_WORDS)
  const status = bind(fd, any, sockaddrBytes(family)) || getsockname(fd, name)
  if (status < 0) {
    close(fd)
    throw systemError(status, 'bind')
  }
  return readSource(name, 0).port
}

/**
 * Some address that the host has a route to: next to one of its own. Nothing is sent there.
 */
function neighbour(): string | undefined {
  for (const { address, family, internal } of Object.values(networkInterfaces()).flatMap(
    each => each ?? [],
  )) {
    if (internal || family !== 'IPv4') continue
    const bytes = address.split('.').map(Number)
    bytes[3] = (bytes[3] as number) ^ 1
    const next = bytes.join('.')
    if (!isOwn(next)) return next
  }
  return undefined
}

/** Linux applies no policy to what goes to its own addresses: that tells nothing. */
function isOwn(address: string): boolean {
  if (address.startsWith('127.') || address === '::1') return true
  return Object.values(networkInterfaces()).some(each => each?.some(own => own.address === address))
}

/** The daemon has a guard, and the kernel does not know of it. */
export function noPolicies(path: string): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `the IPsec policies of the strongSwan at ${path} are not in the kernel where this process runs: the daemon was stopped, or it runs in another network namespace, or its plugin is not kernel-netlink`,
  )
}

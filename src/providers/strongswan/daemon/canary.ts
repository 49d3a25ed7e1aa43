/**
 * Whether the kernel still has the daemon's policies, as a process without any privilege can see it:
 * connect(2) of a datagram socket asks for a route, and the kernel refuses one with EPERM where a
 * guard drops what would go there. Nothing is ever sent.
 *
 * Each guard covers the port of a canary, too, and loses that part first. So a canary that lives
 * says that the guard is there, and that it was there when what has been received came in.
 */
import { constants, networkInterfaces } from 'node:os'
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  connect,
  getsockname,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_BROADCAST,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  setsockopt,
  socket,
} from '../../../../lib/linux-sockets.js'
import {
  readSource,
  SOCKADDR_WORDS,
  sockaddr,
  sockaddrBytes,
} from '../../../channels/batch/sockaddr.js'
import { systemError } from '../../../channels/batch/system-error.js'
import { SocketSecurityError } from '../../../model/errors.js'

const { EACCES, EADDRINUSE, EADDRNOTAVAIL, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, EPERM } =
  constants.errno
/** Nothing could go there anyway. EACCES: a route that prohibits. */
const nowhere = new Set([ENETDOWN, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EINVAL, EACCES])
/** Ports that others may take before us. */
const TRIES = 20
/** AF_UNSPEC: undoes a connect(2). */
const unspecified = new Uint32Array(SOCKADDR_WORDS)
/** The port of no service that matters (RFC 863); nothing is sent there. */
const DISCARD = 9

export interface Canary {
  readonly port: number
  /**
   * Whether its guard is in the kernel.
   * @param remoteAddress whom something is about to be sent to; absent: as before
   */
  lives(remoteAddress?: string): boolean
  close(): void
}

/**
 * @param localAddress the one that the guard is for; absent: every one
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where it could not tell
 */
export function openCanary(localAddress?: string): Canary {
  const { fd, family } = openSocket(localAddress)
  const bytes = sockaddrBytes(family)
  let last: string | undefined
  /** The last one that a guard has kept it from. */
  let kept: string | undefined
  let words: Uint32Array | undefined
  /** The errno of connect(2), or 0. */
  const ask = (remoteAddress: string | undefined): number => {
    if (remoteAddress !== last) {
      words = remoteAddress === undefined ? undefined : sockaddr(family, remoteAddress, DISCARD)
      last = remoteAddress
    }
    // What the socket cannot even name, nothing can be sent to.
    if (words === undefined) return ENETUNREACH
    const error = -connect(fd, words, bytes)
    // The source that it has chosen would be wrong for the next address.
    if (error === 0) connect(fd, unspecified, bytes)
    if (error === EPERM) kept = remoteAddress
    return error
  }
  try {
    const port = bindSomewhere(fd, family, localAddress)
    if (ask(neighbour(localAddress)) === EPERM) throw blocked()
    return {
      port,
      lives(remoteAddress) {
        const address = remoteAddress ?? kept ?? neighbour(localAddress)
        const error = ask(address)
        if (error === EPERM || (address !== undefined && isOwn(address))) return true
        // Only a route says that the guard is gone. Where there is none, another address is asked,
        // unless it is this very one that something is about to be sent to.
        if (error === 0) return false
        if (remoteAddress !== undefined && nowhere.has(error)) return true
        const other = ask(neighbour(localAddress))
        return other === EPERM || nowhere.has(other)
      },
      close: () => {
        close(fd)
      },
    }
  } catch (error) {
    close(fd)
    throw error
  }
}

function openSocket(localAddress: string | undefined): { fd: number; family: 4 | 6 } {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const dual = localAddress?.includes(':') === false ? -1 : socket(AF_INET6, type, 0)
  if (dual >= 0) {
    setsockopt(dual, IPPROTO_IPV6, IPV6_V6ONLY, localAddress === undefined ? 0 : 1)
    return { fd: withBroadcast(dual), family: 6 }
  }
  const fd = socket(AF_INET, type, 0)
  if (fd < 0) throw systemError(fd, 'socket')
  return { fd: withBroadcast(fd), family: 4 }
}

/** Without that, EACCES could also mean that the address is one of all hosts. */
function withBroadcast(fd: number): number {
  setsockopt(fd, SOL_SOCKET, SO_BROADCAST, 1)
  return fd
}

/** By its number: what the system has chosen by itself it takes away when a connect(2) is undone. */
function bindSomewhere(fd: number, family: 4 | 6, localAddress: string | undefined): number {
  const address = localAddress ?? (family === 6 ? '::' : '0.0.0.0')
  for (let tries = 1; ; tries++) {
    const port = freePort(localAddress, address)
    const status = bindTo(fd, family, address, port)
    if (status === 0) return port
    if (status !== -EADDRINUSE || tries >= TRIES)
      throw systemError(status, 'bind', { address, port })
  }
}

function freePort(localAddress: string | undefined, address: string): number {
  const { fd, family } = openSocket(localAddress)
  const name = new Uint32Array(SOCKADDR_WORDS)
  try {
    const status = bindTo(fd, family, address, 0) || getsockname(fd, name)
    if (status < 0) throw systemError(status, 'bind', { address, port: 0 })
    return readSource(name, 0).port
  } finally {
    close(fd)
  }
}

function bindTo(fd: number, family: 4 | 6, address: string, port: number): number {
  return bind(fd, sockaddr(family, address, port) as Uint32Array, sockaddrBytes(family))
}

/** Some address that the host has a route to: next to one of its own. */
function neighbour(localAddress: string | undefined): string | undefined {
  for (const { address, family, internal } of ownAddresses()) {
    if (internal || (localAddress ?? address) !== address) continue
    const next = family === 'IPv4' ? beside(address, '.', 10) : beside(address, ':', 16)
    if (next !== undefined && !isOwn(next)) return next
  }
  return undefined
}

/** With another last bit. */
function beside(address: string, separator: string, base: number): string | undefined {
  const end = address.lastIndexOf(separator) + 1
  const last = Number.parseInt(address.slice(end) || '0', base)
  // Of the link only: it means nothing without its interface.
  if (Number.isNaN(last) || /^fe80/i.test(address)) return undefined
  return address.slice(0, end) + (last ^ 1).toString(base)
}

function ownAddresses() {
  return Object.values(networkInterfaces()).flatMap(each => each ?? [])
}

/** Linux applies no policy to what goes to its own addresses: that tells nothing. */
function isOwn(address: string): boolean {
  if (address.startsWith('127.') || address === '::1') return true
  return ownAddresses().some(own => own.address === address)
}

/** Something else forbids it, so that the canary would seem to live whatever happens. */
function blocked(): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    'a filter of the system (BPF, seccomp) forbids this process to connect datagram sockets: so it cannot see whether the IPsec policies of strongSwan are in the kernel',
  )
}

/** The daemon has a guard, and the kernel does not know of it. */
export function noPolicies(path: string): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `the IPsec policies of the strongSwan at ${path} are not in the kernel where this process runs: the daemon was stopped, or it runs in another network namespace, or its plugin is not kernel-netlink`,
  )
}

/** What the error of a send means, by its number (Linux: asm-generic/errno.h). */
import { constants } from 'node:os'

const {
  EACCES,
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
} = constants.errno
// Not in Node's table.
const ENONET = 64
const EHOSTDOWN = 112

/** The system has no room just now; the same datagram can go later. node:dgram takes both so. */
export function isPassing(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS
}

const icmp = new Set([
  EACCES,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
])

/**
 * Perhaps what an ICMP error has left on a connected socket (net/ipv4/icmp.c, net/ipv6/icmp.c): the
 * next send has it, and does not send.
 */
export function mayBeIcmp(errno: number): boolean {
  return icmp.has(errno)
}

/**
 * A message cannot be cut on the way to that destination: its pieces are larger than the MTU, or a
 * device or a transform does not know how.
 */
export function refusesSegments(errno: number): boolean {
  return errno === EINVAL || errno === EMSGSIZE || errno === EIO || errno === EOPNOTSUPP
}

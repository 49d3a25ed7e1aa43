/** The error that node:dgram gives to the callback of a send() which the system refuses. */
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { PeerAddress } from '../../providers/datagram-provider.js'

export function sendError(errno: number, { address, port }: PeerAddress): Error {
  const code = getSystemErrorName(-errno)
  const error = new Error(`send ${code} ${address}:${port}`)
  return Object.assign(error, { errno: -errno, code, syscall: 'send', address, port })
}

const { EAGAIN, ENOBUFS } = constants.errno
const {
  EACCES,
  ECONNREFUSED,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENOPROTOOPT,
  EPROTO,
  EOPNOTSUPP,
} = constants.errno
const { EINVAL, EIO } = constants.errno
/** Linux's alone: not in Node's table on every platform. */
const EHOSTDOWN = 112
const ENONET = 64

/** The system has no room just now; the same datagram can go later. */
export function isPassing(errno: number): boolean {
  return errno === EAGAIN || errno === ENOBUFS
}

/** What an ICMP error leaves behind on a connected socket (net/ipv4/icmp.c, net/ipv6/icmp.c): the next send has it. */
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

export function mayBeIcmp(errno: number): boolean {
  return icmp.has(errno)
}

/**
 * What Linux says where a message cannot be cut on the way to a destination: larger than its MTU, or
 * through a device or a transform that does not know how.
 */
export function refusesSegments(errno: number): boolean {
  return errno === EINVAL || errno === EMSGSIZE || errno === EIO || errno === EOPNOTSUPP
}

/** The address of this host that packets to a peer leave from, unless the socket is bound to another. */
import { constants } from 'node:os'
import * as linux from '../../../../lib/linux-sockets.js'
import {
  readSource,
  SOCKADDR_WORDS,
  sockaddr,
  sockaddrBytes,
} from '../../../channels/batch/sockaddr.js'
import { systemError } from '../../../channels/batch/system-error.js'

/** Any port does: nothing is sent, and the route does not depend on it. */
const DISCARD = 9

/**
 * As the routes say it now. Nothing is sent: the connect(2) of a datagram socket only looks it up.
 * @param remoteAddress an address, of IPv6 with its zone where it has one
 * @returns without a zone
 * @throws a system error, as ENETUNREACH where there is no route, EACCES for a broadcast address
 */
export function sourceAddress(remoteAddress: string): string {
  const family = remoteAddress.includes(':') ? 6 : 4
  const to = sockaddr(family, remoteAddress, DISCARD)
  if (to === undefined)
    throw systemError(-constants.errno.EINVAL, 'connect', { address: remoteAddress, port: 0 })
  const domain = family === 4 ? linux.AF_INET : linux.AF_INET6
  const descriptor = linux.socket(domain, linux.SOCK_DGRAM | linux.SOCK_CLOEXEC, 0)
  if (descriptor < 0) throw systemError(descriptor, 'socket')
  try {
    const connected = linux.connect(descriptor, to, sockaddrBytes(family))
    if (connected < 0) throw systemError(connected, 'connect', { address: remoteAddress, port: 0 })
    const words = new Uint32Array(SOCKADDR_WORDS)
    const named = linux.getsockname(descriptor, words)
    if (named < 0) throw systemError(named, 'getsockname')
    return withoutZone(readSource(words, 0).address)
  } finally {
    linux.close(descriptor)
  }
}

function withoutZone(address: string): string {
  return address.replace(/%.*$/, '')
}

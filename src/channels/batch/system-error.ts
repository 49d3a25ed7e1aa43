/** Errors of the system, as Node makes them. */
import { getSystemErrorName } from 'node:util'
import type { PeerAddress } from '../../providers/datagram-provider.js'

/**
 * As node:dgram's: `send EMSGSIZE 127.0.0.1:5000`, or `recvmsg ECONNREFUSED` where no peer is concerned.
 * @param status -errno
 */
export function systemError(status: number, syscall: string, to?: PeerAddress): Error {
  const code = getSystemErrorName(status) ?? `Unknown system error ${status}`
  const details = to === undefined ? '' : ` ${to.address}:${to.port}`
  const error = new Error(`${syscall} ${code}${details}`)
  return Object.assign(
    error,
    { errno: status, code, syscall },
    to && { address: to.address, port: to.port },
  )
}

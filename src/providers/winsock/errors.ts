/**
 * The numbers of Winsock's errors, as errors that say what to do.
 */
import { describeError } from '../../../lib/kernel32.js'
import { type OwnErrorCode, SocketSecurityError } from '../../model/errors.js'

export interface ErrorContext {
  /** The function that failed. */
  readonly syscall: string
  /** The peer concerned, as `address:port`. */
  readonly peer?: string | undefined
}

/** winerror.h: our code, Winsock's name, and what is to be done about it. */
const known = new Map<number, readonly [code: OwnErrorCode, name: string, advice: string]>([
  [5, ['EACCES', 'ERROR_ACCESS_DENIED', 'the account that this process runs as may not do that']],
  [995, ['ECANCELED', 'WSA_OPERATION_ABORTED', 'the socket was closed, or the call was given up']],
  [
    10013,
    [
      'EACCES',
      'WSAEACCES',
      'the account that this process runs as may not do that, or another socket uses the port exclusively',
    ],
  ],
  [10014, ['EFAULT', 'WSAEFAULT', 'Windows found an address of memory that it cannot use']],
  [
    10022,
    [
      'EINVAL',
      'WSAEINVAL',
      'the socket is bound or secured already, or Windows refuses a value: check the policies, the account and the addresses in the settings',
    ],
  ],
  [10038, ['ENOTSOCK', 'WSAENOTSOCK', 'the socket is closed']],
  [
    10040,
    [
      'EMSGSIZE',
      'WSAEMSGSIZE',
      'Windows wants a larger structure: this version of it may know other ones',
    ],
  ],
  [10045, ['EOPNOTSUPP', 'WSAEOPNOTSUPP', 'this Windows cannot do that with this socket']],
  [10047, ['EAFNOSUPPORT', 'WSAEAFNOSUPPORT', 'use an IPv4 or IPv6 socket']],
  [10048, ['EADDRINUSE', 'WSAEADDRINUSE', 'another socket uses the address: choose another port']],
  [10049, ['EADDRNOTAVAIL', 'WSAEADDRNOTAVAIL', 'this computer has no such address']],
  [
    10054,
    ['ECONNRESET', 'WSAECONNRESET', 'the connection is gone, and so is what is known of its peer'],
  ],
  [10055, ['ENOBUFS', 'WSAENOBUFS', 'Windows has no more room for sockets']],
  [
    10056,
    ['EISCONN', 'WSAEISCONN', 'the socket is connected: set its security and its names before'],
  ],
  [10057, ['ENOTCONN', 'WSAENOTCONN', 'the socket is not connected']],
  [10060, ['ETIMEDOUT', 'WSAETIMEDOUT', 'the peer did not answer']],
  [
    10107,
    [
      'ERR_WINSOCK',
      'WSASYSCALLFAILURE',
      'Windows itself failed: see that its services "Base Filtering Engine" and "IKE and AuthIP IPsec Keying Modules" run',
    ],
  ],
  [
    11032,
    [
      'ERR_WINSOCK',
      'WSA_SECURE_HOST_NOT_FOUND',
      'the name cannot be looked up in a secure way: give the address, or another name',
    ],
  ],
  [
    11033,
    [
      'ERR_WINSOCK',
      'WSA_IPSEC_NAME_POLICY_ERROR',
      'Windows could not make a policy for the name: check the peer target name',
    ],
  ],
])

/**
 * The error for a number that WSAGetLastError() gave.
 * @param error not 0
 */
export function winsockError(error: number, { syscall, peer }: ErrorContext): SocketSecurityError {
  const found = known.get(error)
  const [code, winsock, advice] = found ?? ['ERR_WINSOCK', undefined, systemText(error)]
  const shown = winsock === undefined ? String(error) : `${winsock} (${error})`
  const message = `${syscall} failed with ${shown}${advice === '' ? '' : `: ${advice}`}`
  return new SocketSecurityError(code as OwnErrorCode, message, {
    syscall,
    peer,
    errno: error,
    winsock,
  })
}

/** What Windows says about a number that is not in the table: '' elsewhere. */
function systemText(error: number): string {
  return process.platform === 'win32' ? describeError(error) : ''
}

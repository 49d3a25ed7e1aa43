/**
 * When a call is permitted: the rules of Winsock's WSASetSocketSecurity and its siblings about the
 * state of the socket, in their order of precedence. Rule numbers as in docs/rules.md.
 */
import { isIP } from 'node:net'
import { SocketSecurityError, show } from './errors.js'
import { canonicalAddress } from './target-name.js'

/** What a socket's state is, as far as the rules ask for it. */
export interface SocketState {
  /** Destroyed or closed, or no socket at all. */
  readonly closed: boolean
  /** Neither IPv4 nor IPv6: a pipe, a unix socket or a foreign handle. */
  readonly foreign: boolean
  /** connect() has been called, or the socket was accepted. */
  readonly connected: boolean
  /** bind() or listen() has been called; a datagram socket is bound by its first send as well. */
  readonly bound: boolean
  /** Security settings have been applied. */
  readonly secured: boolean
}

/** May security settings be applied now? Throws ENOTSOCK (R6), EAFNOSUPPORT (R2), EISCONN (R4), EINVAL (R7, R8). */
export function checkSetSecurity(state: SocketState): void {
  const syscall = 'WSASetSocketSecurity'
  checkSocket(state, syscall)
  if (state.connected) throw isConnected('security settings', syscall)
  if (state.bound) {
    throw new SocketSecurityError(
      'EINVAL',
      'the socket is bound or listening already: set its security before bind, listen and the first send',
      { syscall },
    )
  }
  if (state.secured) {
    throw new SocketSecurityError(
      'EINVAL',
      'the security of a socket is set once, and has been set already',
      { syscall },
    )
  }
}

/** May a target name be set now? Throws ENOTSOCK (R6), EAFNOSUPPORT (R2), EISCONN (R18). */
export function checkSetPeerTargetName(state: SocketState): void {
  const syscall = 'WSASetSocketPeerTargetName'
  checkSocket(state, syscall)
  if (state.connected) throw isConnected('a target name', syscall)
}

/** May the security be queried, or the peer impersonated, now? Throws ENOTSOCK (R6), EAFNOSUPPORT (R2), ENOTCONN (R22). */
export function checkQuery(state: SocketState, established: boolean, syscall: string): void {
  checkSocket(state, syscall)
  if (!established) {
    throw new SocketSecurityError(
      'ENOTCONN',
      "the socket is not connected yet: wait for 'connect' or for socket.secured",
      { syscall },
    )
  }
}

/**
 * Can it be the address of a datagram peer? Port 0 stands for all ports of the address. A link-local
 * one needs its link, by name: as the system tells it of those who come from there.
 * Throws EINVAL (R17).
 */
export function checkPeerAddress(address: string, port: number, syscall: string): void {
  if (isIP(address) === 0 || isUnspecified(address)) {
    throw new SocketSecurityError(
      'EINVAL',
      `the peer's address is ${show(address)}: give the address of one host`,
      { syscall },
    )
  }
  if (isIP(address) === 6 && /^fe[89ab]/i.test(address) && !namesLink(address)) {
    throw new SocketSecurityError(
      'EINVAL',
      `the peer's address is ${show(address)}: say on which link it is, as rinfo does, such as fe80::1%eth0`,
      { syscall },
    )
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new SocketSecurityError(
      'EINVAL',
      `the peer's port is ${show(port)}: give 1 to 65535, or none for all ports of the address`,
      { syscall },
    )
  }
}

/** Windows numbers its links, others name them: as `rinfo` has it. */
function namesLink(address: string): boolean {
  return (process.platform === 'win32' ? /%./ : /%.*\D/).test(address)
}

/** 0.0.0.0, :: and ::ffff:0.0.0.0, however they are written. */
function isUnspecified(address: string): boolean {
  const canonical = canonicalAddress(address.replace(/%.*$/, ''))
  return canonical === '0.0.0.0' || canonical === '::'
}

/** May the security of a datagram peer be queried now? Throws ENOTSOCK (R6), ENOTCONN (R22). */
export function checkPeerQuery(
  state: Pick<SocketState, 'closed' | 'foreign'>,
  peer: string,
  secured: boolean,
  syscall: string,
): void {
  checkSocket(state, syscall)
  if (!secured) {
    throw new SocketSecurityError(
      'ENOTCONN',
      `the peer ${peer} is not secured now: send to it, or await socket.secure()`,
      { syscall, peer },
    )
  }
}

/** Is it a socket that can be secured at all? Throws ENOTSOCK (R6), EAFNOSUPPORT (R2): before everything else. */
export function checkSocket(state: Pick<SocketState, 'closed' | 'foreign'>, syscall: string): void {
  if (state.closed) throw notSocket(syscall)
  if (state.foreign) throw unsupportedFamily('this socket', syscall)
}

/** EAFNOSUPPORT for what is neither IPv4 nor IPv6 (R2). */
export function unsupportedFamily(what: string, syscall?: string): SocketSecurityError {
  return new SocketSecurityError(
    'EAFNOSUPPORT',
    `${what} is no IPv4 or IPv6 socket, and only those can be secured: use node:net for pipes and unix sockets`,
    { syscall },
  )
}

function isConnected(what: string, syscall: string): SocketSecurityError {
  return new SocketSecurityError(
    'EISCONN',
    `${what} must be set before connect(); this socket is connected or connecting`,
    { syscall },
  )
}

/** ENOTSOCK (R6). */
export function notSocket(syscall: string): SocketSecurityError {
  return new SocketSecurityError('ENOTSOCK', 'the socket is closed, or no socket', { syscall })
}

/** Why a datagram does not leave, and who is told. */
import type { Socket } from 'node:dgram'
import { SocketSecurityError } from '../../model/errors.js'
import type { SentCallback } from './send-arguments.js'

/** A send or connect that cannot even begin: node:dgram emits this where there is no callback. */
export function failSend(socket: Socket, error: Error, callback: SentCallback | undefined): void {
  if (callback) process.nextTick(callback, error)
  else process.nextTick(() => socket.emit('error', error))
}

export function unsupported(what: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `${what} cannot be secured: a secured datagram goes to one peer that has been authenticated`,
    { syscall: 'send' },
  )
}

export function canceled(): SocketSecurityError {
  return new SocketSecurityError(
    'ECANCELED',
    'the socket was closed before the datagram could leave',
    { syscall: 'send' },
  )
}

/** What routers and hosts say of a datagram, unauthenticated; anything else of recvmsg() is an error of this host. */
const icmpCodes = new Set([
  'EACCES',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMSGSIZE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENONET',
  'ENOPROTOOPT',
  'EOPNOTSUPP',
  'EPROTO',
])

export function isIcmpError(error: unknown): boolean {
  const { syscall } = Object(error) as { syscall?: unknown }
  return syscall === 'recvmsg' && hasIcmpCode(error)
}

/** Of a send, it may also be this host's own: then the next send has it too. */
export function hasIcmpCode(error: unknown): boolean {
  return icmpCodes.has((Object(error) as { code?: string }).code ?? '')
}

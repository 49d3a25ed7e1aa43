/**
 * Acting as a peer in the eyes of Windows. That is a property of the thread, and all JavaScript of
 * a thread runs on it: so it lasts for one synchronous function and is undone before anything else
 * can run. What the function starts (a file being read, a promise) goes on as the process.
 *
 * A thread that cannot be made itself again must run no further line of any program: the process
 * ends there and then.
 */
import { writeSync } from 'node:fs'
import { types } from 'node:util'
import {
  ERROR_NO_TOKEN,
  impersonateLoggedOnUser,
  openThreadToken,
  requireAdvapi32,
  revertToSelf,
  setThreadToken,
  TOKEN_IMPERSONATE,
  TOKEN_QUERY,
} from '../../../lib/advapi32.js'
import { closeHandle, terminateProcess } from '../../../lib/kernel32.js'
import {
  querySocketSecurityNow,
  requireSecureSocketExtensions,
  WSAImpersonateSocketPeer,
  WSARevertImpersonation,
} from '../../../lib/winsock.js'
import { SocketSecurityError } from '../../model/errors.js'
import { winsockError } from './errors.js'
import { SOCKET_SECURITY_PROTOCOL_IPSEC } from './structures/constants.js'
import { readTokens, sizeofQueryInfo } from './structures/query-info.js'
import { sizeofQueryTemplate, writeQueryTemplate } from './structures/query-template.js'
import { type SocketAddress, sizeofSockaddrStorage, writeSockaddr } from './structures/sockaddr.js'
import { IMPERSONATE, saysNobody, takeTokens } from './tokens.js'

export interface ImpersonationTarget {
  readonly socket: number
  /** False once the SOCKET is closed: its number may be somebody else's. */
  alive(): boolean
  /** Of a datagram socket: whom. A stream has one peer. */
  readonly address?: SocketAddress | undefined
  /** The peer as `address:port`, for errors. */
  readonly peer?: string | undefined
}

const syscall = 'WSAImpersonateSocketPeer'

/**
 * Runs `fn` with this thread acting as the peer, and gives back what it returns. Within it another
 * peer can be impersonated; afterwards the thread acts as the first one again.
 * @throws what `fn` throws; SocketSecurityError EINVAL for a function that is not synchronous
 * (where it shows only by its result, it has run), ENOTSOCK, ERR_PEER_NOT_AUTHENTICATED where
 * Windows has no token of the peer, and by errors.ts
 */
export function impersonatePeer<T>(target: ImpersonationTarget, fn: () => T): T {
  checkSynchronous(fn, target)
  if (!target.alive())
    throw new SocketSecurityError('ENOTSOCK', 'the socket is closed', {
      syscall,
      peer: target.peer,
    })
  // Nothing is loaded once the thread acts as somebody else.
  requireSecureSocketExtensions()
  requireAdvapi32()
  const before = ownToken()
  const guard = before === 0 ? guardOthers() : undefined
  let result: T
  try {
    try {
      // Somebody else's token must not pass for the peer's.
      if (before !== 0) actAsProcess()
      become(target)
      result = fn()
    } finally {
      restore(before)
      guard?.()
    }
  } finally {
    if (before !== 0) closeHandle(before)
  }
  if (typeof (result as { then?: unknown } | null | undefined)?.then !== 'function') return result
  // What becomes of it concerns nobody any more, who is told now that it was wrong.
  if (types.isPromise(result)) result.catch(() => {})
  throw notSynchronous('it has returned a promise', target)
}

/**
 * Whom the function does not come back to: process.exit() calls the listeners of 'exit' before it
 * does, and the time limit of node:vm ends a function without its `finally`.
 * @returns what ends it
 */
function guardOthers(): () => void {
  const left = setImmediate(() => revert())
  process.prependListener('exit', revert)
  return end

  function revert(): void {
    restore(0)
    end()
  }

  function end(): void {
    clearImmediate(left)
    process.off('exit', revert)
  }
}

function checkSynchronous(fn: unknown, target: ImpersonationTarget): void {
  if (typeof fn !== 'function') throw notSynchronous('it is no function', target)
  if (types.isAsyncFunction(fn)) throw notSynchronous('it is an async function', target)
  if (types.isGeneratorFunction(fn)) throw notSynchronous('it is a generator function', target)
}

function notSynchronous(why: string, { peer }: ImpersonationTarget): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `what runs as the peer must be a function that does all its work before it returns, but ${why}: Windows impersonates by thread, and what runs later would run as the process`,
    { syscall, peer },
  )
}

/** The token by which the thread acts for somebody already, to be closed; 0: for its own process. */
function ownToken(): number {
  const { token, error } = openThreadToken(TOKEN_IMPERSONATE | TOKEN_QUERY)
  if (error === 0) return token
  if (error === ERROR_NO_TOKEN) return 0
  throw winsockError(error, { syscall: 'OpenThreadToken' })
}

function actAsProcess(): void {
  const error = revertToSelf()
  if (error !== 0) throw winsockError(error, { syscall: 'RevertToSelf' })
}

/** The peer's token comes from Winsock, or else from a query: the documentation promises the first only for sockets that block. */
function become(target: ImpersonationTarget): void {
  const { socket, address, peer } = target
  const error = WSAImpersonateSocketPeer(socket, address ? storage(address) : null)
  if (error === WSAENOTSOCK) throw winsockError(error, { syscall, peer })
  if (error !== 0 || !isSomebodyElse()) becomeByToken(target)
  if (!isSomebodyElse()) throw unknownPeer(target)
}

const WSAENOTSOCK = 10038

function becomeByToken(target: ImpersonationTarget): void {
  const { socket, address, peer } = target
  const template = Buffer.alloc(sizeofQueryTemplate)
  writeQueryTemplate(template, {
    protocol: SOCKET_SECURITY_PROTOCOL_IPSEC,
    peer: address,
    tokenAccess: IMPERSONATE,
  })
  const info = Buffer.alloc(sizeofQueryInfo)
  const { error, length } = querySocketSecurityNow(socket, template, info)
  if (error !== 0) throw winsockError(error, { syscall: 'WSAQuerySocketSecurity', peer })
  takeTokens(readTokens(info.subarray(0, length)), (userToken, machineToken) => {
    // As Winsock itself: the user, where one was authenticated, or else the machine.
    const token = userToken || machineToken
    if (token === 0) throw unknownPeer(target)
    const failed = impersonateLoggedOnUser(token)
    if (failed !== 0) throw winsockError(failed, { syscall: 'ImpersonateLoggedOnUser', peer })
  })
}

function storage(address: SocketAddress): Buffer {
  const bytes = Buffer.alloc(sizeofSockaddrStorage)
  writeSockaddr(bytes, address, syscall)
  return bytes
}

/** Whatever a function has returned: does the thread act by a token that is somebody's? */
function isSomebodyElse(): boolean {
  const { token, error } = openThreadToken(TOKEN_QUERY)
  // Also of a token without any identity, which cannot be opened (ERROR_CANT_OPEN_ANONYMOUS).
  if (error !== 0) return false
  try {
    return !saysNobody(token)
  } finally {
    closeHandle(token)
  }
}

function unknownPeer({ peer }: ImpersonationTarget): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PEER_NOT_AUTHENTICATED',
    'Windows has no token of the peer: the IPsec policy must authenticate its user or its machine, and must not leave it anonymous',
    { syscall, peer },
  )
}

/** Undoes it by both ways, and believes neither of them. */
function restore(before: number): void {
  try {
    WSARevertImpersonation()
    revertToSelf()
    if (before !== 0 && setThreadToken(before) !== 0) throw new Error('SetThreadToken')
    const { token, error } = openThreadToken(TOKEN_QUERY)
    if (error === 0) closeHandle(token)
    if (error === (before === 0 ? ERROR_NO_TOKEN : 0)) return
  } catch {
    // A stack that is full is no reason to go on as somebody else.
  }
  endProcess()
}

/** No handler of 'exit' or of an uncaught error may run, and none could say as whom it does. */
function endProcess(): never {
  try {
    writeSync(
      2,
      'secure-socket: the impersonation of a peer cannot be reverted (WSARevertImpersonation): the process ends\n',
    )
  } finally {
    terminateProcess(3)
  }
  return process.abort()
}

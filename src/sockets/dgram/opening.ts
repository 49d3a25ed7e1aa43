/**
 * Makes the socket of the system before Node does, where it must be prepared: one whose packets the
 * system secures, on Windows any that is to have its port for itself (R9), and on Linux one that the
 * batch channel reads or that shares its port. Node's handle opens it inside the look-up that bind()
 * begins with, so bind() stays Node's.
 */
import type { Socket } from 'node:dgram'
import { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { NativeDatagramSocket } from '../../providers/datagram-provider.js'
import type { NativeDescriptor } from '../../providers/provider.js'
import { exclusiveSocket } from '../../providers/winsock/exclusive-socket.js'
import { destination } from './addresses.js'
import { canceled } from './errors.js'
import { handleOf } from './handle.js'
import { openOwnSocket, usesOwnSocket } from './own-socket.js'
import { type BeforeUse, typeOf } from './resolver.js'
import type { DgramState, NativeMode } from './state.js'

const syscall = 'WSASetSocketSecurity'

/** What comes before the binding; null where nothing does. */
export function beforeBind(socket: Socket, state: DgramState): BeforeUse | null {
  const { native } = state
  const isPrepared = state.handle !== null && handleOf(socket) === state.handle
  // Node has given an address back that could not be bound: the handle keeps its socket.
  if (native !== null)
    return isPrepared ? null : (_address, done) => openNative(socket, state, native, done)
  const open = preparation(socket, state)
  if (!open) return null
  return (_address, done) => {
    let failure: Error | null = null
    try {
      open()
    } catch (error) {
      failure = error as Error
    }
    process.nextTick(done, failure)
  }
}

/** What comes before the connecting of a bound socket: the system takes no name after it (R18). */
export function beforeConnect(
  state: DgramState,
  { endpoint }: NativeMode,
  port: number,
  host: string,
): BeforeUse {
  const { handshakeTimeout } = state.settings as ParsedSettings
  return (address, done) => {
    const settle = once(state, () => clearTimeout(timer))
    const told = (error: Error | null) => settle(() => done(error))
    const timer = setTimeout(() => told(notNamed(handshakeTimeout)), handshakeTimeout)
    const naming = endpoint.beforeConnect(destination(address), port, host)
    naming.then(() => told(null), told)
  }
}

/** The same where there is no time to wait: of Node's bindSync(). */
export function beforeBindSync(socket: Socket, state: DgramState): void {
  if (state.native !== null) throw notAtOnce('bindSync', 'bind')
  preparation(socket, state)?.()
}

export function notAtOnce(method: string, instead: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `${method}() cannot wait until the system has secured the socket: use ${instead}()`,
    { syscall },
  )
}

/** Why what Node has bound is not the socket that was prepared; undefined where it is. */
export function strangeHandle(socket: Socket, state: DgramState): Error | undefined {
  const isPrepared = state.native !== null || state.handle !== null
  if (!isPrepared || (state.handle !== null && handleOf(socket) === state.handle)) return undefined
  return new SocketSecurityError(
    'EPROTO',
    'the handle of the socket is not the one that was secured: it is closed, and nothing is sent',
    { syscall },
  )
}

/** What prepares a socket that the system does not secure; it may have been prepared before. */
function preparation(socket: Socket, state: DgramState): (() => void) | undefined {
  if (usesOwnSocket(state))
    return () => openOwnSocket(socket, state, made => adopt(socket, state, made))
  if (isExclusive(state) && state.handle === null) return () => openExclusive(socket, state)
  return undefined
}

function isExclusive({ settings }: DgramState): boolean {
  return process.platform === 'win32' && !settings?.sharePort
}

function openExclusive(socket: Socket, state: DgramState): void {
  const refused = adopt(socket, state, exclusiveSocket('datagram', familyOf(socket)))
  if (refused) throw refused
}

function openNative(
  socket: Socket,
  state: DgramState,
  { provider, endpoint }: NativeMode,
  done: (error: Error | null) => void,
): void {
  const settings = state.settings as ParsedSettings
  const abort = new AbortController()
  let made = false
  const settle = once(state, () => {
    clearTimeout(timer)
    if (!made) abort.abort()
  })
  const fail = (error: Error) => settle(() => done(error))
  const timer = setTimeout(
    () => fail(notOpened(settings.handshakeTimeout)),
    settings.handshakeTimeout,
  )
  const opened = (native: NativeDatagramSocket) => {
    made = true
    const taken = settle(() => {
      const refused = adopt(socket, state, native)
      if (!refused) endpoint.attach(native)
      if (!state.closed) done(refused ?? null)
    })
    if (!taken) native.discard()
  }
  const request = { family: familyOf(socket), settings, signal: abort.signal }
  const opening = async () => provider.openSocket(request)
  opening().then(opened, fail)
}

/**
 * One outcome of something that the socket waits for; that of a socket which is closed is nobody's.
 * @param over called before it, or when the socket is closed
 * @returns a function that says whether its outcome is the one
 */
function once(state: DgramState, over: () => void): (outcome: () => void) => boolean {
  let isOver = false
  const settle = (outcome: () => void) => {
    if (isOver) return false
    isOver = true
    state.giveUp = null
    over()
    // What a listener throws is the process's affair, and no failure of a promise.
    process.nextTick(outcome)
    return true
  }
  state.giveUp = () => settle(() => {})
  return settle
}

/** Node's handle takes the socket; where it does not, the socket is discarded. */
function adopt(socket: Socket, state: DgramState, made: NativeDescriptor): Error | undefined {
  // Of a socket that is closed while it is bound, Node may bind it nevertheless, and close it then.
  const handle = handleOf(socket)
  const status = handle?.open(made.descriptor)
  if (handle === undefined || status !== 0) {
    made.discard()
    return state.closed ? canceled() : notTaken(status)
  }
  state.handle = handle
  made.adopted(() => handleOf(socket) === handle)
  return undefined
}

function familyOf(socket: Socket): 4 | 6 {
  return typeOf(socket) === 'udp6' ? 6 : 4
}

function notTaken(status: number | undefined): Error {
  return status === undefined
    ? new SocketSecurityError(
        'ERR_PROVIDER_UNAVAILABLE',
        `Node ${process.version} has no handle that could take a prepared socket: nothing is bound`,
        { syscall },
      )
    : new SocketSecurityError(
        'EPROTO',
        `Node did not take the prepared socket (${status}): nothing is bound`,
        { syscall },
      )
}

function notNamed(milliseconds: number): Error {
  return new SocketSecurityError(
    'ETIMEDOUT',
    `the system did not take the peer's target name within ${milliseconds} ms: the socket is not connected`,
    { syscall: 'WSASetSocketPeerTargetName' },
  )
}

function notOpened(milliseconds: number): Error {
  return new SocketSecurityError(
    'ETIMEDOUT',
    `the system did not secure the socket within ${milliseconds} ms: nothing is bound`,
    { syscall },
  )
}

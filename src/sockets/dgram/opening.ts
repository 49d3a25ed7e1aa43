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
import { portOf } from './binding.js'
import { canceled } from './errors.js'
import { handleOf, nodeStateOf, type UdpHandle } from './handle.js'
import { openOwnSocket, usesOwnSocket } from './own-socket.js'
import { type BeforeUse, typeOf } from './resolver.js'
import type { DgramState, NativeMode } from './state.js'

const syscall = 'WSASetSocketSecurity'

/**
 * What comes before the binding; null where nothing does.
 * @param options the first argument of bind()
 */
export function beforeBind(socket: Socket, state: DgramState, options: unknown): BeforeUse | null {
  const { native } = state
  if (native !== null)
    return (address, done) =>
      openNative(socket, state, native, { address, port: portOf(options) }, done)
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

/** Where bind() is to bind the socket, as the application has said it. */
interface Place {
  readonly address: string
  readonly port: unknown
}

function openNative(
  socket: Socket,
  state: DgramState,
  native: NativeMode,
  place: Place,
  done: (error: Error | null) => void,
): void {
  const settings = state.settings as ParsedSettings
  const abort = new AbortController()
  const { signal } = abort
  let isDone = false
  const settle = once(state, () => {
    clearTimeout(timer)
    if (!isDone) abort.abort()
  })
  const end = (outcome: () => void) => {
    isDone = true
    settle(outcome)
  }
  const fail = (error: Error) => settle(() => done(error))
  const timer = setTimeout(
    () => fail(notOpened(settings.handshakeTimeout)),
    settings.handshakeTimeout,
  )
  const bind = async (made: NativeDatagramSocket) => {
    if (made.bind === undefined) {
      end(() => done(null))
      return
    }
    const status = await statusOf(
      made.bind({
        address: place.address,
        port: numberOf(place.port),
        ipv6Only: Boolean(nodeStateOf(socket).ipv6Only),
        acceptsStrangers: state.boundExplicitly,
        signal,
      }),
    )
    end(() => {
      if (state.closed) return
      // One that was asked for keeps its port for life, as the provider has seen to it.
      state.chosenPort = false
      if (state.handle) bindsNothing(state.handle, status)
      done(null)
    })
  }
  const { handle } = state
  const isPrepared = handle !== null && handleOf(socket) === handle
  // What could not be bound before stays under its handle.
  if (isPrepared && native.socket !== null) {
    bind(native.socket).catch(fail)
    return
  }
  const opened = (made: NativeDatagramSocket) => {
    if (signal.aborted) {
      made.discard()
      return
    }
    const refused = adopt(socket, state, made)
    if (refused) throw refused
    native.socket = made
    native.endpoint.attach(made)
    return bind(made)
  }
  const opening = async () =>
    native.provider.openSocket({ family: familyOf(socket), settings, signal })
  opening().then(opened).catch(fail)
}

/** @returns 0, or the number of the system's error for Node to tell, in its own words */
async function statusOf(binding: Promise<void>): Promise<number> {
  try {
    await binding
    return 0
  } catch (error) {
    const { syscall: call, errno } = error as NodeJS.ErrnoException
    if (call === 'bind' && typeof errno === 'number' && errno < 0) return errno
    throw error
  }
}

/** What the provider has bound Node's handle does not bind again: it only hears the outcome. */
function bindsNothing(handle: UdpHandle, status: number): void {
  const { bind } = handle
  handle.bind = () => {
    if (bind) handle.bind = bind
    return status
  }
}

/** As Node's handle reads it. */
function numberOf(port: unknown): number {
  return Number(port ?? 0) & 0xffff
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
  if (made.closing) tellBeforeClosing(handle, made)
  return undefined
}

/** Whoever closes the handle closes the descriptor: the system gives its number to others at once. */
function tellBeforeClosing(handle: UdpHandle, made: NativeDescriptor): void {
  const { close } = handle
  handle.close = function (this: UdpHandle, ...args) {
    handle.close = close
    made.closing?.()
    return close.apply(this, args)
  }
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

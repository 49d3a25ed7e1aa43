/**
 * A Winsock call that completes later, as a promise.
 *
 * What a pending call writes to must stay where it is until the call has completed, whatever becomes
 * of the socket, the promise or the thread. So each call has one block of native memory that no
 * collector knows, and the block is freed in one place: once the call's event was signalled, or
 * where the call did not pend. A call that is given up is only forgotten by its promise. One that
 * never completes keeps its memory until the process ends.
 *
 * The loop itself asks for the events: at once while a call is young, then by a timer. The system
 * could call back as soon as an event is signalled, but in a thread of its own, and a worker thread
 * whose JavaScript is gone by then cannot be called: the process dies of it (seen). A completion
 * routine would never run, since libuv does not wait alertably, and a thread that waits would have to
 * come from libuv's pool, of which there are four.
 */
import { performance } from 'node:perf_hooks'
import {
  allocateMemory,
  cancelIo,
  closeHandle,
  createEvent,
  freeMemory,
  type Handle,
  isSignalled,
  readMemory,
  writeMemory,
  zeroMemory,
} from '../../../lib/kernel32.js'
import { type Pointer, WSA_IO_PENDING, WSAGetOverlappedResult } from '../../../lib/winsock.js'
import { SocketSecurityError } from '../../model/errors.js'
import { winsockError } from './errors.js'
import {
  hasSucceeded,
  readWsaOverlapped,
  STATUS_PENDING,
  sizeofWsaOverlapped,
  writeWsaOverlapped,
} from './structures/wsaoverlapped.js'

/** The SOCKET that is called on, and how long its number may be used. */
export interface CallTarget {
  readonly socket: number
  /** A handle of Node's has opened it: libuv must not hear of our completions. */
  readonly adopted: boolean
  /** False once the SOCKET is closed: the system gives its number to others at once. */
  alive(): boolean
  /** Milliseconds that the call may take. */
  readonly timeout: number
  /** Gives the call up (ECANCELED). */
  readonly signal?: AbortSignal | undefined
  /** The peer concerned, as `address:port`, for errors. */
  readonly peer?: string | undefined
}

export interface OverlappedRequest {
  /** The function that is called, for errors. */
  readonly syscall: string
  /**
   * What the call reads, and what it writes to: copied to native memory before the call, and wiped
   * there after it. The caller may wipe its own as soon as the promise has been given.
   */
  readonly memory: Buffer
  /** Where in it the answer begins. Default: there is none. */
  readonly answerAt?: number | undefined
  /** Makes the call: 0, WSA_IO_PENDING or another error of Winsock's. */
  call(socket: number, memory: Pointer, overlapped: Pointer): number
  /** A call that was given up has completed all the same: its answer, to be let go. */
  late?(answer: Buffer): void
}

/** A call of this thread that has not completed. */
interface PendingCall {
  readonly target: CallTarget
  readonly request: OverlappedRequest
  readonly block: Block
  /** When it was made, or given up; by performance.now(). */
  since: number
  readonly settle: { resolve(answer: Buffer): void; reject(error: Error): void }
  /** The promise has been rejected; only the memory is still waited for. */
  abandoned: boolean
  readonly stopListening: () => void
}

/** The native memory of a call: WSAOVERLAPPED, then the request's memory; and its event. */
interface Block {
  readonly address: Pointer
  readonly size: number
  readonly event: Handle
}

/** Milliseconds in which a call is young: Windows answers most calls by then, and cancels them. */
const youth = 2
/** Milliseconds between two looks at calls that are older. Windows' timers tick every 16 or so. */
const patience = 5
/** Milliseconds between two looks at calls that nobody waits for. */
const indifference = 500

const pending = new Set<PendingCall>()

/**
 * Makes the call and waits, off the event loop, until it has completed.
 * @returns a copy of the memory from `answerAt` on
 * @throws (rejects) SocketSecurityError by errors.ts; ETIMEDOUT after `timeout`; ECANCELED for a call
 * that was given up; ENOTSOCK for a SOCKET that was closed before or meanwhile
 */
export async function overlapped(target: CallTarget, request: OverlappedRequest): Promise<Buffer> {
  const { signal } = target
  if (!target.alive()) throw closed(target, request)
  if (signal?.aborted) throw cancelled(target, request)
  const block = allocate(request, target.adopted)
  // What throws here may have been called already: then its memory stays.
  const error = request.call(target.socket, memoryOf(block), block.address)
  if (error !== WSA_IO_PENDING) {
    const answer = readAnswer(block, request)
    release(block)
    if (error !== 0) throw failed(error, target, request)
    return answer
  }
  return new Promise((resolve, reject) => {
    const giveUp = () => abandon(call, cancelled(target, request))
    const call: PendingCall = {
      target,
      request,
      block,
      since: performance.now(),
      settle: { resolve, reject },
      abandoned: false,
      stopListening: () => signal?.removeEventListener('abort', giveUp),
    }
    signal?.addEventListener('abort', giveUp, { once: true })
    pending.add(call)
    lookSoon()
  })
}

/** The calls of this thread that have not completed, and how many of them nobody waits for. */
export function pendingCalls(): { readonly pending: number; readonly abandoned: number } {
  return { pending: pending.size, abandoned: [...pending].filter(each => each.abandoned).length }
}

let nextLook: NodeJS.Timeout | undefined
let lookingAtOnce = false

/** Looks at all pending calls as soon as one of them deserves it. */
function lookSoon(): void {
  if (pending.size === 0 || lookingAtOnce) return
  clearTimeout(nextLook)
  const calls = [...pending]
  const now = performance.now()
  if (calls.some(each => now - each.since < youth)) {
    lookingAtOnce = true
    setImmediate(() => {
      lookingAtOnce = false
      look()
    })
    return
  }
  const awaited = calls.some(each => !each.abandoned)
  nextLook = setTimeout(look, awaited ? patience : indifference)
  // A call that somebody waits for keeps the process running, as a request of Node's own does.
  if (!awaited) nextLook.unref()
}

function look(): void {
  const now = performance.now()
  for (const call of [...pending]) {
    if (isSignalled(call.block.event)) complete(call)
    else if (call.abandoned) continue
    else if (!call.target.alive()) abandon(call, closed(call.target, call.request))
    else if (now - call.since >= call.target.timeout)
      abandon(call, timedOut(call.target, call.request))
  }
  lookSoon()
}

/** The call's event was signalled: the system has done with its memory. */
function complete(call: PendingCall): void {
  const { target, request, block } = call
  const { status } = readWsaOverlapped(read(block.address, sizeofWsaOverlapped))
  // The event says that it is complete; what contradicts it may still be written to.
  if (status === STATUS_PENDING) return
  const usable = !call.abandoned && target.alive()
  const error = usable ? WSAGetOverlappedResult(target.socket, block.address).error : 0
  const answer = readAnswer(block, request)
  pending.delete(call)
  release(block)
  if (usable) {
    call.stopListening()
    if (error === 0) call.settle.resolve(answer)
    else call.settle.reject(failed(error, target, request))
    return
  }
  abandon(call, closed(target, request))
  if (hasSucceeded(status)) request.late?.(answer)
}

/** Lets the promise go, and asks the system to give the call up. The memory stays until it has. */
function abandon(call: PendingCall, error: Error): void {
  if (call.abandoned) return
  call.abandoned = true
  call.since = performance.now()
  call.stopListening()
  if (pending.has(call) && call.target.alive()) cancelIo(call.target.socket, call.block.address)
  call.settle.reject(error)
  lookSoon()
}

function allocate({ memory, syscall }: OverlappedRequest, quiet: boolean): Block {
  const size = sizeofWsaOverlapped + memory.length
  const event = createEvent()
  const address = event === 0 ? 0 : allocateMemory(size)
  if (address === 0) {
    if (event !== 0) closeHandle(event)
    throw new SocketSecurityError('ENOBUFS', `${syscall}: Windows has no memory or events left`, {
      syscall,
    })
  }
  const overlappedBytes = Buffer.alloc(sizeofWsaOverlapped)
  writeWsaOverlapped(overlappedBytes, event, quiet)
  writeMemory(address, overlappedBytes)
  writeMemory(address + sizeofWsaOverlapped, memory)
  return { address, size, event }
}

/** The only place that frees. */
function release({ address, size, event }: Block): void {
  zeroMemory(address, size)
  freeMemory(address)
  closeHandle(event)
}

function memoryOf({ address }: Block): Pointer {
  return address + sizeofWsaOverlapped
}

function readAnswer(block: Block, { memory, answerAt = memory.length }: OverlappedRequest): Buffer {
  return read(memoryOf(block) + answerAt, memory.length - answerAt)
}

function read(address: Pointer, bytes: number): Buffer {
  const copy = Buffer.alloc(bytes)
  readMemory(address, copy)
  return copy
}

function failed(error: number, { peer }: CallTarget, { syscall }: OverlappedRequest): Error {
  return winsockError(error, { syscall, peer })
}

function timedOut({ peer, timeout }: CallTarget, { syscall }: OverlappedRequest): Error {
  const message = `${syscall} has not completed within ${timeout} ms: see that Windows' services "Base Filtering Engine" and "IKE and AuthIP IPsec Keying Modules" run`
  return new SocketSecurityError('ETIMEDOUT', message, { syscall, peer })
}

function cancelled({ peer }: CallTarget, { syscall }: OverlappedRequest): Error {
  const message = `${syscall} was given up, since the socket is not needed any more`
  return new SocketSecurityError('ECANCELED', message, { syscall, peer })
}

function closed({ peer }: CallTarget, { syscall }: OverlappedRequest): Error {
  const message = `${syscall} cannot be called, or be waited for: the socket is closed`
  return new SocketSecurityError('ENOTSOCK', message, { syscall, peer })
}

/**
 * A Winsock call that completes later, as a promise.
 */
import type { Pointer } from '../../../lib/winsock.js'

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

export interface OverlappedRequest extends CallTarget {
  /** The function that is called, for errors. */
  readonly syscall: string
  /** Copied to memory that lives until the call has completed, which then is wiped. */
  readonly input?: Buffer | undefined
  /** Bytes of memory for what the call answers. */
  readonly outputSize?: number | undefined
  /** Makes the call: 0, WSA_IO_PENDING or another error of Winsock's. */
  call(at: { overlapped: Pointer; input: Pointer; output: Pointer }): number
  /** A call that was given up did complete: what it answered, to be let go. */
  late?(output: Buffer): void
}

export interface Completion {
  /** Bytes that the call transferred, as WSAGetOverlappedResult says. */
  readonly bytes: number
  /** A copy of the output memory. */
  readonly output: Buffer
}

/**
 * Makes the call and waits for its completion off the event loop.
 * @throws (rejects) SocketSecurityError by errors.ts; ETIMEDOUT after `timeout`; ECANCELED
 */
export async function overlapped(_request: OverlappedRequest): Promise<Completion> {
  throw new Error('to come')
}

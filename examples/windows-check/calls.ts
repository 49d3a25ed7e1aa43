/**
 * The functions of Fwpuclnt.dll, called in any of the ways that are in question. Nothing is thrown:
 * what a call answers is what the report is about.
 */
import {
  allocateMemory,
  cancelIo,
  closeHandle,
  createEvent,
  freeMemory,
  isSignalled,
  readMemory,
  writeMemory,
} from '../../lib/kernel32.js'
import * as winsock from '../../lib/winsock.js'
import { delay } from './sockets.js'
import { type Info, readInfo } from './variants.js'

/**
 * Always with an OVERLAPPED and an event, so that a call which never completes can be given up.
 * `lowBit`: the lowest bit of the event is set, so that no completion port hears of it.
 */
export type Manner = 'overlapped' | 'lowBit'

export interface Outcome {
  /** 0, or an error number of Winsock's. */
  readonly error: number
  /** It did not complete at once. */
  readonly pending: boolean
  /** It never completed. */
  readonly late: boolean
  readonly milliseconds: number
}

export interface QueryOutcome extends Outcome {
  /** What the function says that the answer takes. */
  readonly length: number
  readonly info?: Info
}

export function setSecurity(socket: number, bytes: Buffer | null, manner: Manner = 'overlapped') {
  return call(socket, manner, bytes, 0, ({ input, overlapped }) =>
    winsock.WSASetSocketSecurity(socket, input, bytes?.length ?? 0, overlapped),
  )
}

export function setName(socket: number, bytes: Buffer | null, manner: Manner = 'overlapped') {
  return call(socket, manner, bytes, 0, ({ input, overlapped }) =>
    winsock.WSASetSocketPeerTargetName(socket, input, bytes?.length ?? 0, overlapped),
  )
}

export function deleteName(socket: number, address: Buffer, manner: Manner = 'overlapped') {
  return call(socket, manner, address, 0, ({ input, overlapped }) =>
    winsock.WSADeleteSocketPeerTargetName(socket, input, address.length, overlapped),
  )
}

/** @param room for the answer; null: none is given, the size is asked for */
export async function query(
  socket: number,
  template: Buffer | null,
  room: number | null,
  manner: Manner = 'overlapped',
): Promise<QueryOutcome> {
  let told = 0
  let answer: Buffer = Buffer.alloc(0)
  const size = Buffer.alloc(4)
  size.writeUInt32LE(room ?? 0)
  // The length stands behind the answer, in the same memory.
  const outcome = await call(
    socket,
    manner,
    template,
    (room ?? 0) + size.length,
    ({ input, output, overlapped }) => {
      const lengthAt = output + (room ?? 0)
      writeMemory(lengthAt, size)
      const info = room === null ? 0 : output
      const length = template?.length ?? 0
      return winsock.WSAQuerySocketSecurity(socket, input, length, info, lengthAt, overlapped)
    },
    memory => {
      answer = memory.subarray(0, room ?? 0)
      told = memory.readUInt32LE(room ?? 0)
    },
  )
  const complete = outcome.error === 0 && answer.length >= 24
  return { ...outcome, length: told, ...(complete ? { info: readInfo(answer) } : {}) }
}

/** Milliseconds. */
export const limits = {
  /** How long a call may take before it counts as one that never completes. */
  call: 60_000,
  /** How long it may then take to be given up. */
  cancel: 5_000,
}

const OVERLAPPED_SIZE = 32
const HEVENT_AT = 24

async function call(
  socket: number,
  manner: Manner,
  input: Buffer | null,
  outputSize: number,
  make: (at: { input: number; output: number; overlapped: number }) => number,
  done?: (output: Buffer) => void,
): Promise<Outcome> {
  const started = performance.now()
  const inputAt = input === null ? 0 : allocateMemory(Math.max(1, input.length))
  if (input) writeMemory(inputAt, input)
  const outputAt = outputSize === 0 ? 0 : allocateMemory(outputSize)
  const overlapped = allocateMemory(OVERLAPPED_SIZE)
  const event = createEvent()
  const handle = Buffer.alloc(8)
  handle.writeBigInt64LE(BigInt(manner === 'lowBit' ? event + 1 : event))
  writeMemory(overlapped + HEVENT_AT, handle)

  let error = make({ input: inputAt, output: outputAt, overlapped })
  const pending = error === winsock.WSA_IO_PENDING
  let late = false
  if (pending) {
    late = !(await signalled(event, limits.call))
    if (late) cancelIo(socket, overlapped)
    const over = !late || (await signalled(event, limits.cancel))
    // What may still be written to stays allocated until this process ends.
    if (!over) return { error, pending, late, milliseconds: performance.now() - started }
    error = winsock.WSAGetOverlappedResult(socket, overlapped).error
  }
  if (done) {
    const output = Buffer.alloc(outputSize)
    readMemory(outputAt, output)
    done(output)
  }
  closeHandle(event)
  for (const address of [inputAt, outputAt, overlapped]) if (address) freeMemory(address)
  return { error, pending, late, milliseconds: performance.now() - started }
}

async function signalled(event: number, milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds
  while (!isSignalled(event)) {
    if (performance.now() > deadline) return false
    await delay(2)
  }
  return true
}

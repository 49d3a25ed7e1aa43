/**
 * Windows' kernel32.dll, as far as calls that complete later need it: memory that nothing moves or
 * collects, events, and giving a call up. Thin and without state. Functions and constants have the
 * names of the Windows headers; addresses and handles are numbers, and 0 is none.
 */
import { declareFunction, loadSystemLibrary } from './windows-library.js'

/** The address of native memory; 0 is NULL. */
export type Pointer = number
/** A HANDLE. */
export type Handle = number

/** winbase.h, winnt.h */
const WAIT_OBJECT_0 = 0
const HEAP_ZERO_MEMORY = 8

/** Memory of the process's heap, zeroed; 0 where there is none left. Freed by freeMemory() alone. */
export function allocateMemory(bytes: number): Pointer {
  const { GetProcessHeap, HeapAlloc } = calls()
  return HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, bytes)
}

export function freeMemory(address: Pointer): void {
  const { GetProcessHeap, HeapFree } = calls()
  HeapFree(GetProcessHeap(), 0, address)
}

/** Copies all of the bytes to native memory, which must have room for them. */
export function writeMemory(address: Pointer, bytes: Buffer): void {
  if (bytes.length > 0) calls().writeMemory(address, bytes, bytes.length)
}

/** Fills all of the bytes from native memory. */
export function readMemory(address: Pointer, bytes: Buffer): void {
  if (bytes.length > 0) calls().readMemory(bytes, address, bytes.length)
}

/** Overwrites native memory with zeros. */
export function zeroMemory(address: Pointer, bytes: number): void {
  calls().RtlZeroMemory(address, bytes)
}

/** An event that stays signalled until it is reset, and is not now; 0 where there are none left. */
export function createEvent(): Handle {
  return calls().CreateEventW(0, 1, 0, 0)
}

/** Whether an event is signalled, now. */
export function isSignalled(event: Handle): boolean {
  return calls().WaitForSingleObject(event, 0) === WAIT_OBJECT_0
}

/** False where it was no open handle. */
export function closeHandle(handle: Handle): boolean {
  return calls().CloseHandle(handle) !== 0
}

/** Asks for a pending call to be given up; that it has been is told by its own completion. 0 or an error. */
export function cancelIo(file: Handle, overlapped: Pointer): number {
  const { CancelIoEx, GetLastError } = calls()
  return CancelIoEx(file, overlapped) === 0 ? GetLastError() : 0
}

/** Ends this process, now: no handler of an exit runs, and no further line of any thread. */
export function terminateProcess(code: number): void {
  calls().TerminateProcess(currentProcess, code)
}

/** What GetCurrentProcess() always returns. */
const currentProcess = -1

/** The error of the last call in this thread that keeps one; to be asked at once. */
export function getLastError(): number {
  return calls().GetLastError()
}

/** What Windows says about an error number, in the system's language; '' where it says nothing. */
export function describeError(number: number): string {
  const flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS
  const text = Buffer.alloc(1024)
  const length = calls().FormatMessageW(flags, 0, number, 0, text, text.length / 2, 0)
  return text.toString('utf16le', 0, length * 2).trim()
}

/** winbase.h */
const FORMAT_MESSAGE_IGNORE_INSERTS = 0x200
const FORMAT_MESSAGE_FROM_SYSTEM = 0x1000

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

// biome-ignore format: a declaration a line
function declare() {
  const library = loadSystemLibrary('kernel32.dll')
  const from = <T>(signature: string) => declareFunction<T>(library, 'kernel32.dll', signature)
  return {
    GetLastError: from<() => number>('uint32_t __stdcall GetLastError()'),
    GetProcessHeap: from<() => Handle>('intptr_t __stdcall GetProcessHeap()'),
    HeapAlloc: from<(heap: Handle, flags: number, bytes: number) => Pointer>('intptr_t __stdcall HeapAlloc(intptr_t heap, uint32_t flags, size_t bytes)'),
    HeapFree: from<(heap: Handle, flags: number, address: Pointer) => number>('int __stdcall HeapFree(intptr_t heap, uint32_t flags, intptr_t address)'),
    RtlZeroMemory: from<(address: Pointer, bytes: number) => void>('void __stdcall RtlZeroMemory(intptr_t address, size_t bytes)'),
    writeMemory: from<(to: Pointer, from: Buffer, bytes: number) => void>('void __stdcall RtlMoveMemory(intptr_t to, const void *from, size_t bytes)'),
    readMemory: from<(to: Buffer, from: Pointer, bytes: number) => void>('void __stdcall RtlMoveMemory(void *to, intptr_t from, size_t bytes)'),
    CreateEventW: from<(security: Pointer, manualReset: number, signalled: number, name: Pointer) => Handle>('intptr_t __stdcall CreateEventW(intptr_t security, int manualReset, int signalled, intptr_t name)'),
    WaitForSingleObject: from<(object: Handle, milliseconds: number) => number>('uint32_t __stdcall WaitForSingleObject(intptr_t object, uint32_t milliseconds)'),
    CloseHandle: from<(handle: Handle) => number>('int __stdcall CloseHandle(intptr_t handle)'),
    CancelIoEx: from<(file: Handle, overlapped: Pointer) => number>('int __stdcall CancelIoEx(intptr_t file, intptr_t overlapped)'),
    TerminateProcess: from<(process: Handle, code: number) => number>('int __stdcall TerminateProcess(intptr_t process, uint32_t code)'),
    FormatMessageW: from<(flags: number, source: Pointer, number: number, language: number, text: Buffer, characters: number, args: Pointer) => number>('uint32_t __stdcall FormatMessageW(uint32_t flags, intptr_t source, uint32_t number, uint32_t language, void *text, uint32_t characters, intptr_t args)'),
  }
}

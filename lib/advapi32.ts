/**
 * Windows' advapi32.dll: acting as somebody else in this thread, and whose token it is. Thin and
 * without state. Functions and constants have the names of the Windows headers; handles are numbers,
 * and 0 is none; whoever opens one closes it (closeHandle() in kernel32.ts).
 */
import { getLastError, type Handle, type Pointer, readMemory } from './kernel32.js'
import { declareFunction, loadSystemLibrary } from './windows-library.js'

/** winnt.h: access to tokens */
export const TOKEN_DUPLICATE = 0x0002
export const TOKEN_IMPERSONATE = 0x0004
export const TOKEN_QUERY = 0x0008

/** winerror.h */
export const ERROR_NO_TOKEN = 1008
const ERROR_INSUFFICIENT_BUFFER = 122

/** winnt.h: TOKEN_INFORMATION_CLASS */
const TokenUser = 1

/** UNLEN and DNLEN (lmcons.h) are less; names of groups may be longer. */
const nameCharacters = 512

/** What GetCurrentThread() always returns. */
const currentThread = -2

/** The token that the calling thread acts by: a handle of it, or the error (ERROR_NO_TOKEN: its own process's). */
export function openThreadToken(access: number): { token: Handle; error: number } {
  const { OpenThreadToken } = calls()
  const token = [0]
  // As the process, not as whom the thread acts for: that one need not have the right to look.
  const opened = OpenThreadToken(currentThread, access, 1, token) !== 0
  return { token: token[0] as number, error: opened ? 0 : getLastError() }
}

/** The calling thread acts by this token, which may be a primary one. 0 or the error. */
export function impersonateLoggedOnUser(token: Handle): number {
  const { ImpersonateLoggedOnUser } = calls()
  return ImpersonateLoggedOnUser(token) === 0 ? getLastError() : 0
}

/** The calling thread acts by this token, which it has opened of itself before. 0 or the error. */
export function setThreadToken(token: Handle): number {
  const { SetThreadToken } = calls()
  return SetThreadToken(0, token) === 0 ? getLastError() : 0
}

/** The calling thread acts as its process again. 0 or the error. */
export function revertToSelf(): number {
  const { RevertToSelf } = calls()
  return RevertToSelf() === 0 ? getLastError() : 0
}

/** The SID of a token's user, as bytes; null where the system does not tell. */
export function tokenUser(token: Handle): Buffer | null {
  const { GetTokenInformation, GetLengthSid } = calls()
  const needed = [0]
  GetTokenInformation(token, TokenUser, null, 0, needed)
  if (getLastError() !== ERROR_INSUFFICIENT_BUFFER) return null
  const information = Buffer.alloc(needed[0] as number)
  if (GetTokenInformation(token, TokenUser, information, information.length, needed) === 0)
    return null
  // TOKEN_USER: the address of the SID, which stands behind it in the same buffer.
  const at = Number(information.readBigUInt64LE(0))
  const sid = Buffer.alloc(GetLengthSid(at))
  readMemory(at, sid)
  return sid
}

/**
 * The account of a SID. It may ask a domain controller, so it is called off the event loop; the
 * loop stays alive until it has answered.
 * @returns null where the system knows none
 */
export function lookupAccountSid(sid: Buffer): Promise<{ domain: string; name: string } | null> {
  const name = Buffer.alloc(nameCharacters * 2)
  const domain = Buffer.alloc(nameCharacters * 2)
  const nameLength = [nameCharacters]
  const domainLength = [nameCharacters]
  const text = (buffer: Buffer, [length = 0]: number[]) => buffer.toString('utf16le', 0, length * 2)
  return new Promise(resolve => {
    const { LookupAccountSidW } = calls()
    const use = [0]
    LookupAccountSidW.async(0, sid, name, nameLength, domain, domainLength, use, (error, found) => {
      // Here all Buffers are still held: the call writes into them until now.
      const known = error === null && found !== 0 && sid.length > 0
      resolve(known ? { domain: text(domain, domainLength), name: text(name, nameLength) } : null)
    })
  })
}

/** koffi's asynchronous form of a function. */
interface LookupAccountSid {
  async(
    system: Pointer,
    sid: Buffer,
    name: Buffer,
    nameLength: number[],
    domain: Buffer,
    domainLength: number[],
    use: number[],
    done: (error: Error | null, found: number) => void,
  ): void
}

/** Declares everything now: nothing is to be loaded while the thread acts as somebody else. */
export function requireAdvapi32(): void {
  calls()
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

// biome-ignore format: a declaration a line
function declare() {
  // Loading a library would overwrite the error that is asked for.
  getLastError()
  const library = loadSystemLibrary('advapi32.dll')
  const from = <T>(signature: string) => declareFunction<T>(library, 'advapi32.dll', signature)
  return {
    OpenThreadToken: from<(thread: Handle, access: number, asSelf: number, token: Handle[]) => number>('int __stdcall OpenThreadToken(intptr_t thread, uint32_t access, int asSelf, _Out_ intptr_t *token)'),
    ImpersonateLoggedOnUser: from<(token: Handle) => number>('int __stdcall ImpersonateLoggedOnUser(intptr_t token)'),
    SetThreadToken: from<(thread: Pointer, token: Handle) => number>('int __stdcall SetThreadToken(intptr_t thread, intptr_t token)'),
    RevertToSelf: from<() => number>('int __stdcall RevertToSelf()'),
    GetTokenInformation: from<(token: Handle, kind: number, information: Buffer | null, length: number, needed: number[]) => number>('int __stdcall GetTokenInformation(intptr_t token, int kind, void *information, uint32_t length, _Out_ uint32_t *needed)'),
    GetLengthSid: from<(sid: Pointer) => number>('uint32_t __stdcall GetLengthSid(intptr_t sid)'),
    LookupAccountSidW: from<LookupAccountSid>('int __stdcall LookupAccountSidW(intptr_t system, const void *sid, void *name, _Inout_ uint32_t *nameLength, void *domain, _Inout_ uint32_t *domainLength, _Out_ int *use)'),
  }
}

/**
 * The system's own DLLs, by absolute path. A DLL that is asked for by name alone is looked for in
 * places where anybody may have put one: the directory of the program, the working directory.
 */
import { SocketSecurityError } from '../src/model/errors.js'
import { type LibraryHandle, loadKoffi } from './koffi.js'

/** MAX_PATH and the NUL: what no system directory is longer than. */
const pathCharacters = 261

/** libloaderapi.h */
const GET_MODULE_HANDLE_EX_FLAG_PIN = 1

/**
 * Loads a DLL of the system directory, for as long as the process lives.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where this is not a 64 bit Windows, or there
 * is no such DLL
 */
export function loadSystemLibrary(name: string): LibraryHandle {
  checkPlatform(process.platform, process.arch)
  const path = `${systemDirectory()}\\${name}`
  let library: LibraryHandle
  try {
    library = loadKoffi().load(path)
  } catch (cause) {
    throw unavailable(
      `${path} cannot be loaded: ${(cause as Error).message}. It is a part of Windows, which some small editions leave out`,
      cause,
    )
  }
  pin(path)
  return library
}

/**
 * Declares a function of a DLL.
 * @param signature in C, with the calling convention where it has a name
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where the DLL has no such function
 */
export function declareFunction<T>(library: LibraryHandle, from: string, signature: string): T {
  try {
    return library.func(signature) as T
  } catch (cause) {
    const name = /(\w+)\(/.exec(signature)?.[1]
    throw unavailable(
      `${from} has no function ${name}, which Windows has since Vista: ${(cause as Error).message}`,
      cause,
    )
  }
}

/**
 * The structures that are written here are those of 64 bits, little end first.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function checkPlatform(platform: string, architecture: string): void {
  if (platform !== 'win32')
    throw unavailable(`Windows' libraries were asked for on ${platform}: this is for Windows only`)
  if (architecture !== 'x64' && architecture !== 'arm64')
    throw unavailable(
      `Windows' functions are called with structures of 64 bits, and this Node is for ${architecture}: install the one for x64 or arm64`,
    )
}

/**
 * koffi frees a DLL when the thread ends that has loaded it, also while calls of the thread pend: the code
 * that completes them would be gone.
 */
function pin(path: string): void {
  const getModuleHandleEx = kernel32().func(
    'int __stdcall GetModuleHandleExW(uint32_t flags, const char16_t *name, _Out_ intptr_t *module)',
  )
  if (getModuleHandleEx(GET_MODULE_HANDLE_EX_FLAG_PIN, path, [0]) === 0)
    throw unavailable(`${path} cannot be kept loaded (GetModuleHandleExW)`)
}

function systemDirectory(): string {
  const getSystemDirectory = kernel32().func(
    'uint32_t __stdcall GetSystemDirectoryW(void *path, uint32_t characters)',
  )
  const path = Buffer.alloc(pathCharacters * 2)
  const length = getSystemDirectory(path, pathCharacters) as number
  if (length === 0 || length >= pathCharacters)
    throw unavailable('Windows does not say where its system directory is (GetSystemDirectoryW)')
  return path.toString('utf16le', 0, length * 2)
}

/** It is in every process before its first instruction, so its name cannot mean another. */
function kernel32(): LibraryHandle {
  return loadKoffi().load('kernel32.dll')
}

function unavailable(message: string, cause?: unknown): SocketSecurityError {
  return new SocketSecurityError('ERR_PROVIDER_UNAVAILABLE', message, { cause })
}

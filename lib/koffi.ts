/**
 * The door to native code: koffi, which calls C functions. It is loaded by the first call that needs
 * it, never by an import, so a program that secures only streams loads no native code at all.
 */
import { createRequire } from 'node:module'
import type Koffi from 'koffi'
import { SocketSecurityError } from '../src/model/errors.js'

export type { LibraryHandle } from 'koffi'

let loaded: typeof Koffi | undefined

/**
 * koffi, loaded once.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where it is not installed, not allowed, or
 * not made for this platform
 */
export function loadKoffi(): typeof Koffi {
  loaded ??= requireKoffi(createRequire(import.meta.url))
  return loaded
}

/** @param require how the package is loaded; a test gives its own */
export function requireKoffi(require: (name: string) => unknown): typeof Koffi {
  try {
    return require('koffi') as typeof Koffi
  } catch (cause) {
    const error = cause as Error & { code?: string }
    throw new SocketSecurityError(
      'ERR_PROVIDER_UNAVAILABLE',
      `secured datagrams and IPsec call native code through the package koffi, which cannot be loaded: ${remedy(error)}`,
      { cause },
    )
  }
}

function remedy({ code, message }: Error & { code?: string }): string {
  if (code === 'ERR_DLOPEN_DISABLED' || code === 'ERR_ACCESS_DENIED') {
    return 'the permission model forbids it; start Node with --allow-addons (and let it read node_modules)'
  }
  if (code === 'MODULE_NOT_FOUND') {
    return 'it is not installed; run npm install koffi, or install without --omit=optional'
  }
  const platform = `${process.platform} ${process.arch}`
  return `${message} (its native part may not be made for ${platform}, or was not installed: run npm rebuild koffi)`
}

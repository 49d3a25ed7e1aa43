/**
 * What a native provider's answer must say before anything is sent or delivered: the connection is
 * secured, and encrypted where that is guaranteed (R14).
 */
import { SocketSecurityError } from '../../model/errors.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'

/**
 * @param peer as `address:port`, for the error
 * @throws SocketSecurityError EPROTO
 */
export function checkNativeSecurity(
  info: SecurityInfo,
  settings: ParsedSettings,
  peer: string,
): void {
  if (!info.secured) {
    throw new SocketSecurityError(
      'EPROTO',
      `${peer}: the system says that the connection is not secured${reason(info)}: nothing was sent; let both machines have an IPsec policy that they can agree on`,
      { peer },
    )
  }
  if (settings.guaranteeEncryption && !info.encrypted) {
    throw new SocketSecurityError(
      'EPROTO',
      `${peer}: the system says that the connection is authenticated, but not encrypted: nothing was sent; let the IPsec policy encrypt, or set guaranteeEncryption: false`,
      { peer },
    )
  }
}

function reason({ ipsec }: SecurityInfo): string {
  return ipsec?.negotiationError ? ` (Windows error ${ipsec.negotiationError})` : ''
}

/** The system was not heard of in time. */
export function nativeTimeout(settings: ParsedSettings, what: string, peer?: string): Error {
  const where = peer === undefined ? '' : `${peer}: `
  return new SocketSecurityError(
    'ETIMEDOUT',
    `${where}${what} within ${settings.handshakeTimeout} ms: nothing was sent`,
    { peer },
  )
}

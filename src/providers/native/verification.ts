/**
 * What a native provider's answer must say before anything is sent or delivered: the connection is
 * secured, and encrypted where that is guaranteed (R14).
 */
import { SocketSecurityError } from '../../model/errors.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'

/** What the system's answer lacks of what the settings ask for; undefined where it is enough (R14). */
export function lacking(
  { secured, encrypted }: SecurityInfo,
  { guaranteeEncryption }: ParsedSettings,
): 'security' | 'encryption' | undefined {
  if (!secured) return 'security'
  return guaranteeEncryption && !encrypted ? 'encryption' : undefined
}

/**
 * @param peer as `address:port`, for the error
 * @throws SocketSecurityError EPROTO
 */
export function checkNativeSecurity(
  info: SecurityInfo,
  settings: ParsedSettings,
  peer: string,
): void {
  const lacks = lacking(info, settings)
  if (lacks === 'security') {
    throw new SocketSecurityError(
      'EPROTO',
      `${peer}: the system says that the connection is not secured${reason(info)}: nothing was sent; let both machines have an IPsec policy that they can agree on`,
      { peer },
    )
  }
  if (lacks === 'encryption') {
    throw new SocketSecurityError(
      'EPROTO',
      `${peer}: the system says that the connection is authenticated, but not encrypted: nothing was sent; let the IPsec policy encrypt, or set guaranteeEncryption: false`,
      { peer },
    )
  }
}

function reason({ ipsec }: SecurityInfo): string {
  return ipsec?.negotiationError ? ` (its error ${ipsec.negotiationError})` : ''
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

/** A connection that the system secures, as the socket classes know it. */
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import { checkNativeSecurity } from '../../providers/native/verification.js'
import type { Connection, NativeConnection } from '../../providers/provider.js'

/**
 * Asks the system what secures the connection.
 * @throws (rejects) SocketSecurityError EPROTO where that is not what the settings ask for, or what
 * the provider rejects with
 */
export async function verified(
  native: NativeConnection,
  settings: ParsedSettings,
  peer: string,
): Promise<Connection> {
  const info = await native.query()
  checkNativeSecurity(info, settings, peer)
  return connectionOf(native, info)
}

function connectionOf(native: NativeConnection, info: SecurityInfo): Connection {
  return {
    early: null,
    overhead: { read: 0, written: 0 },
    secured: true,
    resumed: false,
    query: () => info,
    refresh: () => native.query(),
    ...(native.impersonate ? { impersonate: fn => native.impersonate?.(fn) as never } : {}),
    authorized: info.peer !== undefined,
    authorizationError: null,
    alpnProtocol: false,
    certificate: info.peer?.certificate,
    endError: () => null,
    explain: error => error,
  }
}

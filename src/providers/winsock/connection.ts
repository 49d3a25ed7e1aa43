/**
 * What Windows says of a connected SOCKET, that a handle of Node's holds.
 */
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { NativeConnection } from '../provider.js'
import type { AcceptedSocket } from './accepted-socket.js'
import { querySecurity } from './calls.js'
import { impersonatePeer } from './impersonation.js'
import { IDENTIFY, securityInfo } from './tokens.js'

export interface StreamConnectionRequest {
  /**
   * The SOCKET, which is looked for when it is asked about: that may take some milliseconds.
   * @throws SocketSecurityError
   */
  find(): AcceptedSocket
  readonly settings: ParsedSettings
  /** As `address:port`. */
  readonly peer: string
  /** What the system has made the peer prove. */
  readonly targetName?: TargetName | undefined
}

export function streamConnection(request: StreamConnectionRequest): NativeConnection {
  const { find, settings, peer, targetName } = request
  let known: AcceptedSocket | undefined
  return {
    async query(): Promise<SecurityInfo> {
      const { socket, alive } = found()
      const target = { socket, adopted: true, alive, timeout: settings.handshakeTimeout, peer }
      const info = await querySecurity(target, { tokenAccess: IDENTIFY })
      return await securityInfo(info, targetName?.text)
    },
    impersonate<T>(fn: () => T): T {
      const { socket, alive } = found()
      return impersonatePeer({ socket, alive, peer }, fn)
    },
  }

  function found(): AcceptedSocket {
    known ??= find()
    return known
  }
}

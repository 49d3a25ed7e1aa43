/**
 * What Windows says of a connected SOCKET, that a handle of Node's holds.
 */
import type { SecurityInfo } from '../../model/security-info.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { NativeConnection } from '../provider.js'
import { querySecurity } from './calls.js'

/** A SOCKET that Node's handle has opened; `alive` while that very handle holds it. */
export interface AdoptedSocket {
  readonly socket: number
  alive(): boolean
}

export interface StreamConnectionRequest {
  /** Looks for the SOCKET, which may take a few milliseconds. @throws SocketSecurityError */
  find(): AdoptedSocket
  readonly settings: ParsedSettings
  /** As `address:port`. */
  readonly peer: string
  /** What the system has made the peer prove. */
  readonly targetName?: TargetName | undefined
}

export function streamConnection(request: StreamConnectionRequest): NativeConnection {
  const { find, settings, peer } = request
  let found: AdoptedSocket | undefined
  return {
    async query(): Promise<SecurityInfo> {
      const { socket, alive } = located()
      const target = { socket, adopted: true, alive, timeout: settings.handshakeTimeout, peer }
      const { flags } = await querySecurity(target)
      return {
        secured: (flags & 1) !== 0,
        encrypted: (flags & 2) !== 0,
        protocol: 'ipsec',
        resumed: false,
      }
    },
  }

  function located(): AdoptedSocket {
    found ??= find()
    return found
  }
}

/** What an association is made of. */
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import type { Clock } from '../datagram-provider.js'

export type AssociationRole = 'client' | 'server'

export interface AssociationOptions {
  readonly settings: ParsedSettings
  readonly role: AssociationRole
  /** `address:port`, for messages. */
  readonly peer: string
  /** What the application called the peer: the name sent as SNI where the target name is no host. */
  readonly host?: string | undefined
  /** Whom the peer must prove to be; undefined only for a server's stranger. */
  readonly targetName?: TargetName | undefined
  /** The application set the name itself. */
  readonly targetNameSet: boolean
  /** Client: the session to resume. One that cannot be used is left out. */
  readonly session?: Buffer | undefined
  /** Bytes of UDP payload that a datagram of a handshake may have. */
  readonly mtu: number
  readonly clock: Clock
  /**
   * Milliseconds until the first retransmission, which doubles with each; 1000 where absent (RFC
   * 6347, section 4.2.4.1). OpenSSL keeps its own time for it, so tests shorten it here.
   */
  readonly retransmitAfter?: number | undefined
}

/** What the IKE daemon says of a flow, as the answer to a query of the socket's security. */
import { shownAsSecurity } from '../../../model/at-a-glance.js'
import type { PeerIdentity } from '../../../model/peer-identity.js'
import type { SecurityInfo } from '../../../model/security-info.js'
import type { Association } from './plans.js'

/** Nothing secures the flow now: what would be sent is dropped by the guard of its port. */
export const notSecured: SecurityInfo = shownAsSecurity({
  secured: false,
  encrypted: false,
  protocol: 'none',
  resumed: false,
})

/** @param peer who that has proved to be, by the association's identity */
export function securityInfo(association: Association, peer: PeerIdentity): SecurityInfo {
  const { encrypted, version, cipher, since, rekeyAfter, expires, ikeId, childId } = association
  return shownAsSecurity({
    secured: true,
    encrypted,
    protocol: 'ipsec',
    version,
    cipher,
    resumed: false,
    peer,
    ipsec: { impersonated: false, mainModeSaId: ikeId, quickModeSaId: childId },
    since,
    ...(rekeyAfter && { rekeyAfter }),
    ...(expires && { expires }),
  })
}

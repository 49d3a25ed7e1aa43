/** Who the peer of a flow has proved to be. */
import { shownAsPeer } from '../../../model/at-a-glance.js'
import { SocketSecurityError, show } from '../../../model/errors.js'
import type { PeerIdentity } from '../../../model/peer-identity.js'
import type { TargetName } from '../../../model/target-name.js'
import { isIdentity, provesIdentity } from './identities.js'
import type { Credential } from './plans.js'

/**
 * The identity that the daemon prints. It has no certificate of the peer to give away; a name that
 * was proved with one stands in `names`.
 * @param targetName what the peer was checked against
 */
export function peerIdentity(
  remoteId: string,
  credential: Credential,
  targetName?: TargetName,
): PeerIdentity {
  const isPsk =
    credential.kind === 'psk' || (credential.kind === 'daemon' && credential.auth === 'psk')
  return shownAsPeer({
    ...(targetName === undefined ? {} : { targetName: targetName.text }),
    names: isPsk ? [] : [remoteId],
    ...(isPsk ? { pskIdentity: remoteId } : {}),
  })
}

/**
 * Why a peer that has proved this is not the one that is wanted.
 * @param wanted an identity; `%any` for whoever is trusted and has a name
 */
export function wrongPeer(
  remoteId: string,
  wanted: string,
  peer: string,
): SocketSecurityError | undefined {
  const isRight = wanted === '%any' ? isIdentity(remoteId) : provesIdentity(remoteId, wanted)
  if (isRight) return undefined
  const whom = wanted === '%any' ? 'somebody in particular' : show(wanted)
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `${peer} is not ${whom}: it has proved to be ${show(remoteId)}`,
    { peer },
  )
}

/** Another one has taken the place of the peer that the connection was made with. */
export function exchangedPeer(remoteId: string, before: string, peer: string): SocketSecurityError {
  return new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `the connection was made with ${show(before)}, and now ${show(remoteId)} answers at ${peer}: it was reset`,
    { peer },
  )
}

/** The error of a handshake that came to no end: DTLS is silent about most of what can be wrong. */
import { SocketSecurityError } from '../../model/errors.js'
import type { AssociationRole } from './association-options.js'

export interface Unanswered {
  readonly peer: string
  /** Milliseconds. */
  readonly after: number
  readonly role: AssociationRole
  /** The peer has sent something that belongs to the handshake. */
  readonly heard: boolean
  /** An ICMP error came: somebody says that nobody listens there. */
  readonly unreachable: boolean
  /** We have a pre-shared key, or accept some. */
  readonly psk: boolean
}

export function handshakeTimeout(unanswered: Unanswered): SocketSecurityError {
  const { peer, after } = unanswered
  return new SocketSecurityError(
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    `${peer} did not complete the handshake within ${after} ms: ${likelyCause(unanswered)}`,
    { peer },
  )
}

function likelyCause({ role, heard, unreachable, psk }: Unanswered): string {
  const icmp = unreachable
    ? '; an ICMP error says that nobody listens there (anybody could have sent it)'
    : ''
  if (role === 'server') return `it began and did not go on${icmp}`
  const silent = psk
    ? 'the pre-shared keys differ, or no cipher is shared: many implementations are silent about both'
    : 'no cipher or version is shared, or it refuses our certificate: many implementations are silent about it'
  if (heard)
    return `it answered first and then was silent: ${silent}; or its larger datagrams are lost on the way${icmp}`
  return `nothing came from it: it does not run, speaks no DTLS, takes no handshakes from strangers, or a firewall drops the packets; or ${silent}${icmp}`
}

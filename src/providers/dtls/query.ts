/** What secures an association, asked when somebody wants to know. */
import type { Pointer } from '../../../lib/memory.js'
import { TLSEXT_NAMETYPE_host_name } from '../../../lib/openssl.js'
import type { PeerIdentity } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { AssociationRole } from './association-options.js'
import { openssl, pointerAt, pointerIn, setPointerAt, textAt } from './openssl.js'

export function describe(
  ssl: Pointer,
  role: AssociationRole,
  peer: PeerIdentity | undefined,
): SecurityInfo {
  const { lib } = openssl()
  const cipher = lib.SSL_get_current_cipher(ssl)
  const alpn = selectedProtocol(ssl)
  const srtp = selectedProfile(ssl)
  const servername =
    role === 'server' ? lib.SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : null
  return {
    secured: true,
    // Suites that do not encrypt are never offered.
    encrypted: true,
    protocol: 'dtls',
    version: lib.SSL_get_version(ssl),
    cipher: lib.SSL_CIPHER_standard_name(cipher) ?? lib.SSL_CIPHER_get_name(cipher),
    ...(alpn === undefined ? {} : { alpn }),
    ...(srtp === undefined ? {} : { srtp }),
    ...(servername === null ? {} : { servername }),
    resumed: lib.SSL_session_reused(ssl) === 1,
    ...(peer === undefined ? {} : { peer }),
    ...(peer?.certificate === undefined ? {} : { expires: new Date(peer.certificate.validTo) }),
  }
}

function selectedProtocol(ssl: Pointer): string | undefined {
  const { lib, scratch } = openssl()
  setPointerAt(scratch, 0, 0)
  setPointerAt(scratch, 8, 0)
  lib.SSL_get0_alpn_selected(ssl, scratch.address, scratch.address + 8)
  const address = pointerAt(scratch, 0)
  // An unsigned int, of which the longest protocol name fills one byte.
  const length = (scratch.bytes[8] as number) + (scratch.bytes[11] as number)
  return address === 0 || length === 0 ? undefined : textAt(address, length)
}

/** SRTP_PROTECTION_PROFILE begins with a pointer to its name. */
function selectedProfile(ssl: Pointer): string | undefined {
  const { lib } = openssl()
  const profile = lib.srtp?.SSL_get_selected_srtp_profile(ssl) ?? 0
  return profile === 0 ? undefined : textAt(pointerIn(profile))
}

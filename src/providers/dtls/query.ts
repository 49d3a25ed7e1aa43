/** What secures an association, asked when somebody wants to know. */
import type { Pointer } from '../../../lib/memory.js'
import { TLSEXT_NAMETYPE_host_name } from '../../../lib/openssl.js'
import { type PeerIdentity, validityOf } from '../../model/peer-identity.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { AssociationOptions } from './association-options.js'
import type { Suite } from './cipher-suites.js'
import { openssl, pointerAt, pointerIn, setPointerAt, textAt } from './openssl.js'

/** A SecurityInfo in the making. */
type Draft = { -readonly [Field in keyof SecurityInfo]: SecurityInfo[Field] }

export function describe(
  ssl: Pointer,
  { role, settings }: Pick<AssociationOptions, 'role' | 'settings'>,
  suite: Suite,
  peer: PeerIdentity | undefined,
): SecurityInfo {
  const { lib } = openssl()
  // Whoever offers nothing is not asked what was agreed on; field by field, since there is one for
  // each handshake.
  const alpn = settings.alpn.length === 0 ? undefined : selectedProtocol(ssl)
  const srtp = settings.srtp.length === 0 ? undefined : selectedProfile(ssl)
  const servername =
    role === 'server' ? lib.SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : null
  const info: Draft = {
    secured: true,
    // Suites that do not encrypt are never offered.
    encrypted: true,
    protocol: 'dtls',
    version: lib.SSL_get_version(ssl),
    cipher: suite.standardName,
    resumed: lib.SSL_session_reused(ssl) === 1,
  }
  if (alpn !== undefined) info.alpn = alpn
  if (srtp !== undefined) info.srtp = srtp
  if (servername !== null) info.servername = servername
  if (peer !== undefined) info.peer = peer
  if (peer?.certificate !== undefined) info.expires = new Date(validityOf(peer.certificate).end)
  return info
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

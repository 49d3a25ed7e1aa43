/** What IPsec on Linux can do with our settings: what it cannot is refused, none is ignored in silence. */
import { SocketSecurityError } from '../../../model/errors.js'
import { windowsIpsecSettings } from '../../../model/ipsec-settings.js'
import type { ParsedSettings } from '../../../model/settings.js'
import { firstBesideDefaults } from '../../native/beside-defaults.js'
import { localIdentity, pskIdentity } from './connection-plan.js'
import { certifiedBy, trustedAuthorities } from './given-credentials.js'
import { checkEspProposals, checkIkeProposals } from './proposals.js'

/** Where strongSwan's packages have it. */
const DEFAULT_VICI_SOCKET = '/run/charon.vici'

const syscall = 'WSASetSocketSecurity'

/** The path of the IKE daemon's VICI socket. */
export function viciSocketOf({ ipsec }: ParsedSettings): string {
  return ipsec?.viciSocket ?? DEFAULT_VICI_SOCKET
}

/** Settings of TLS and DTLS, which are refused unless they are what they are by default. */
const ofTls = [
  'ciphers',
  'minVersion',
  'maxVersion',
  'sigalgs',
  'ecdhCurve',
  'servername',
  'alpn',
  'ticketKeys',
  'keylog',
  'mtu',
  'srtp',
  'resumeAfter',
  'pskIdentityHint',
] as const

/**
 * Refuses what strongSwan cannot honour, and what cannot be right.
 * @throws SocketSecurityError EOPNOTSUPP, EINVAL, ENOCREDENTIAL; naming the setting and what to do
 */
export function checkStrongswanSettings(settings: ParsedSettings): void {
  checkOtherProtocols(settings)
  checkOtherSystems(settings)
  checkCredentials(settings)
  checkLinux(settings)
}

function checkOtherProtocols(settings: ParsedSettings): void {
  const given = firstBesideDefaults(settings, ofTls)
  if (given !== undefined)
    throw unsupported(
      given,
      "it belongs to TLS; ipsec.ikeProposals and ipsec.espProposals say how IPsec protects packets, or use protocol 'tls'",
    )
  if (!settings.requestCert && settings.kind === 'datagram')
    throw unsupported('requestCert: false', 'peers of IKE always authenticate each other')
  if (!settings.rejectUnauthorized)
    throw unsupported('rejectUnauthorized: false', 'peers of IKE always authenticate each other')
  if (settings.sharePort)
    throw unsupported('sharePort', 'what secures a port belongs to one socket of one process')
}

function checkOtherSystems({ ipsec }: ParsedSettings): void {
  const given = windowsIpsecSettings.find(each => ipsec?.[each])
  if (given !== undefined)
    throw unsupported(`ipsec.${given}`, 'it is a setting of Windows; leave it out here')
}

function checkCredentials(settings: ParsedSettings): void {
  const { cert, ownPsk, acceptedPsk, ipsec } = settings
  if (settings.pfx !== undefined) throw unsupported('pfx', 'give cert and key in PEM')
  if (settings.crl !== undefined)
    throw unsupported(
      'crl',
      'the IKE daemon looks for revocations itself; give the list to it (swanctl/x509crl)',
    )
  if (typeof acceptedPsk === 'function')
    throw unsupported(
      'psk as a function',
      'the IKE daemon must know the keys before peers come; give an object of them',
    )
  for (const identity of [ownPsk?.identity, ...Object.keys(acceptedPsk ?? {})])
    if (identity !== undefined) pskIdentity(identity)
  certifiedBy(settings)
  // With pre-shared keys nobody need be trusted otherwise.
  const trustsNobody = Array.isArray(settings.ca) && settings.ca.length === 0
  const hasKeys = ownPsk !== undefined || acceptedPsk !== undefined
  if (!(trustsNobody && hasKeys)) trustedAuthorities(settings)
  if (ipsec?.authentication !== undefined && (cert !== undefined || hasKeys))
    throw new SocketSecurityError(
      'EINVAL',
      'security.ipsec.authentication is for credentials of the IKE daemon itself: leave it out beside cert, key and psk',
      { syscall },
    )
}

function checkLinux({ ipsec, guaranteeEncryption }: ParsedSettings): void {
  if (ipsec?.localIdentity !== undefined) localIdentity(ipsec.localIdentity)
  if (ipsec?.ikeProposals) checkIkeProposals(ipsec.ikeProposals)
  if (ipsec?.espProposals) checkEspProposals(ipsec.espProposals, guaranteeEncryption)
}

function unsupported(key: string, remedy: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `security.${key} cannot be used with protocol 'ipsec' on Linux: ${remedy}`,
    { syscall },
  )
}

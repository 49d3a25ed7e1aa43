/** What each role needs, before anything is sent (R13). */
import { X509Certificate } from 'node:crypto'
import { PSK_MAX_IDENTITY_LEN, PSK_MAX_PSK_LEN } from '../../../lib/openssl.js'
import { SocketSecurityError, show } from '../../model/errors.js'
import type { ParsedSettings } from '../../model/settings.js'
import type { TargetName } from '../../model/target-name.js'
import { asList, pemText } from '../authorities.js'
import { openssl } from './openssl.js'

const syscall = 'WSASetSocketSecurity'

/** @throws SocketSecurityError ENOCREDENTIAL, EINVAL */
export function checkClientCredentials(
  settings: ParsedSettings,
  targetName: TargetName | undefined,
  targetNameSet: boolean,
): void {
  const { ownPsk, ca } = settings
  if (ownPsk && targetNameSet) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.psk cannot prove the target name ${targetName?.text}: a shared key has no name; leave the target name away, or use certificates`,
      { syscall },
    )
  }
  if (ownPsk) checkPskLengths(ownPsk)
  else if (targetName === undefined) {
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'whom must the peer prove to be? Set its target name, or send to a host name or an address',
      { syscall },
    )
  }
  const trustsNobody = Array.isArray(ca) && ca.length === 0
  if (trustsNobody && !ownPsk && targetName?.kind !== 'pin') {
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'security.ca is empty: nobody is trusted; give ca, psk, or a sha256/… target name',
      { syscall },
    )
  }
}

/** Could we be the server of a handshake, as far as the settings go? */
export function hasServerCredentials({ cert, pfx, acceptedPsk }: ParsedSettings): boolean {
  return cert !== undefined || pfx !== undefined || acceptedPsk !== undefined
}

/**
 * @param targetName of a peer that has one; a stranger has none
 * @throws SocketSecurityError ENOCREDENTIAL
 */
export function checkServerCredentials(
  settings: ParsedSettings,
  targetName: TargetName | undefined,
): void {
  const { acceptedPsk, requestCert, ca } = settings
  if (!hasServerCredentials(settings)) {
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'the role of a server needs security.cert and security.key, or pfx, or psk (the keys that it accepts)',
      { syscall },
    )
  }
  const trusts = ca !== undefined && !(Array.isArray(ca) && ca.length === 0)
  if (targetName === undefined && requestCert && !trusts && acceptedPsk === undefined) {
    // Every customer of a public authority would be let in.
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'strangers must show a certificate, and security.ca is missing: whose peers are accepted? Give ca, set their target names, or set requestCert: false',
      { syscall },
    )
  }
  checkServerKeys(settings)
}

/**
 * OpenSSL 3 has no server of DTLS with such a certificate: it asks for TLS 1.2 by its number
 * (ssl_set_masks), and every client would be told that no suite is shared. Clients can have one.
 * @throws SocketSecurityError ENOCREDENTIAL
 */
export function checkServerKeys(settings: ParsedSettings): void {
  if (settings.acceptedPsk !== undefined || !openssl().version.startsWith('OpenSSL 3.')) return
  let unusable = edwards.get(settings)
  if (unusable === undefined) {
    unusable = hasOnlyEdwardsKeys(settings)
    edwards.set(settings, unusable)
  }
  if (!unusable) return
  throw new SocketSecurityError(
    'ENOCREDENTIAL',
    'security.cert has an Ed25519 or Ed448 key, which OpenSSL 3 cannot use in the role of a server of DTLS: make an ECDSA identity (secure-socket identity --algorithm ecdsa-p256)',
    { syscall },
  )
}

const edwards = new WeakMap<ParsedSettings, boolean>()

function hasOnlyEdwardsKeys({ cert, pfx }: ParsedSettings): boolean {
  const certificates = asList(cert) ?? []
  if (certificates.length === 0 || pfx !== undefined) return false
  try {
    return certificates.every(pem => {
      const { asymmetricKeyType } = new X509Certificate(pemText(pem)).publicKey
      return asymmetricKeyType === 'ed25519' || asymmetricKeyType === 'ed448'
    })
  } catch {
    // What is no certificate is told with the rest of the settings.
    return false
  }
}

function checkPskLengths({ identity, key }: NonNullable<ParsedSettings['ownPsk']>): void {
  if (Buffer.byteLength(identity) > PSK_MAX_IDENTITY_LEN) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.psk.identity is ${show(identity)}: OpenSSL takes at most ${PSK_MAX_IDENTITY_LEN} bytes`,
      { syscall },
    )
  }
  if (key.byteLength > PSK_MAX_PSK_LEN) {
    throw new SocketSecurityError(
      'EINVAL',
      `security.psk.key has ${key.byteLength} bytes: OpenSSL takes at most ${PSK_MAX_PSK_LEN}`,
      { syscall },
    )
  }
}

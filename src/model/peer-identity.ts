/**
 * Who a peer has proved to be, and the one check of a certificate against a target name: the same
 * for streams and datagrams. The subject's CN is never consulted (RFC 9525, section 2).
 */
import { createHash, type X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { shownAsPeer } from './at-a-glance.js'
import { SocketSecurityError, show } from './errors.js'
import { canonicalAddress, type TargetName } from './target-name.js'

/** An account of Windows. */
export interface WindowsAccount {
  /** The security identifier, `S-1-5-21-…`: what access checks should compare. */
  readonly sid: string
  /** `DOMAIN\\name`, for people; absent where the system cannot tell it at once. */
  readonly name?: string
}

/** Who the peer is, as authenticated. */
export interface PeerIdentity {
  /** The target name that the peer was checked against, where there was one. */
  readonly targetName?: string
  /** IPsec on Windows: the account of the user at the peer, where it authenticated one. */
  readonly user?: WindowsAccount
  /** IPsec on Windows: the account of the peer's machine, where it authenticated one. */
  readonly machine?: WindowsAccount
  /** All names of the peer's certificate: DNS names, addresses and URIs; none with a PSK or an account. */
  readonly names: readonly string[]
  /** `sha256/…` of its public key; none with a PSK. */
  readonly pin?: string
  /** Its identity, where it was authenticated by a pre-shared key. */
  readonly pskIdentity?: string
  /** Its certificate; none with a PSK. */
  readonly certificate?: X509Certificate
}

/** The identity that a certificate proves. */
export function certificateIdentity(
  certificate: X509Certificate,
  targetName?: TargetName,
): PeerIdentity {
  return shownAsPeer({
    ...(targetName === undefined ? {} : { targetName: targetName.text }),
    names: peerNames(certificate),
    pin: publicKeyPin(certificate),
    certificate,
  })
}

/**
 * Checks a certificate that is already verified up to a trusted root (or is to be accepted by its
 * pin alone) against the target name and the clock. The clock is checked here too, because a
 * resumed session is not verified again by OpenSSL.
 * @throws SocketSecurityError ERR_PEER_TARGET_NAME_MISMATCH, CERT_HAS_EXPIRED, CERT_NOT_YET_VALID
 */
export function checkCertificate(
  certificate: X509Certificate,
  targetName: TargetName,
  peer?: string,
): void {
  checkValidity(certificate, peer)
  if (hasName(certificate, targetName)) return
  const names = peerNames(certificate).slice(0, 10).map(show)
  const proved =
    targetName.kind === 'pin' ? publicKeyPin(certificate) : names.join(', ') || 'no name at all'
  throw new SocketSecurityError(
    'ERR_PEER_TARGET_NAME_MISMATCH',
    `the peer is not ${targetName.text}: its certificate proves ${proved}`,
    { peer },
  )
}

/** From when until when a certificate is valid, in milliseconds since 1970. */
export interface Validity {
  readonly begin: number
  readonly end: number
}

/** Read from its text once: connections share certificates. */
export function validityOf(certificate: X509Certificate): Validity {
  let validity = validities.get(certificate)
  if (validity === undefined) {
    const { validFrom, validTo } = certificate
    validity = { begin: Date.parse(validFrom), end: Date.parse(validTo) }
    validities.set(certificate, validity)
  }
  return validity
}

const validities = new WeakMap<X509Certificate, Validity>()

/** Checks the validity period of a certificate against the clock. */
export function checkValidity(certificate: X509Certificate, peer?: string): void {
  const now = Date.now()
  const { begin, end } = validityOf(certificate)
  // Also where the text was no time, which gives NaN.
  if (!(now <= end)) {
    throw new SocketSecurityError(
      'CERT_HAS_EXPIRED',
      `the peer's certificate has expired on ${certificate.validTo}`,
      { peer },
    )
  }
  if (!(now >= begin)) {
    throw new SocketSecurityError(
      'CERT_NOT_YET_VALID',
      `the peer's certificate is not valid before ${certificate.validFrom}`,
      { peer },
    )
  }
}

function hasName(certificate: X509Certificate, name: TargetName): boolean {
  switch (name.kind) {
    case 'pin':
      return publicKeyPin(certificate) === name.text
    case 'uri':
      return subjectAltNames(certificate).some(
        each => each.type === 'URI' && each.name === name.uri,
      )
    case 'ip':
      return certificate.checkIP(name.address) !== undefined
    case 'dns':
      return hasHost(certificate, name.host)
    case 'spn':
      return isIP(name.host) === 0
        ? hasHost(certificate, name.host)
        : certificate.checkIP(name.host) !== undefined
    case 'raw':
      // Of IPsec, and never of a certificate that we check.
      return false
  }
}

function hasHost(certificate: X509Certificate, host: string): boolean {
  return certificate.checkHost(host, { subject: 'never', partialWildcards: false }) !== undefined
}

/** `sha256/` and the base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469, 2.4). */
export function publicKeyPin(certificate: X509Certificate): string {
  const known = pins.get(certificate)
  if (known !== undefined) return known
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' })
  const pin = `sha256/${createHash('sha256').update(key).digest('base64')}`
  pins.set(certificate, pin)
  return pin
}

/** Exporting a key takes longer than all else that a query does, and connections share certificates. */
const pins = new WeakMap<X509Certificate, string>()

/** The names that a peer can be called by: no e-mail addresses, no directory names. */
function peerNames(certificate: X509Certificate): readonly string[] {
  let known = names.get(certificate)
  if (known === undefined) {
    // Shared by all that show this certificate, so nobody may change it.
    known = Object.freeze(readNames(certificate))
    names.set(certificate, known)
  }
  return known
}

const names = new WeakMap<X509Certificate, readonly string[]>()

function readNames(certificate: X509Certificate): string[] {
  return subjectAltNames(certificate).flatMap(({ type, name }) => {
    if (type === 'IP Address') return isIP(name) === 0 ? [] : [canonicalAddress(name)]
    // Each kind only in its own shape, so that none can be taken for another.
    if (type === 'DNS') return /^[\w.*-]+$/.test(name) ? [name] : []
    if (type === 'URI') return /^[a-z][a-z0-9+.-]*:/i.test(name) ? [name] : []
    return []
  })
}

/**
 * The certificate's subject alternative names. Node quotes, as a JSON string, every name that
 * contains a character of this format, so a hostile name cannot pose as two.
 */
function subjectAltNames(certificate: X509Certificate): { type: string; name: string }[] {
  const names = []
  const entry = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/y
  const text = certificate.subjectAltName ?? ''
  for (let match = entry.exec(text); match !== null && match[0] !== ''; match = entry.exec(text)) {
    const [, type = '', value = ''] = match
    names.push({ type, name: value.startsWith('"') ? (JSON.parse(value) as string) : value })
  }
  return names
}

import type { KeyObject, X509Certificate } from 'node:crypto'
import { SocketSecurityError } from '../model/errors.js'
import { certificatesPem, type Pem, parseCertificates, parsePrivateKey } from './pem.js'

/** An authority as PEM, made by createAuthority or by anybody else. */
export interface AuthorityPem {
  /** Its certificate; of an intermediate authority followed by those above it, up to the root. */
  cert: Pem
  /** Its private key, unencrypted. */
  key: Pem
}

/** An authority that was read and found able to sign. */
export interface Issuer {
  certificate: X509Certificate
  privateKey: KeyObject
  /** PEM of what an identity sends along, so that peers find the way to the root. */
  intermediates: string
  /** PEM of what peers trust. */
  root: string
}

/**
 * Reads an authority and checks that what it signs can be believed.
 * @throws SocketSecurityError EINVAL
 */
export function parseIssuer(authority: AuthorityPem): Issuer {
  if (typeof authority !== 'object' || authority === null)
    throw refused('authority', 'must be { cert, key }')
  const certificates = parseCertificates('authority.cert', authority.cert)
  const privateKey = parsePrivateKey('authority.key', authority.key)
  const [certificate] = certificates

  if (!certificate.ca) throw refused('authority.cert', 'is not the certificate of an authority')
  if (!certificate.checkPrivateKey(privateKey)) {
    throw refused('authority.key', 'is not the key of authority.cert')
  }
  if (!(Date.now() < Date.parse(certificate.validTo))) {
    throw refused('authority.cert', `has expired on ${certificate.validTo}`)
  }
  const root = certificates.findIndex(each => each.checkIssued(each))
  if (root === -1) {
    throw refused('authority.cert', 'must end in a self-signed certificate: append those above it')
  }
  return {
    certificate,
    privateKey,
    intermediates: certificatesPem(certificates.slice(0, root)),
    root: certificatesPem(certificates.slice(root, root + 1)),
  }
}

function refused(option: string, reason: string): SocketSecurityError {
  return new SocketSecurityError('EINVAL', `${option} ${reason}`)
}

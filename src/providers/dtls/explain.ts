/** DTLS errors in words: what OpenSSL left in its queue, and what it says of certificates. */
import { SocketSecurityError, type SocketSecurityErrorCode } from '../../model/errors.js'
import { codeOfReason, explained } from '../explain-openssl.js'
import { openssl } from './openssl.js'

/** What OpenSSL's error queue holds, and the queue is empty afterwards. */
export interface OpensslError {
  /** As node:tls has it, where the error is one of TLS. */
  readonly code: string | undefined
  readonly reason: string
}

/** ERR_LIB_SSL (err.h). */
const sslLibrary = 20

/** Empties the queue. The first error of the TLS part is the cause; later ones say where it went. */
export function takeError(): OpensslError | undefined {
  const { lib } = openssl()
  let found: OpensslError | undefined
  for (let code = lib.ERR_get_error(); code !== 0; code = lib.ERR_get_error()) {
    if (found?.code !== undefined) continue
    const reason = lib.ERR_reason_error_string(code) ?? `error ${code.toString(16)}`
    const ofTls = ((code >>> 23) & 0xff) === sslLibrary
    if (ofTls || found === undefined)
      found = { code: ofTls ? codeOfReason(reason) : undefined, reason }
  }
  return found
}

/** The error that ends a handshake or an association. */
export function explainOpenssl(error: OpensslError | undefined, peer: string): SocketSecurityError {
  const reason = error?.reason ?? 'OpenSSL gave no reason'
  const cause = new Error(reason)
  if (error?.code !== undefined) return explained(error.code, peer, cause)
  return new SocketSecurityError('EPROTO', `${peer}: ${reason}`, { peer, cause })
}

/** The alert by which a peer refuses whoever shows it no certificate; it has no better one in DTLS 1.2. */
export function isRefusal(error: OpensslError | undefined): error is OpensslError {
  return error?.code === 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'
}

export function certificateWanted({ code, reason }: OpensslError, peer: string): Error {
  return new SocketSecurityError(
    code as SocketSecurityErrorCode,
    `${peer}: it asked for a certificate and we have none; give cert and key, or set requestCert: false at the server`,
    { peer, cause: new Error(reason) },
  )
}

/**
 * OpenSSL's verdict on the peer's certificate.
 * @param depth of the certificate that it is about; 0 is the peer's own
 */
export function explainCertificate(
  verdict: number,
  depth: number,
  peer: string,
): SocketSecurityError {
  // node:tls goes on after this one, and says what comes of it in the end.
  const code =
    verdict === unknownIssuer && depth === 0
      ? 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
      : certificateCode(verdict)
  return explained(code, peer, new Error(openssl().lib.X509_verify_cert_error_string(verdict)))
}

/** The settings cannot be used, and OpenSSL says why. */
export function unusable(what: string, cause?: Error): SocketSecurityError {
  const reason = cause?.message ?? takeError()?.reason ?? 'OpenSSL gave no reason'
  takeError()
  return new SocketSecurityError('EINVAL', `OpenSSL cannot use security.${what}: ${reason}`, {
    cause,
    syscall: 'WSASetSocketSecurity',
  })
}

/** The name of a verdict, as node:tls has it: X509_V_ERR_ (x509_vfy.h) without prefix. */
export function certificateCode(verdict: number): SocketSecurityErrorCode {
  return verdicts[verdict] ?? 'CERT_REJECTED'
}

const unknownIssuer = 20

const verdicts: Readonly<Record<number, SocketSecurityErrorCode>> = {
  2: 'UNABLE_TO_GET_ISSUER_CERT',
  3: 'UNABLE_TO_GET_CRL',
  7: 'CERT_SIGNATURE_FAILURE',
  9: 'CERT_NOT_YET_VALID',
  10: 'CERT_HAS_EXPIRED',
  11: 'CRL_NOT_YET_VALID',
  12: 'CRL_HAS_EXPIRED',
  18: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  19: 'SELF_SIGNED_CERT_IN_CHAIN',
  20: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  21: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  22: 'CERT_CHAIN_TOO_LONG',
  23: 'CERT_REVOKED',
  24: 'INVALID_CA',
  25: 'PATH_LENGTH_EXCEEDED',
  26: 'INVALID_PURPOSE',
  27: 'CERT_UNTRUSTED',
  28: 'CERT_REJECTED',
  // An authority that may not sign certificates; 79 since OpenSSL 3.0.
  79: 'INVALID_CA',
}

/**
 * OpenSSL's errors in words, for TLS and DTLS: the same code on every Node, and a message that says
 * whose fault it is and what to do.
 */
import { SocketSecurityError, type SocketSecurityErrorCode } from '../model/errors.js'

const remedies: Record<string, string> = {
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the peer does not speak TLS; nothing but the handshake was sent to it',
  ERR_SSL_PACKET_LENGTH_TOO_LONG:
    'the peer does not speak TLS; nothing but the handshake was sent to it',
  ERR_SSL_HTTP_REQUEST: 'the peer sent a plain HTTP request',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    'the server refused us: no client certificate; give cert and key, or set requestCert: false at the server',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    'no client certificate; give cert and key at the client, or set requestCert: false at the server',
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE:
    'the peer found no common ground: compare versions, ciphers, certificate types and pre-shared keys',
  ERR_SSL_NO_SHARED_CIPHER:
    'no cipher suite in common: compare ciphers and minVersion, and that the server has a certificate or the pre-shared key',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION:
    'the peer supports none of our TLS versions: compare minVersion and maxVersion',
  ERR_SSL_UNSUPPORTED_PROTOCOL:
    'the peer offers none of our TLS versions: compare minVersion and maxVersion',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA:
    'the peer does not trust our certificate: its ca must contain our issuer',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the peer refused our certificate',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'our certificate has expired',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'our certificate is revoked',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'the peer does not accept our certificate',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY: 'the peer does not know our pre-shared key identity',
  ERR_SSL_BINDER_DOES_NOT_VERIFY: 'the pre-shared keys of the two ends differ',
  ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR:
    'the pre-shared keys of the two ends differ, or a signature is wrong',
  ERR_SSL_SSLV3_ALERT_ILLEGAL_PARAMETER:
    'the pre-shared keys of the two ends differ, or the handshake was changed on the way',
  ERR_SSL_BAD_SIGNATURE:
    'a signature of its handshake is wrong: it shows a certificate whose key it does not have, or the handshake was changed on the way',
  ERR_SSL_INAPPROPRIATE_FALLBACK:
    'somebody on the way wants an older version of TLS than both ends speak',
  ERR_SSL_BAD_RECORD_TYPE:
    'what arrived in the middle of the handshake is no TLS: it is not what the peer sent, or the peer speaks something else',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
    'the peer supports none of our application protocols: compare alpn',
  ERR_SSL_NO_APPLICATION_PROTOCOL:
    'the client offered none of our application protocols: compare alpn',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'its certificate is self-signed: give it as ca, or pin its key with a sha256/… target name',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not trusted: give it as ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its authority is not trusted: give it as ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'its authority is not trusted, or it does not send its intermediate certificates: give the authority as ca',
  UNABLE_TO_GET_CRL: 'no revocation list covers it: give the list of its issuer in crl',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; is a clock wrong?',
  CERT_REVOKED: 'its certificate is revoked',
  INVALID_PURPOSE: 'its certificate is not made for this role: check the extended key usage',
}

/** node:tls's names of certificate errors have no prefix; all others of OpenSSL have ERR_SSL_. */
export const certificateCodes =
  /^(CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/

/** The error of a code. What the code says to nobody is told by the error underneath. */
export function explained(code: string, peer: string, cause: Error): SocketSecurityError {
  const whose = certificateCodes.test(code) ? 'its certificate is refused: ' : ''
  return new SocketSecurityError(
    code as SocketSecurityErrorCode,
    `${peer}: ${remedies[code] ?? `${whose}${cause.message}`}`,
    { peer, cause },
  )
}

/** The stable code of an OpenSSL error's reason, e.g. "sslv3 alert handshake failure". */
export function codeOfReason(reason: string): string {
  const name = reason
    .trim()
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
  return oneSpelling(`ERR_SSL_${name}`)
}

/** OpenSSL 3.2 renamed the alerts that SSL 3.0 has too ("ssl/tls alert …"); the older name is the code on every Node. */
export function oneSpelling(code: string): string {
  return code.replace(/^ERR_SSL_SSL[/_]TLS_ALERT_/, 'ERR_SSL_SSLV3_ALERT_')
}

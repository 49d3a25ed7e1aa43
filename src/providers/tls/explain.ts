/** TLS errors in words: the same code, and a message that says whose fault it is and what to do. */
import { SocketSecurityError, type SocketSecurityErrorCode } from '../../model/errors.js'

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
const certificateCodes =
  /^(CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/

/**
 * Explains an error of a TLS channel. What is no matter of security (ECONNREFUSED, ECONNRESET…)
 * comes back as it was.
 */
export function explainTlsError(error: Error & { code?: string }, peer: string): Error {
  if (error instanceof SocketSecurityError) return error
  const code = tlsCode(error)
  if (code === undefined) return error
  const remedy = remedies[code] ?? error.message
  return new SocketSecurityError(code as SocketSecurityErrorCode, `${peer}: ${remedy}`, {
    peer,
    cause: error,
  })
}

/**
 * Explains an error of an established channel: what somebody did to it on the way. An alert is what
 * the peer itself says.
 */
export function explainEstablished(error: Error & { code?: string }, peer: string): Error {
  const code = tlsCode(error)
  if (code === undefined || !code.startsWith('ERR_SSL_') || code.includes('_ALERT_')) {
    return explainTlsError(error, peer)
  }
  return new SocketSecurityError(
    code as SocketSecurityErrorCode,
    `${peer}: what arrived is not what the peer sent: it was changed, repeated, lost or added on the way; the connection is closed`,
    { peer, cause: error },
  )
}

/** The answer was no TLS at all. Alerts have codes of their own. */
export function isNotTls(error: Error): boolean {
  const code = tlsCode(error)
  return code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG'
}

/** The stable code of an OpenSSL error. Where it came up during a write, Node says EPROTO and hides it in the text. */
export function tlsCode(error: Error & { code?: string }): string | undefined {
  const { code } = error
  if (code === undefined) return undefined
  if (code.startsWith('ERR_SSL_') || certificateCodes.test(code)) return oneSpelling(code)
  if (code !== 'EPROTO') return undefined
  const reason = /:SSL routines:[^:]*:([^:\n]+)/.exec(error.message)?.[1]
  if (reason === undefined) return undefined
  return oneSpelling(
    `ERR_SSL_${reason
      .trim()
      .toUpperCase()
      .replace(/[^A-Z0-9]+/g, '_')}`,
  )
}

/** OpenSSL 3.2 renamed the alerts that SSL 3.0 has too ("ssl/tls alert …"); the older name is the code on every Node. */
function oneSpelling(code: string): string {
  return code.replace(/^ERR_SSL_SSL[/_]TLS_ALERT_/, 'ERR_SSL_SSLV3_ALERT_')
}

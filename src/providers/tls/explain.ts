/** TLS errors in words: the same code, and a message that says whose fault it is and what to do. */
import { SocketSecurityError, type SocketSecurityErrorCode } from '../../model/errors.js'
import { certificateCodes, codeOfReason, explained, oneSpelling } from '../explain-openssl.js'

/**
 * Explains an error of a TLS channel. What is no matter of security (ECONNREFUSED, ECONNRESET…)
 * comes back as it was.
 */
export function explainTlsError(error: Error & { code?: string }, peer: string): Error {
  if (error instanceof SocketSecurityError) return error
  const code = tlsCode(error)
  if (code === undefined) return error
  return explained(code, peer, error)
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
  if (code.startsWith('ERR_SSL_') && verifying.test(error.message)) return 'ERR_SSL_BAD_SIGNATURE'
  if (code.startsWith('ERR_SSL_') || certificateCodes.test(code)) return oneSpelling(code)
  // Of all that Node has no name for; the text says what it is.
  if (code === 'UNSPECIFIED') return 'CERT_REJECTED'
  if (code !== 'EPROTO') return undefined
  const reason = /:SSL routines:[^:]*:([^:\n]+)/.exec(error.message)?.[1]
  if (reason === undefined) return undefined
  return codeOfReason(reason)
}

/** Of a signature that is wrong Node tells what OpenSSL saw first, below TLS: another thing for each kind of key and version. */
const verifying = /:error:[0-9A-F]+:(?!SSL )[\w ]+ routines:\w*verify\w*:/i

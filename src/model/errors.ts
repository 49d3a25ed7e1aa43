/**
 * The one error class of this library, and the list of its codes.
 *
 * The codes are stable. Winsock's names are used where the Secure Socket Extensions have one
 * (WSAEISCONN is `EISCONN` here and `winsock: 'WSAEISCONN'`), and node:tls's own code wherever it
 * has one for the case, because retry logic switches on it.
 */
import { type InspectOptions, inspect } from 'node:util'

/** Codes that this library gives. docs/api.md says what each means and what to do. */
export type OwnErrorCode =
  | 'EACCES'
  | 'EADDRINUSE'
  | 'EADDRNOTAVAIL'
  | 'EAFNOSUPPORT'
  | 'ECANCELED'
  | 'ECONNRESET'
  | 'EFAULT'
  | 'EINVAL'
  | 'EISCONN'
  | 'EMSGSIZE'
  | 'ENOBUFS'
  | 'ENOCREDENTIAL'
  | 'ENOTCONN'
  | 'ENOTSOCK'
  | 'EOPNOTSUPP'
  | 'EPROTO'
  | 'ETIMEDOUT'
  | 'ERR_OPENSSL_UNSUPPORTED'
  | 'ERR_PEER_CLOSED_BEFORE_ACCEPTANCE'
  | 'ERR_PEER_NOT_AUTHENTICATED'
  | 'ERR_PEER_TARGET_NAME_MISMATCH'
  | 'ERR_POLICY_FORBIDS'
  | 'ERR_POLICY_INVALID'
  | 'ERR_PROVIDER_UNAVAILABLE'
  | 'ERR_TLS_HANDSHAKE_TIMEOUT'
  | 'ERR_WINSOCK'

/** What OpenSSL says of a certificate chain, as node:tls names it (`X509_V_ERR_` without prefix). */
export type CertificateErrorCode =
  | 'CERT_CHAIN_TOO_LONG'
  | 'CERT_HAS_EXPIRED'
  | 'CERT_NOT_YET_VALID'
  | 'CERT_REJECTED'
  | 'CERT_REVOKED'
  | 'CERT_SIGNATURE_FAILURE'
  | 'CERT_UNTRUSTED'
  | 'CRL_HAS_EXPIRED'
  | 'CRL_NOT_YET_VALID'
  | 'DEPTH_ZERO_SELF_SIGNED_CERT'
  | 'INVALID_CA'
  | 'INVALID_PURPOSE'
  | 'PATH_LENGTH_EXCEEDED'
  | 'SELF_SIGNED_CERT_IN_CHAIN'
  | 'UNABLE_TO_GET_CRL'
  | 'UNABLE_TO_GET_ISSUER_CERT'
  | 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'
  | 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'

/** Every `code` that a SocketSecurityError can carry. */
export type SocketSecurityErrorCode = OwnErrorCode | CertificateErrorCode | `ERR_SSL_${string}`

/** What an error can say beside its code and message. */
export interface SocketSecurityErrorDetails {
  /** The peer concerned, as `address:port` or `host:port`. */
  peer?: string | undefined
  /** The Winsock function whose contract was broken, e.g. `WSASetSocketSecurity`. */
  syscall?: string | undefined
  /** The system's number of the error, e.g. 10107. */
  errno?: number | undefined
  /** Winsock's name of the error, where `code` does not say it: `WSASYSCALLFAILURE`. */
  winsock?: string | undefined
  /** The error underneath, where there is one. */
  cause?: unknown
}

const brand = Symbol.for('secure-socket.SocketSecurityError')

/** Winsock's names of the codes that it has too (winerror.h). */
const winsockNames: Partial<Record<SocketSecurityErrorCode, string>> = {
  EACCES: 'WSAEACCES',
  EADDRINUSE: 'WSAEADDRINUSE',
  EADDRNOTAVAIL: 'WSAEADDRNOTAVAIL',
  EAFNOSUPPORT: 'WSAEAFNOSUPPORT',
  ECANCELED: 'WSAECANCELLED',
  ECONNRESET: 'WSAECONNRESET',
  EFAULT: 'WSAEFAULT',
  EINVAL: 'WSAEINVAL',
  EISCONN: 'WSAEISCONN',
  EMSGSIZE: 'WSAEMSGSIZE',
  ENOBUFS: 'WSAENOBUFS',
  ENOTCONN: 'WSAENOTCONN',
  ENOTSOCK: 'WSAENOTSOCK',
  EOPNOTSUPP: 'WSAEOPNOTSUPP',
  ETIMEDOUT: 'WSAETIMEDOUT',
}

/**
 * An error about the security of a socket. `message` says what was wrong, which value, and what to
 * do. `instanceof` holds across duplicate copies of the package.
 */
export class SocketSecurityError extends Error {
  /** Stable, documented in docs/api.md. */
  readonly code: SocketSecurityErrorCode
  /** Winsock's name of the code, where it has one. */
  declare readonly winsock?: string
  /** The Winsock function whose contract was broken, where there is one. */
  declare readonly syscall?: string
  /** The system's number of the error, where it gave one. */
  declare readonly errno?: number
  /** The peer concerned, as `address:port` or `host:port`. */
  declare readonly peer?: string

  constructor(
    code: SocketSecurityErrorCode,
    message: string,
    details: SocketSecurityErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    const winsock = details.winsock ?? winsockNames[code]
    if (winsock !== undefined) this.winsock = winsock
    if (details.syscall !== undefined) this.syscall = details.syscall
    if (details.errno !== undefined) this.errno = details.errno
    if (details.peer !== undefined) this.peer = details.peer
  }

  /** As every error is shown, with the code in the first line, as Node has it in its own errors. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const shown = inspect(this, { ...options, customInspect: false })
    const { name, code } = this
    return shown.startsWith(`${name}: `) ? shown.replace(name, `${name} [${code}]`) : shown
  }
}

// By a brand, so that two copies of the package know each other's errors; subclasses as always.
Object.defineProperty(SocketSecurityError, Symbol.hasInstance, {
  value(this: unknown, value: unknown): boolean {
    if (this !== SocketSecurityError)
      return Function.prototype[Symbol.hasInstance].call(this, value)
    return typeof value === 'object' && value !== null && brand in value
  },
})
// On the prototype and not enumerable, so that printed errors do not show them.
Object.defineProperty(SocketSecurityError.prototype, brand, { value: true })
Object.defineProperty(SocketSecurityError.prototype, 'name', {
  value: 'SocketSecurityError',
  writable: true,
  configurable: true,
})

/** EINVAL that names the setting and shows the value. Secrets are never shown. */
export function invalid(what: string, value: unknown, remedy: string, syscall?: string): Error {
  return new SocketSecurityError('EINVAL', `${what} is ${show(value)}: ${remedy}`, { syscall })
}

/** A value as a short text that is safe to print: no contents of buffers, functions or keys. */
export function show(value: unknown): string {
  if (typeof value === 'string') return quoted(value.length > 80 ? `${value.slice(0, 77)}…` : value)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (value === null || value === undefined) return String(value)
  if (ArrayBuffer.isView(value))
    return `a ${value.constructor?.name ?? 'view'} of ${value.byteLength} bytes`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'symbol') return 'a symbol'
  return `an object (${Object.keys(value).slice(0, 5).join(', ')})`
}

/** In quotes, with nothing in it that a terminal or a log would act on. */
function quoted(text: string): string {
  return printable(JSON.stringify(text))
}

/** Without anything in it that a terminal or a log would act on. */
export function printable(text: string): string {
  const escaped = (character: string) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`
  return text.replace(/[\p{C}\u2028\u2029]/gu, escaped)
}

/** What kind of value it is, and nothing of what is in it: for places where a secret may stand. */
export function kindOf(value: unknown): string {
  return typeof value === 'string' ? `a string of ${value.length} characters` : show(value)
}

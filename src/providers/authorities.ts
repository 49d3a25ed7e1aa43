/** What the two providers on OpenSSL ask of the settings of trust. */
import { SocketSecurityError } from '../model/errors.js'
import type { ParsedSettings, Pem } from '../model/settings.js'

/**
 * OpenSSL says nothing of a `ca` in which it finds no certificate: a path, or DER. Then nobody is
 * trusted, and the errors accuse the peers.
 * @throws SocketSecurityError EINVAL
 */
export function checkAuthorities({ ca }: ParsedSettings): void {
  for (const each of asList(ca) ?? []) {
    if (/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/.test(pemText(each))) continue
    throw new SocketSecurityError(
      'EINVAL',
      'security.ca contains no certificate: give PEM text (-----BEGIN CERTIFICATE-----), not a path and not DER',
      { syscall: 'WSASetSocketSecurity' },
    )
  }
}

/** The PEM text of a setting. */
export function pemText(pem: Pem): string {
  return typeof pem === 'string'
    ? pem
    : Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength).toString('latin1')
}

/** One or more, as a list. */
export function asList<T>(value: T | readonly T[] | undefined): readonly T[] | undefined {
  return value === undefined || Array.isArray(value)
    ? (value as readonly T[] | undefined)
    : [value as T]
}

/** The OpenSSL context of settings: certificates, trust, versions and cipher suites. */

import { constants } from 'node:crypto'
import tls, { type SecureContext, type SecureContextOptions } from 'node:tls'
import { SocketSecurityError } from '../../model/errors.js'
import type { ParsedSettings, TlsVersion } from '../../model/settings.js'
import { asList, checkAuthorities } from '../authorities.js'

const clientContexts = new WeakMap<ParsedSettings, SecureContext>()

/**
 * The context of a client, made once for equal settings.
 * @throws SocketSecurityError EINVAL, EPROTO (no encrypting cipher suite, R14)
 */
export function clientContext(settings: ParsedSettings): SecureContext {
  let context = clientContexts.get(settings)
  if (!context) {
    const options = contextOptions(settings)
    context = explained(settings, () => tls.createSecureContext(options))
    clientContexts.set(settings, context)
  }
  return context
}

/** Runs what makes OpenSSL read the settings, and says which of them it could not use. */
export function explained<T>(settings: ParsedSettings, create: () => T): T {
  try {
    return create()
  } catch (cause) {
    const error = cause as Error & { code?: string }
    if (error.code === 'ERR_SSL_NO_CIPHER_MATCH') throw noCipher(settings, cause)
    const given = (['cert', 'key', 'pfx', 'ca', 'crl', 'sigalgs', 'ecdhCurve'] as const).filter(
      key => settings[key] !== undefined,
    )
    throw new SocketSecurityError(
      'EINVAL',
      `OpenSSL cannot use the settings (${given.join(', ')}): ${error.message}`,
      {
        cause,
        syscall: 'WSASetSocketSecurity',
      },
    )
  }
}

export function contextOptions(settings: ParsedSettings): SecureContextOptions {
  checkAuthorities(settings)
  const { cert, passphrase, ca, crl, sigalgs, ecdhCurve } = settings
  // Node takes a key with its passphrase only in an array.
  const [key, pfx] = [asList(settings.key), asList(settings.pfx)]
  const usesPsk = settings.ownPsk !== undefined || settings.acceptedPsk !== undefined
  // Pre-shared keys work with the SHA-256 suites of TLS 1.3 only (RFC 8446, section 4.2.11).
  const minVersion = usesPsk ? 'TLSv1.3' : settings.minVersion
  if (settings.maxVersion !== undefined && settings.maxVersion < minVersion) {
    throw new SocketSecurityError(
      'EINVAL',
      'security.maxVersion is "TLSv1.2": pre-shared keys need TLSv1.3',
      {
        syscall: 'WSASetSocketSecurity',
      },
    )
  }
  const given = {
    cert,
    key,
    pfx,
    passphrase,
    ca,
    crl,
    sigalgs,
    ecdhCurve,
    maxVersion: settings.maxVersion,
  }
  const options: Record<string, unknown> = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  )
  return {
    ...options,
    // Settings of a stream, whose versions are those of TLS.
    minVersion: minVersion as TlsVersion,
    ciphers: cipherSuites(settings, usesPsk),
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      // A ticket of a pre-shared key would carry no identity: those sessions are never resumed.
      (usesPsk ? constants.SSL_OP_NO_TICKET : 0),
  }
}

/** Suites that do not encrypt: TLS 1.2's NULL suites, and those of RFC 9150 for TLS 1.3. */
const integrityOnly = /NULL|^TLS_SHA\d+_SHA\d+$/

export function encrypts(cipher: string): boolean {
  return !integrityOnly.test(cipher)
}

function cipherSuites(settings: ParsedSettings, usesPsk: boolean): string {
  const wanted =
    settings.ciphers ??
    (usesPsk ? 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256' : tls.DEFAULT_CIPHERS)
  const parts = wanted.split(/[:, ]+/).filter(part => part !== '')
  const kept = settings.guaranteeEncryption
    ? parts.filter(part => /^[!-]/.test(part) || encrypts(part))
    : parts
  if (!kept.some(part => !/^[!@-]/.test(part))) throw noCipher(settings)
  // The suites of TLS 1.3 are listed by name, none of them is anonymous, and exclusions alone match nothing.
  if (kept.every(part => part.startsWith('TLS_'))) return kept.join(':')
  // Never anonymous; and no suite without encryption by way of a group name such as ALL.
  return [...kept, '!aNULL', ...(settings.guaranteeEncryption ? ['!eNULL'] : [])].join(':')
}

function noCipher(settings: ParsedSettings, cause?: unknown): SocketSecurityError {
  return new SocketSecurityError(
    'EPROTO',
    `no cipher suite is left of ${JSON.stringify(settings.ciphers)} that ${settings.guaranteeEncryption ? 'encrypts' : 'OpenSSL knows'}: nothing is sent`,
    { cause, syscall: 'WSASetSocketSecurity' },
  )
}

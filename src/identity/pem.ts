import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { SocketSecurityError } from '../model/errors.js'

/** PEM as it comes from a file. */
export type Pem = string | Uint8Array

/**
 * The certificates of a PEM file, in its order. Text around them is skipped, as OpenSSL does.
 * @throws SocketSecurityError EINVAL where there is none, or where one is broken
 */
export function parseCertificates(
  option: string,
  pem: Pem,
): [X509Certificate, ...X509Certificate[]] {
  const blocks = text(option, pem).match(
    /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g,
  )
  if (blocks === null) throw new SocketSecurityError('EINVAL', `${option} is no certificate in PEM`)
  try {
    const [first, ...others] = blocks.map(block => new X509Certificate(block))
    return [first as X509Certificate, ...others]
  } catch (cause) {
    throw new SocketSecurityError('EINVAL', `${option} contains a broken certificate`, { cause })
  }
}

/** @throws SocketSecurityError EINVAL; the value is secret and not shown */
export function parsePrivateKey(option: string, pem: Pem): KeyObject {
  const key = text(option, pem)
  try {
    return createPrivateKey(key)
  } catch (cause) {
    const reason = 'is no private key in PEM that can be read without a passphrase'
    throw new SocketSecurityError('EINVAL', `${option} ${reason}`, { cause })
  }
}

export function certificatesPem(certificates: readonly X509Certificate[]): string {
  return certificates.join('')
}

/** PKCS #8, unencrypted. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}

function text(option: string, pem: Pem): string {
  if (typeof pem === 'string') return pem
  if (ArrayBuffer.isView(pem)) return Buffer.from(pem).toString('latin1')
  throw new SocketSecurityError('EINVAL', `${option} must be PEM, as a string or a Buffer`)
}

/**
 * Are credentials whole, and do they belong together? Whoever writes a file can be in the middle of
 * it, and a certificate and its key are two files.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import tls, { type SecureContextOptions } from 'node:tls'
import type { ParsedSettings } from '../model/settings.js'

/**
 * The certificates that we show to peers, without their chains.
 * @throws Error that says which setting is incomplete, cannot be read, or belongs to another
 */
export function checkCredentials(settings: ParsedSettings): X509Certificate[] {
  const { cert, key, pfx, passphrase, ca, crl, ciphers } = settings
  const leaves = list(cert).map(pem => leafOf(text(pem)))
  for (const pem of list(ca)) certificatesIn(text(pem), 'ca')
  for (const pem of list(crl)) checkWhole(text(pem), 'crl')
  const keys = list(key).map(each =>
    isWithPassphrase(each, 'pem')
      ? privateKey(each.pem, each.passphrase ?? passphrase)
      : privateKey(each, passphrase),
  )
  for (const leaf of leaves) {
    if (keys.some(each => leaf.checkPrivateKey(each))) continue
    throw new Error('security.key is not the private key of security.cert')
  }
  const given = {
    ...{ cert, key: asArray(key), pfx: asArray(pfx), passphrase, crl },
    // Without one, Node would read all that it trusts by default.
    ca: ca ?? [],
    // How strong keys must be; which suites there are is not the files' affair.
    ciphers: ciphers?.match(/@SECLEVEL=\d/)?.[0].replace('@', 'DEFAULT@'),
  }
  const options = Object.entries(given).filter(([, value]) => value !== undefined)
  const { context } = tls.createSecureContext(Object.fromEntries(options) as SecureContextOptions)
  // There is no other way in Node to look into PKCS#12.
  const inArchive = pfx === undefined ? null : (context as Native).getCertificate?.()
  return inArchive ? [...leaves, new X509Certificate(inArchive)] : leaves
}

type Native = { getCertificate?(): Buffer | null }

function leafOf(pem: string): X509Certificate {
  const [leaf] = certificatesIn(pem, 'cert')
  return leaf as X509Certificate
}

/** All of them, at least one: OpenSSL stops at the first that it cannot read, and says nothing. */
function certificatesIn(pem: string, setting: string): X509Certificate[] {
  checkWhole(pem, setting)
  const blocks = pem.match(/-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^-]+-----END \1-----/g)
  if (blocks === null) throw new Error(`security.${setting} contains no certificate in PEM`)
  return blocks.map(block => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new Error(
        `security.${setting} contains a certificate that cannot be read: ${(cause as Error).message}`,
        { cause },
      )
    }
  })
}

function checkWhole(pem: string, setting: string): void {
  const begun = pem.match(/-----BEGIN [^-]+-----/g)?.length ?? 0
  const ended = pem.match(/-----END [^-]+-----/g)?.length ?? 0
  if (begun !== ended) throw new Error(`security.${setting} is cut off`)
}

function privateKey(pem: unknown, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({
      key: text(pem),
      ...(passphrase === undefined ? {} : { passphrase }),
    })
  } catch (cause) {
    throw new Error(`security.key cannot be read: ${(cause as Error).message}`, { cause })
  }
}

function isWithPassphrase<K extends string>(
  value: unknown,
  field: K,
): value is { readonly [P in K]: unknown } & { readonly passphrase?: string } {
  return typeof value === 'object' && value !== null && field in value
}

function text(pem: unknown): string {
  if (typeof pem === 'string') return pem
  const view = pem as NodeJS.ArrayBufferView
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('latin1')
}

function list(value: unknown): readonly unknown[] {
  return asArray(value) ?? []
}

/** Node takes a key with its passphrase only in an array. */
function asArray(value: unknown): readonly unknown[] | undefined {
  return value === undefined || Array.isArray(value) ? value : [value]
}

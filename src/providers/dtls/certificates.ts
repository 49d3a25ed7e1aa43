/** The certificates, keys and trust of settings, as OpenSSL's own objects. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import type { Pointer } from '../../../lib/memory.js'
import {
  SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR,
  SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR,
  SSL_BUILD_CHAIN_FLAG_NO_ROOT,
  SSL_BUILD_CHAIN_FLAG_UNTRUSTED,
  SSL_CTRL_BUILD_CERT_CHAIN,
  SSL_CTRL_CHAIN_CERT,
  X509_V_FLAG_CRL_CHECK,
  X509_V_FLAG_CRL_CHECK_ALL,
} from '../../../lib/openssl.js'
import type { ParsedSettings, Pem, Pfx, PrivateKey } from '../../model/settings.js'
import { asList, checkAuthorities, pemText } from '../authorities.js'
import { unusable } from './explain.js'
import { decodeDer, openssl, pointerAt, setPointerAt } from './openssl.js'

/**
 * Whom the settings trust, as an X509_STORE; the caller frees it.
 * @param verifies whether a certificate can come at all: with pre-shared keys alone none can, and the
 * default authorities cost 100 ms and some megabytes
 * @throws SocketSecurityError EINVAL
 */
export function trustStore(settings: ParsedSettings, verifies: boolean): Pointer {
  const { lib } = openssl()
  checkAuthorities(settings)
  const { ca, crl, pfx } = settings
  // One for all who add nothing of their own to it.
  if (ca === undefined && crl === undefined && pfx === undefined && verifies) {
    const store = defaultStore()
    lib.X509_STORE_up_ref(store)
    return store
  }
  return newStore(store => {
    if (ca === undefined && verifies) addDefaults(store, defaultAuthorities())
    for (const pem of asList(ca) ?? []) {
      for (const der of certificatesIn(pem, 'ca')) addTo(store, der)
    }
    if (crl !== undefined) {
      for (const pem of asList(crl) ?? []) addRevocations(store, pem)
      lib.X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)
    }
  })
}

/** The caller frees it; where it cannot be filled, nobody has to. */
function newStore(fill: (store: Pointer) => void): Pointer {
  const { lib } = openssl()
  const store = lib.X509_STORE_new()
  try {
    fill(store)
  } catch (error) {
    lib.X509_STORE_free(store)
    throw error
  }
  return store
}

let defaults: { readonly authorities: readonly string[]; readonly store: Pointer } | undefined

function defaultStore(): Pointer {
  const { lib } = openssl()
  const authorities = defaultAuthorities()
  // tls.setDefaultCACertificates() can have changed them.
  if (defaults?.authorities !== authorities) {
    const store = newStore(store => addDefaults(store, authorities))
    if (defaults) lib.X509_STORE_free(defaults.store)
    defaults = { authorities, store }
  }
  return defaults.store
}

/** Node has read them already, so what is between the lines is certificates. */
function addDefaults(store: Pointer, authorities: readonly string[]): void {
  for (const pem of authorities) {
    for (const [, base64 = ''] of pem.matchAll(
      /-----BEGIN (?:X509 )?CERTIFICATE-----([^-]+)-----END/g,
    )) {
      addTo(store, Buffer.from(base64, 'base64'))
    }
  }
}

/** Our own certificates and keys. The store is where the rest of their chains may be. */
export function useIdentity(context: Pointer, store: Pointer, settings: ParsedSettings): void {
  const { lib } = openssl()
  const certificates = asList(settings.cert) ?? []
  for (const pem of certificates) {
    const [leaf, ...chain] = certificatesIn(pem, 'cert')
    if (leaf === undefined) throw unusable('cert', new Error('it contains no certificate'))
    withCertificate(leaf, x509 => {
      if (lib.SSL_CTX_use_certificate(context, x509) !== 1) throw unusable('cert')
    })
    for (const der of chain) addToChain(context, der)
    completeChain(context)
  }
  for (const key of asList(settings.key) ?? []) useKey(context, key, settings.passphrase)
  if (certificates.length > 0 && lib.SSL_CTX_check_private_key(context) !== 1) throw unusable('key')
  for (const pfx of asList(settings.pfx) ?? []) usePfx(context, store, pfx, settings.passphrase)
}

function useKey(context: Pointer, key: PrivateKey, passphrase: string | undefined): void {
  const { lib } = openssl()
  const own = typeof key === 'object' && 'pem' in key ? key : { pem: key as Pem }
  let der: Buffer
  try {
    // By node:crypto, which reads every form of PEM and says well what is wrong with it.
    der = createPrivateKey({
      key: pemText(own.pem),
      passphrase: own.passphrase ?? passphrase,
    }).export({ type: 'pkcs8', format: 'der' })
  } catch (error) {
    throw unusable('key', error as Error)
  }
  const pkey = decodeDer(der, (at, length) => lib.d2i_AutoPrivateKey(0, at, length))
  der.fill(0)
  if (pkey === 0) throw unusable('key')
  const used = lib.SSL_CTX_use_PrivateKey(context, pkey)
  lib.EVP_PKEY_free(pkey)
  if (used !== 1) throw unusable('key')
}

function usePfx(context: Pointer, store: Pointer, pfx: Pfx, passphrase: string | undefined): void {
  const { lib, scratch } = openssl()
  const own = typeof pfx === 'object' && 'buf' in pfx ? pfx : { buf: pfx as Pem }
  const der =
    typeof own.buf === 'string'
      ? Buffer.from(own.buf, 'latin1')
      : Buffer.from(own.buf.buffer, own.buf.byteOffset, own.buf.byteLength)
  const p12 = decodeDer(der, (at, length) => lib.d2i_PKCS12(0, at, length))
  if (p12 === 0) throw unusable('pfx')
  const { sizeofPointer: size } = openssl()
  for (const index of [0, 1, 2]) setPointerAt(scratch, index * size, 0)
  const { address } = scratch
  const parsed = lib.PKCS12_parse(
    p12,
    own.passphrase ?? passphrase ?? '',
    address,
    address + size,
    address + 2 * size,
  )
  lib.PKCS12_free(p12)
  if (parsed !== 1) throw unusable('pfx')
  const [key = 0, x509 = 0, others = 0] = [0, 1, 2].map(index => pointerAt(scratch, index * size))
  try {
    if (key === 0 || x509 === 0)
      throw unusable('pfx', new Error('it has no certificate with its private key'))
    if (lib.SSL_CTX_use_certificate(context, x509) !== 1) throw unusable('pfx')
    if (lib.SSL_CTX_use_PrivateKey(context, key) !== 1) throw unusable('pfx')
    const count = others === 0 ? 0 : lib.OPENSSL_sk_num(others)
    for (let index = 0; index < count; index += 1) {
      const other = lib.OPENSSL_sk_value(others, index)
      lib.SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 1, other)
      // As in node:tls, the authority that comes with our own identity is trusted.
      lib.X509_STORE_add_cert(store, other)
    }
    completeChain(context)
  } finally {
    if (key !== 0) lib.EVP_PKEY_free(key)
    if (x509 !== 0) lib.X509_free(x509)
    if (others !== 0) {
      for (let index = lib.OPENSSL_sk_num(others) - 1; index >= 0; index -= 1)
        lib.X509_free(lib.OPENSSL_sk_value(others, index))
      lib.OPENSSL_sk_free(others)
    }
  }
}

function addToChain(context: Pointer, der: Uint8Array): void {
  const { lib } = openssl()
  withCertificate(der, x509 => {
    // 1: the chain takes a reference of its own.
    if (lib.SSL_CTX_ctrl(context, SSL_CTRL_CHAIN_CERT, 1, x509) !== 1) throw unusable('cert')
  })
}

/**
 * Adds to the chain what the trust store has of it, without the root, which whoever trusts it has:
 * once and not in every handshake, and a smaller flight.
 */
function completeChain(context: Pointer): void {
  const { lib } = openssl()
  const flags =
    SSL_BUILD_CHAIN_FLAG_UNTRUSTED |
    SSL_BUILD_CHAIN_FLAG_NO_ROOT |
    SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
    SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR
  if (lib.SSL_CTX_ctrl(context, SSL_CTRL_BUILD_CERT_CHAIN, flags, 0) === 0) throw unusable('cert')
}

/** The certificates of a PEM text, as DER. */
function certificatesIn(pem: Pem, setting: 'cert' | 'ca'): Buffer[] {
  const blocks =
    pemText(pem).match(/-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[^-]+-----END \1-----/g) ??
    []
  return blocks.map(block => {
    try {
      return new X509Certificate(block).raw
    } catch (error) {
      throw unusable(setting, error as Error)
    }
  })
}

function addTo(store: Pointer, der: Uint8Array): void {
  const { lib } = openssl()
  withCertificate(der, x509 => {
    if (lib.X509_STORE_add_cert(store, x509) !== 1) throw unusable('ca')
  })
}

function addRevocations(store: Pointer, pem: Pem): void {
  const { lib } = openssl()
  const blocks = [
    ...pemText(pem).matchAll(/-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g),
  ]
  if (blocks.length === 0) throw unusable('crl', new Error('it contains no revocation list in PEM'))
  for (const [, base64 = ''] of blocks) {
    const der = Buffer.from(base64, 'base64')
    const crl = decodeDer(der, (at, length) => lib.d2i_X509_CRL(0, at, length))
    if (crl === 0) throw unusable('crl')
    const added = lib.X509_STORE_add_crl(store, crl)
    lib.X509_CRL_free(crl)
    if (added !== 1) throw unusable('crl')
  }
}

function withCertificate(der: Uint8Array, use: (x509: Pointer) => void): void {
  const { lib } = openssl()
  const x509 = decodeDer(der, (at, length) => lib.d2i_X509(0, at, length))
  if (x509 === 0) throw unusable('cert')
  try {
    use(x509)
  } finally {
    lib.X509_free(x509)
  }
}

let withExtra: readonly string[] | undefined

/** What node:tls trusts where nothing is said; the same list until that changes. Node 20 does not tell of NODE_EXTRA_CA_CERTS. */
function defaultAuthorities(): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] }
  if (getCACertificates) return getCACertificates('default')
  withExtra ??= rootsAndExtra()
  return withExtra
}

function rootsAndExtra(): readonly string[] {
  const { NODE_EXTRA_CA_CERTS: extra } = process.env
  if (!extra) return tls.rootCertificates
  try {
    return [...tls.rootCertificates, readFileSync(extra, 'latin1')]
  } catch {
    // Node itself has warned of it.
    return tls.rootCertificates
  }
}

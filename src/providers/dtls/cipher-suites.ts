/**
 * The cipher suites of DTLS 1.2: authenticated encryption only. With any other, one forged record
 * can end an association.
 */
import type { Pointer } from '../../../lib/memory.js'
import { SocketSecurityError } from '../../model/errors.js'
import { openssl } from './openssl.js'

/** Who proves itself how: suites that nobody has credentials for are not offered. */
export interface Means {
  readonly certificates: boolean
  readonly psk: boolean
}

const withCertificates = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]
/** Forward secrecy first; the others are what small devices have. */
const withPsk = [
  'ECDHE-PSK-CHACHA20-POLY1305',
  'PSK-AES128-GCM-SHA256',
  'PSK-AES256-GCM-SHA384',
  'PSK-CHACHA20-POLY1305',
  'PSK-AES128-CCM',
]
/** What every CoAP implementation has (RFC 7252, section 9.1.3.1). Its tags are short: only where there is nothing but a pre-shared key, or where it is listed. */
const coap = 'PSK-AES128-CCM8'

/**
 * Gives a context its suites.
 * @throws SocketSecurityError EPROTO where none is left (R14)
 */
export function useCipherSuites(context: Pointer, wanted: string | undefined, means: Means): void {
  const { lib } = openssl()
  const suites = wanted === undefined ? defaultSuites(means) : wantedSuites(context, wanted, means)
  // OpenSSL 3.2 and newer count the short tags of CCM8 as weak. All else that the level forbids is
  // not among these suites; for certificates the level stays, see context.ts.
  const level = suites.some(name => name.includes('CCM8')) ? ['@SECLEVEL=0'] : []
  const list = [...suites, ...level].join(':')
  if (suites.length === 0 || lib.SSL_CTX_set_cipher_list(context, list) !== 1) {
    lib.ERR_clear_error()
    throw new SocketSecurityError(
      'EPROTO',
      `no cipher suite is left of ${JSON.stringify(wanted)} that OpenSSL has for DTLS 1.2 with authenticated encryption (GCM, CCM, ChaCha20) and ${has(means)}: nothing is sent`,
      { syscall: 'WSASetSocketSecurity' },
    )
  }
}

function has({ certificates, psk }: Means): string {
  return [certificates && 'certificates', psk && 'pre-shared keys'].filter(Boolean).join(' or ')
}

function defaultSuites({ certificates, psk }: Means): string[] {
  return [
    ...(certificates ? withCertificates : []),
    ...(psk ? withPsk : []),
    ...(psk && !certificates ? [coap] : []),
  ]
}

/** What OpenSSL makes of a list, in its order. */
function wantedSuites(context: Pointer, wanted: string, means: Means): string[] {
  const { lib } = openssl()
  const listed = wanted.split(/[:, ]+/).filter(part => part !== '')
  // The level would hide suites before we have seen them.
  const parts = [...listed.filter(part => !part.startsWith('@SECLEVEL')), '@SECLEVEL=0']
  if (lib.SSL_CTX_set_cipher_list(context, parts.join(':')) !== 1) return []
  const stack = lib.SSL_CTX_get_ciphers(context)
  const suites: string[] = []
  for (let index = 0; index < lib.OPENSSL_sk_num(stack); index += 1) {
    const cipher = lib.OPENSSL_sk_value(stack, index)
    const name = lib.SSL_CIPHER_get_name(cipher)
    if (lib.SSL_CIPHER_is_aead(cipher) !== 1 || name.startsWith('TLS_')) continue
    if (/^(ADH|AECDH|RSA-PSK)-/.test(name)) continue
    if (name.includes('CCM8') && !listed.some(part => part.includes('CCM8'))) continue
    if (isPsk(name) ? means.psk : means.certificates) suites.push(name)
  }
  return suites
}

/** Is a suite, by OpenSSL's name, one of pre-shared keys? */
function isPsk(name: string): boolean {
  return name.includes('PSK-')
}

/** What an association asks of the suite that it has agreed on. */
export interface Suite {
  readonly standardName: string
  readonly isPsk: boolean
  readonly minimumRecord: number
}

const known = new Map<Pointer, Suite>()

/** The suite of an SSL whose handshake is complete. OpenSSL's are constants: the address of one stands for it. */
export function suiteOf(ssl: Pointer): Suite {
  const { lib } = openssl()
  const cipher = lib.SSL_get_current_cipher(ssl)
  let suite = known.get(cipher)
  if (suite === undefined) {
    const name = lib.SSL_CIPHER_get_name(cipher)
    suite = {
      standardName: lib.SSL_CIPHER_standard_name(cipher) ?? name,
      isPsk: isPsk(name),
      minimumRecord: minimumRecordOf(name),
    }
    known.set(cipher, suite)
  }
  return suite
}

/**
 * The shortest record of epoch 1 and later that can be authentic: explicit nonce and tag (RFC 5288,
 * RFC 6655, RFC 7905). OpenSSL ends an association over a shorter one.
 */
function minimumRecordOf(name: string): number {
  return /CHACHA20|CCM8/.test(name) ? 16 : unknownMinimumRecord
}

export const unknownMinimumRecord = 24

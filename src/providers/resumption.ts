/**
 * Which servers accept each other's tickets, where they have the same ticket keys: those whose full
 * handshakes prove the same. A ticket says that a client was authenticated and that it has
 * authenticated a server; it must be worth nothing where either would have been checked otherwise.
 *
 * So everything in the settings counts, but for what is listed here. Of our own identity the names
 * count, and not the certificate: each process of a fleet may have one of its own, and a new one
 * from time to time. A server of other names is another server, also to clients that a stranger's
 * hand has led to it.
 */
import { X509Certificate } from 'node:crypto'
import { fingerprintOf } from '../model/fingerprint.js'
import { certificateIdentity } from '../model/peer-identity.js'
import type { ParsedSettings, Pem } from '../model/settings.js'
import { asList, pemText } from './authorities.js'

/** What does not change whom a handshake of a server authenticates, nor how well. */
const indifferent = new Set<keyof ParsedSettings>([
  'fingerprint',
  'key',
  'passphrase',
  'ticketKeys',
  'servername',
  'ownPsk',
  'handshakeTimeout',
  'keylog',
  'sharePort',
  'mtu',
  'maxSessions',
  'maxSessionsPerHost',
  'resumeAfter',
  'rekeyAfter',
  'rekeyAfterBytes',
  'idleTimeout',
  'maxQueuedDatagrams',
  'maxQueuedBytes',
])

/** Equal at servers that accept each other's tickets: 32 bytes, for SSL_CTX_set_session_id_context. */
export function resumptionContext(settings: ParsedSettings): Buffer {
  const counting = Object.entries(settings).filter(
    ([key, value]) => value !== undefined && !indifferent.has(key as keyof ParsedSettings),
  )
  const { cert, ca, crl } = settings
  const digest = fingerprintOf({
    ...Object.fromEntries(counting),
    ...(cert === undefined ? {} : { cert: namesOf(cert) }),
    ...(ca === undefined ? {} : { ca: contentsOf(ca) }),
    ...(crl === undefined ? {} : { crl: contentsOf(crl) }),
  })
  return Buffer.from(digest, 'base64')
}

/** Of all our certificates; where one has no name, its key stands for it. */
function namesOf(cert: Pem | readonly Pem[]): string[] {
  const names = (asList(cert) ?? []).flatMap(pem => {
    try {
      const { names, pin } = certificateIdentity(new X509Certificate(pemText(pem)))
      return names.length > 0 ? names : [String(pin)]
    } catch {
      // OpenSSL is about to say what is wrong with it.
      return [pemText(pem)]
    }
  })
  return [...new Set(names)].sort()
}

/** What stands in PEM files, however they are written and in whatever order. */
function contentsOf(pems: Pem | readonly Pem[]): string[] {
  const blocks = (asList(pems) ?? []).flatMap(pem =>
    [...pemText(pem).matchAll(/-----BEGIN ([^-]+)-----([^-]+)-----END/g)].map(
      ([, kind, base64 = '']) => `${kind} ${base64.replace(/\s/g, '')}`,
    ),
  )
  return [...new Set(blocks)].sort()
}

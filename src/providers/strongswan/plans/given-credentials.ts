/** The credentials among the settings, in the form that the IKE daemon takes. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { SocketSecurityError } from '../../../model/errors.js'
import { certificateIdentity } from '../../../model/peer-identity.js'
import type { ParsedSettings, Pem, PrivateKey } from '../../../model/settings.js'
import { asList, pemText } from '../../authorities.js'
import type { Credential } from './plans.js'

const syscall = 'WSASetSocketSecurity'

/** Each is a connection of the daemon: a certificate of a thousand names must not become a thousand. */
const MAX_NAMES = 16

/** A certificate, its key, and the identities of IKE that it proves. */
export interface Certified {
  readonly credential: Credential & { readonly kind: 'certificate' }
  /** DNS names, then addresses. */
  readonly names: readonly string[]
}

/**
 * Our own certificate and key; undefined where the settings have none.
 * @throws SocketSecurityError EINVAL where they cannot be read or do not belong together
 */
export function certifiedBy(settings: ParsedSettings): Certified | undefined {
  if (settings.cert === undefined || settings.key === undefined) return undefined
  let known = certified.get(settings)
  if (known === undefined) {
    known = readCertified(settings.cert, settings.key, settings.passphrase)
    certified.set(settings, known)
  }
  return known
}

const certified = new WeakMap<ParsedSettings, Certified>()

function readCertified(
  cert: NonNullable<ParsedSettings['cert']>,
  key: NonNullable<ParsedSettings['key']>,
  passphrase: string | undefined,
): Certified {
  const [pem, ...otherPems] = asList(cert) as readonly Pem[]
  const [privateKey, ...otherKeys] = asList(key) as readonly PrivateKey[]
  if (pem === undefined || privateKey === undefined) throw invalid('cert', 'or key is empty')
  if (otherPems.length + otherKeys.length > 0) throw severalIdentities()
  const chain = certificatesIn('cert', pem)
  const parsed = readKey(privateKey, passphrase)
  const [leaf] = chain as [X509Certificate]
  if (!leaf.checkPrivateKey(parsed)) throw invalid('key', 'is not the private key of security.cert')
  const credential = Object.freeze({
    kind: 'certificate' as const,
    chain: Object.freeze(chain.map(each => each.raw)),
    key: () => parsed.export({ type: 'pkcs8', format: 'der' }),
  })
  return Object.freeze({ credential, names: namesOf(leaf) })
}

/** A wildcard is no identity of IKE, and a URI none that strongSwan would prove. */
function namesOf(certificate: X509Certificate): readonly string[] {
  const { names } = certificateIdentity(certificate)
  const hosts = names.filter(each => isIP(each) === 0 && /^[\w.-]+$/.test(each))
  const addresses = names.filter(each => isIP(each) !== 0)
  const all = [...new Set([...hosts.map(each => `fqdn:${each.toLowerCase()}`), ...addresses])]
  return Object.freeze(all.slice(0, MAX_NAMES))
}

function readKey(key: PrivateKey, passphrase: string | undefined): KeyObject {
  const own = typeof key === 'object' && 'pem' in key ? key : { pem: key }
  const phrase = ('passphrase' in own ? own.passphrase : undefined) ?? passphrase
  try {
    return createPrivateKey({
      key: pemText(own.pem),
      ...(phrase === undefined ? {} : { passphrase: phrase }),
    })
  } catch (cause) {
    throw invalid('key', `cannot be read: ${(cause as Error).message}`, cause)
  }
}

/**
 * The authorities that may vouch for a peer, in DER; null: those that the daemon trusts.
 * @throws SocketSecurityError EINVAL, ENOCREDENTIAL
 */
export function trustedAuthorities(settings: ParsedSettings): readonly Buffer[] | null {
  if (settings.ca === undefined) return null
  let known = authorities.get(settings)
  if (known === undefined) {
    known = readAuthorities(settings.ca)
    authorities.set(settings, known)
  }
  return known
}

const authorities = new WeakMap<ParsedSettings, readonly Buffer[]>()

function readAuthorities(ca: NonNullable<ParsedSettings['ca']>): readonly Buffer[] {
  const certificates = (asList(ca) as readonly Pem[]).flatMap(each => certificatesIn('ca', each))
  if (certificates.length === 0)
    throw new SocketSecurityError(
      'ENOCREDENTIAL',
      'security.ca is empty: nobody is trusted; give ca, or psk',
      { syscall },
    )
  // strongSwan demands that one of them has signed the peer's certificate or its authority's.
  if (!certificates.every(each => each.ca))
    throw invalid(
      'ca',
      'has a certificate of no authority, by which IKE trusts nobody: give that of the authority which has signed the peers’',
    )
  return Object.freeze(certificates.map(each => each.raw))
}

function certificatesIn(key: string, pem: Pem): X509Certificate[] {
  const blocks = pemText(pem).match(
    /-----BEGIN (X509 )?CERTIFICATE-----[^-]+-----END (X509 )?CERTIFICATE-----/g,
  )
  if (blocks === null)
    throw invalid(
      key,
      'contains no certificate: give PEM text (-----BEGIN CERTIFICATE-----), not a path and not DER',
    )
  try {
    return blocks.map(each => new X509Certificate(each))
  } catch (cause) {
    throw invalid(key, `contains a broken certificate: ${(cause as Error).message}`, cause)
  }
}

function severalIdentities(): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    'security.cert has several certificates of our own: IKE proves one; give one, with its chain in the same text',
    { syscall },
  )
}

function invalid(key: string, why: string, cause?: unknown): SocketSecurityError {
  return new SocketSecurityError('EINVAL', `security.${key} ${why}`, { syscall, cause })
}

import { SocketSecurityError } from '../model/errors.js'
import { publicKeyPin } from '../model/peer-identity.js'
import { type CertifiedName, parseCertifiedNames } from './certified-name.js'
import { type CertificateAndKey, isDevice, parseBasename, writePair } from './files.js'
import { type AuthorityPem, parseIssuer } from './issuer.js'
import { makeKeyPair } from './key-algorithm.js'
import {
  type CertificateOptions,
  MAX_COMMON_NAME,
  parseAlgorithm,
  parseUsage,
  parseValidity,
  refuseUnknownOptions,
  type Usage,
  type Validity,
} from './options.js'
import { privateKeyPem } from './pem.js'
import { makeCertificate } from './x509.js'

/** How to make an identity. */
export interface IdentityOptions extends CertificateOptions {
  /**
   * Whom the identity proves to be: target names. `host/db.example.com` and `db.example.com`
   * become DNS names, addresses IP names, `spiffe://…` and other URIs URI names. `*.example.com`
   * stands for every host directly below example.com.
   */
  names: readonly string[]

  /** Who signs. Without it the identity is self-signed, for peers that know its pin. */
  authority?: AuthorityPem | undefined

  /** What the identity is for. Default: `'both'`. */
  usage?: Usage | undefined

  /** What the files in `directory` are called, without extension. Default: after the first name. */
  file?: string | undefined
}

/**
 * A certificate with its key and what to trust. It can be spread into the security settings of a
 * socket: `security: { ...identity }`; `pin` is not enumerable, so it stays behind.
 */
export interface Identity extends CertificateAndKey {
  /** The certificate, followed by those of intermediate authorities if there are any; PEM. */
  readonly cert: string
  /** The private key, PEM (PKCS #8). */
  readonly key: string
  /** What a peer of the same authority trusts: the root, or a self-signed certificate itself. */
  readonly ca: string
  /** `sha256/…` of the public key: a target name for peers that trust no authority. */
  readonly pin: string
}

const known = ['names', 'authority', 'days', 'notBefore', 'algorithm', 'usage', 'directory', 'file']
const MAX_DEFAULT_DAYS = 397

/**
 * Makes an identity: a certificate with the given names, and its private key. Without `days` it is
 * valid for 397 days, or until the authority ends if that is earlier.
 *
 * @example
 * const identity = await createIdentity({ authority, names: ['host/db.example.com', '10.0.0.5'] })
 * createServer({ security: { ...identity, requestCert: true } })
 *
 * @throws SocketSecurityError EINVAL, naming the option and its value, or the file that exists
 */
export async function createIdentity(options: IdentityOptions): Promise<Identity> {
  if (typeof options !== 'object' || options === null) {
    throw new SocketSecurityError('EINVAL', 'names is required: createIdentity({ names: […] })')
  }
  refuseUnknownOptions(options, known)
  const names = parseCertifiedNames(options.names)
  const algorithm = parseAlgorithm(options.algorithm)
  const role = parseUsage(options.usage)
  const issuer = options.authority === undefined ? undefined : parseIssuer(options.authority)
  const authorityEnd = issuer && new Date(issuer.certificate.validTo)
  const validity = validityWithin(authorityEnd, options)
  const { directory, file = defaultFile(names[0]) } = options
  const basename = parseBasename('file', file)

  const { publicKey, privateKey } = await makeKeyPair(algorithm)
  const certificate = await makeCertificate(
    { role, names, validity, commonName: commonName(names[0]) },
    publicKey,
    issuer ?? { privateKey },
  )
  const cert = certificate.toString()
  const identity = {
    cert: cert + (issuer?.intermediates ?? ''),
    key: privateKeyPem(privateKey),
    ca: issuer?.root ?? cert,
  }
  if (directory !== undefined) await writePair(directory, basename, identity)
  return Object.defineProperty(identity as Identity, 'pin', { value: publicKeyPin(certificate) })
}

/** A certificate that outlives its authority would fail one day without any warning. */
function validityWithin(
  authorityEnd: Date | undefined,
  { days, notBefore }: CertificateOptions,
): Validity {
  const validity = parseValidity(days ?? MAX_DEFAULT_DAYS, notBefore)
  if (authorityEnd === undefined || validity.notAfter <= authorityEnd) return validity
  if (days === undefined && validity.notBefore < authorityEnd) {
    return { ...validity, notAfter: authorityEnd }
  }
  throw new SocketSecurityError(
    'EINVAL',
    `days: the certificate would end on ${validity.notAfter.toISOString()}, after its authority (${authorityEnd.toISOString()})`,
  )
}

/** Nothing depends on it, so a long name is left out rather than cut into another one. */
function commonName({ value }: CertifiedName): string {
  return value.length <= MAX_COMMON_NAME ? value : 'secure-socket identity'
}

/**
 * What files are called after a name: `db.example.com`, `_wildcard.example.com`, `2001_db8__1`,
 * `spiffe___example.org_api`, `_aux.example.com`.
 */
export function defaultFile({ value }: CertifiedName): string {
  const name = value.replace(/^\*/, '_wildcard').replace(/[^\w.-]/g, '_')
  return (isDevice(name) ? `_${name}` : name).slice(0, 100)
}

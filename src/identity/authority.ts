import { publicKeyPin } from '../model/peer-identity.js'
import { type CertificateAndKey, writePair } from './files.js'
import { makeKeyPair } from './key-algorithm.js'
import {
  type CertificateOptions,
  parseAlgorithm,
  parseCommonName,
  parseValidity,
  refuseUnknownOptions,
} from './options.js'
import { privateKeyPem } from './pem.js'
import { makeCertificate } from './x509.js'

/** How to make an authority. */
export interface AuthorityOptions extends CertificateOptions {
  /** For people to read, at most 64 characters. Default: `'secure-socket authority'`. */
  name?: string | undefined
}

/** A certificate authority: whoever trusts `cert` believes what `key` signs. */
export interface Authority extends CertificateAndKey {
  /** The authority's certificate, PEM: the `ca` setting of every peer. Not secret. */
  readonly cert: string
  /** The private key, PEM (PKCS #8). Who has it can make an identity with any name. */
  readonly key: string
  /** `sha256/…` of the public key. Not enumerable. */
  readonly pin: string
}

/** What the files of an authority are called: `authority.crt` and `authority.key`. */
export const AUTHORITY_FILE = 'authority'

const known = ['name', 'days', 'notBefore', 'algorithm', 'directory']

/**
 * Makes a certificate authority: a self-signed certificate that may sign identities, but no
 * authorities below it. It is valid for 3650 days unless `days` says otherwise.
 *
 * @example
 * const authority = await createAuthority({ directory: 'pki' }) // pki/authority.crt and .key
 *
 * @throws SocketSecurityError EINVAL, naming the option and its value, or the file that exists
 */
export async function createAuthority(options: AuthorityOptions = {}): Promise<Authority> {
  refuseUnknownOptions(options, known)
  const { name = 'secure-socket authority', days = 3650, notBefore, directory } = options
  const algorithm = parseAlgorithm(options.algorithm)
  const contents = {
    role: 'authority' as const,
    commonName: parseCommonName('name', name),
    validity: parseValidity(days, notBefore),
    names: [],
  }

  const { publicKey, privateKey } = await makeKeyPair(algorithm)
  const certificate = await makeCertificate(contents, publicKey, { privateKey })
  const pair = { cert: certificate.toString(), key: privateKeyPem(privateKey) }
  if (directory !== undefined) await writePair(directory, AUTHORITY_FILE, pair)
  return Object.defineProperty(pair as Authority, 'pin', { value: publicKeyPin(certificate) })
}

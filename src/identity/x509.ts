import { type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { invalid } from '../model/errors.js'
import type { CertificateContents } from './certificate-contents.js'
import { type Asn1, makeExtensions, type Pki } from './x509-extensions.js'

/** The key that signs, and its certificate; none where the certificate signs itself. */
export interface Signer {
  certificate?: X509Certificate
  privateKey: KeyObject
}

/**
 * Has the X.509 library encode a certificate, and node:crypto sign it.
 *
 * Only this file and x509-extensions.ts know the library. It is loaded here, so that who makes no
 * certificates does not pay for it.
 */
export async function makeCertificate(
  contents: CertificateContents,
  publicKey: KeyObject,
  signer: Signer,
): Promise<X509Certificate> {
  const [pki, asn1] = await Promise.all([import('pkijs'), import('asn1js')])

  const certificate = new pki.Certificate()
  certificate.version = 2 // counted from 0: X.509 v3
  certificate.serialNumber = new asn1.Integer({ valueHex: serialNumber() })
  certificate.notBefore = time(pki, contents.validity.notBefore)
  certificate.notAfter = time(pki, contents.validity.notAfter)
  certificate.subject = commonName(pki, asn1, contents.commonName)
  certificate.subjectPublicKeyInfo = pki.PublicKeyInfo.fromBER(
    publicKey.export({ type: 'spki', format: 'der' }),
  )

  const issuer = signer.certificate && pki.Certificate.fromBER(signer.certificate.raw)
  certificate.issuer = issuer?.subject ?? certificate.subject
  certificate.extensions = makeExtensions(pki, asn1, contents, certificate, issuer ?? certificate)

  const algorithm = signatureAlgorithm(signer.privateKey)
  const identifier = new pki.AlgorithmIdentifier({
    algorithmId: algorithm.oid,
    ...(algorithm.nullParameters ? { algorithmParams: new asn1.Null() } : {}),
  })
  certificate.signature = identifier
  certificate.signatureAlgorithm = identifier
  const toBeSigned = new Uint8Array(certificate.encodeTBS().toBER())
  certificate.tbsView = toBeSigned
  certificate.signatureValue = new asn1.BitString({
    valueHex: sign(algorithm.hash, toBeSigned, signer.privateKey),
  })
  return new X509Certificate(Buffer.from(certificate.toSchema().toBER()))
}

/** 126 random bits after 01: positive, unguessable, and always of one length. */
function serialNumber(): Uint8Array {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40
  return serial
}

/** RFC 5280, section 4.1.2.5: years until 2049 have the short form, later ones the long form. */
function time(pki: Pki, value: Date) {
  const form = value.getUTCFullYear() < 2050 ? pki.TimeType.UTCTime : pki.TimeType.GeneralizedTime
  return new pki.Time({ type: form, value })
}

function commonName(pki: Pki, asn1: Asn1, value: string) {
  return new pki.RelativeDistinguishedNames({
    typesAndValues: [
      new pki.AttributeTypeAndValue({ type: '2.5.4.3', value: new asn1.Utf8String({ value }) }),
    ],
  })
}

interface SignatureAlgorithm {
  oid: string
  /** None where the algorithm has its own. */
  hash: string | null
  /** RFC 4055, section 5: RSA has NULL parameters; RFC 5758 and 8410: the others have none. */
  nullParameters?: boolean
}

const ecdsa: Record<string, SignatureAlgorithm> = {
  prime256v1: { oid: '1.2.840.10045.4.3.2', hash: 'sha256' },
  secp384r1: { oid: '1.2.840.10045.4.3.3', hash: 'sha384' },
  secp521r1: { oid: '1.2.840.10045.4.3.4', hash: 'sha512' },
}

/** A signature as strong as the key. */
function signatureAlgorithm({
  asymmetricKeyType: type,
  asymmetricKeyDetails: { namedCurve = '' } = {},
}: KeyObject): SignatureAlgorithm {
  if (type === 'rsa') return { oid: '1.2.840.113549.1.1.11', hash: 'sha256', nullParameters: true }
  if (type === 'ed25519') return { oid: '1.3.101.112', hash: null }
  const algorithm = ecdsa[namedCurve]
  if (algorithm !== undefined) return algorithm
  const remedy = 'use an RSA, Ed25519, P-256, P-384 or P-521 key'
  throw invalid('the type of authority.key', namedCurve || type, remedy)
}

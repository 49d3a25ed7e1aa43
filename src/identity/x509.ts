import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { invalid } from '../model/errors.js'
import type { CertifiedName } from './certified-name.js'
import type { Usage, Validity } from './options.js'

/** What a certificate says. */
export interface CertificateContents {
  /** For people to read: nothing is ever authenticated by it. */
  commonName: string
  names: readonly CertifiedName[]
  validity: Validity
  /** `'authority'` signs certificates, but no authorities below it; the others are leaves. */
  role: 'authority' | Usage
}

/** The key that signs, and its certificate; none where the certificate signs itself. */
export interface Signer {
  certificate?: X509Certificate
  privateKey: KeyObject
}

type Pki = typeof import('pkijs')
type Asn1 = typeof import('asn1js')
type Certificate = InstanceType<Pki['Certificate']>
type Extension = InstanceType<Pki['Extension']>

/**
 * Has the X.509 library encode a certificate, and node:crypto sign it.
 *
 * This is the only file that knows the library. It is loaded here, so that who makes no
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
  certificate.extensions = extensions(pki, asn1, contents, certificate, issuer ?? certificate)

  const algorithm = signatureAlgorithm(signer.privateKey)
  const identifier = new pki.AlgorithmIdentifier({
    algorithmId: algorithm.oid,
    // RFC 4055, section 5: RSA has NULL parameters; RFC 5758 and 8410: the others have none.
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

/** 127 random bits after a leading 1: positive, unguessable, and its length always the same. */
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

const EXTENDED_KEY_USAGE = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' }

/** The extensions of RFC 5280, section 4.2, for an authority or for a leaf. */
function extensions(
  pki: Pki,
  asn1: Asn1,
  { role, names }: CertificateContents,
  certificate: Certificate,
  issuer: Certificate,
): Extension[] {
  const extension = (
    extnID: string,
    critical: boolean,
    value: { toBER(): ArrayBuffer } | { toSchema(): { toBER(): ArrayBuffer } },
  ) => {
    const extnValue = ('toSchema' in value ? value.toSchema() : value).toBER()
    return new pki.Extension({ extnID, critical, extnValue })
  }
  // The bits of KeyUsage, from the left: digitalSignature is 0, keyCertSign 5, cRLSign 6.
  const keyUsage = (bits: number, unusedBits: number) =>
    extension(
      pki.id_KeyUsage,
      true,
      new asn1.BitString({ valueHex: new Uint8Array([bits]), unusedBits }),
    )
  const identifiers = [
    extension(
      pki.id_SubjectKeyIdentifier,
      false,
      new asn1.OctetString({ valueHex: keyIdentifier(pki, certificate) }),
    ),
    extension(
      pki.id_AuthorityKeyIdentifier,
      false,
      new pki.AuthorityKeyIdentifier({
        keyIdentifier: new asn1.OctetString({ valueHex: keyIdentifier(pki, issuer) }),
      }),
    ),
  ]
  if (role === 'authority') {
    return [
      extension(
        pki.id_BasicConstraints,
        true,
        new pki.BasicConstraints({ cA: true, pathLenConstraint: 0 }),
      ),
      keyUsage(0b0000_0110, 1),
      ...identifiers,
    ]
  }
  const keyPurposes = Object.entries(EXTENDED_KEY_USAGE)
    .filter(([purpose]) => role === 'both' || role === purpose)
    .map(([, oid]) => oid)
  const altNames = names.map(name => generalName(pki, asn1, name))
  return [
    extension(pki.id_BasicConstraints, true, new pki.BasicConstraints({ cA: false })),
    keyUsage(0b1000_0000, 7),
    extension(pki.id_ExtKeyUsage, false, new pki.ExtKeyUsage({ keyPurposes })),
    extension(pki.id_SubjectAltName, false, new pki.GeneralNames({ names: altNames })),
    ...identifiers,
  ]
}

/** The issuer's own identifier where it has one, else RFC 7093, section 2, method 1. */
function keyIdentifier(pki: Pki, certificate: Certificate): ArrayBuffer | Uint8Array {
  const own = certificate.extensions?.find(each => each.extnID === pki.id_SubjectKeyIdentifier)
  if (own?.parsedValue && 'valueBlock' in own.parsedValue) {
    return (own.parsedValue as InstanceType<Asn1['OctetString']>).valueBlock.valueHexView
  }
  const { valueHexView } = certificate.subjectPublicKeyInfo.subjectPublicKey.valueBlock
  return createHash('sha256').update(valueHexView).digest().subarray(0, 20)
}

/** RFC 5280, section 4.2.1.6. */
function generalName(pki: Pki, asn1: Asn1, { type, value }: CertifiedName) {
  switch (type) {
    case 'dns':
      return new pki.GeneralName({ type: 2, value })
    case 'uri':
      return new pki.GeneralName({ type: 6, value })
    case 'ip':
      return new pki.GeneralName({
        type: 7,
        value: new asn1.OctetString({ valueHex: addressBytes(value) }),
      })
  }
}

/** `2001:db8::1` as its 16 bytes, `192.0.2.1` as its 4. */
function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number)
  // The URL parser turns an embedded IPv4 address into groups, so only "::" is left to fill.
  const [left = [], right = []] = new URL(`http://[${address}]`).hostname
    .slice(1, -1)
    .split('::')
    .map(half => half.split(':').filter(group => group !== ''))
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  const groups = [...left, ...zeros, ...right].map(group => Number.parseInt(group, 16))
  return Uint8Array.from(groups.flatMap(group => [group >> 8, group & 0xff]))
}

/** Signatures as strong as the key, by their identifiers (RFC 8017, 5758, 8410). */
function signatureAlgorithm(key: KeyObject) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const oid = (hash: string | null, oid: string, nullParameters = false) => ({
    hash,
    oid,
    nullParameters,
  })
  if (type === 'rsa') return oid('sha256', '1.2.840.113549.1.1.11', true)
  if (type === 'ed25519') return oid(null, '1.3.101.112')
  switch (details?.namedCurve) {
    case 'prime256v1':
      return oid('sha256', '1.2.840.10045.4.3.2')
    case 'secp384r1':
      return oid('sha384', '1.2.840.10045.4.3.3')
    case 'secp521r1':
      return oid('sha512', '1.2.840.10045.4.3.4')
  }
  throw invalid(
    'authority.key',
    details?.namedCurve ?? type,
    'use an RSA, Ed25519, P-256, P-384 or P-521 key',
  )
}

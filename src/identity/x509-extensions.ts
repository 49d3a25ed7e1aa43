import { createHash } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { CertificateContents } from './certificate-contents.js'
import type { CertifiedName } from './certified-name.js'

/** The X.509 library's modules; who calls has loaded them. */
export type Pki = typeof import('pkijs')
export type Asn1 = typeof import('asn1js')

type Certificate = InstanceType<Pki['Certificate']>
type Extension = InstanceType<Pki['Extension']>

/** What the library can encode: its own objects, and plain ASN.1. */
type Encodable = { toBER(): ArrayBuffer } | { toSchema(): { toBER(): ArrayBuffer } }

// The bits of KeyUsage, from the left: digitalSignature is 0, keyCertSign 5, cRLSign 6. The unused
// ones at the right are counted, because DER leaves them out.
const SIGN_DATA = { bits: 0b1000_0000, unusedBits: 7 }
const SIGN_CERTIFICATES_AND_CRLS = { bits: 0b0000_0110, unusedBits: 1 }

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const PURPOSES = {
  server: [SERVER_AUTH],
  client: [CLIENT_AUTH],
  both: [SERVER_AUTH, CLIENT_AUTH],
}

/** The extensions of RFC 5280, section 4.2, for an authority or for a leaf. */
export function makeExtensions(
  pki: Pki,
  asn1: Asn1,
  { role, names }: CertificateContents,
  certificate: Certificate,
  issuer: Certificate,
): Extension[] {
  const extension = (extnID: string, value: Encodable, critical = false) => {
    const extnValue = ('toSchema' in value ? value.toSchema() : value).toBER()
    return new pki.Extension({ extnID, critical, extnValue })
  }
  const constraints = (value: { cA: boolean; pathLenConstraint?: number }) =>
    extension(pki.id_BasicConstraints, new pki.BasicConstraints(value), true)
  const keyUsage = ({ bits, unusedBits }: { bits: number; unusedBits: number }) => {
    const value = new asn1.BitString({ valueHex: Uint8Array.of(bits), unusedBits })
    return extension(pki.id_KeyUsage, value, true)
  }
  const subjectKey = new asn1.OctetString({ valueHex: keyIdentifier(pki, certificate) })
  const issuerKey = new asn1.OctetString({ valueHex: keyIdentifier(pki, issuer) })
  const keyIdentifiers = [
    extension(pki.id_SubjectKeyIdentifier, subjectKey),
    extension(
      pki.id_AuthorityKeyIdentifier,
      new pki.AuthorityKeyIdentifier({ keyIdentifier: issuerKey }),
    ),
  ]
  if (role === 'authority') {
    return [
      constraints({ cA: true, pathLenConstraint: 0 }),
      keyUsage(SIGN_CERTIFICATES_AND_CRLS),
      ...keyIdentifiers,
    ]
  }
  const altNames = names.map(name => generalName(pki, asn1, name))
  return [
    constraints({ cA: false }),
    keyUsage(SIGN_DATA),
    extension(pki.id_ExtKeyUsage, new pki.ExtKeyUsage({ keyPurposes: PURPOSES[role] })),
    extension(pki.id_SubjectAltName, new pki.GeneralNames({ names: altNames })),
    ...keyIdentifiers,
  ]
}

/** The certificate's own identifier where it has one, else RFC 7093, section 2, method 1. */
function keyIdentifier(pki: Pki, certificate: Certificate): ArrayBuffer | Uint8Array {
  const own = certificate.extensions?.find(each => each.extnID === pki.id_SubjectKeyIdentifier)
  if (own?.parsedValue && 'valueBlock' in own.parsedValue) {
    return (own.parsedValue as InstanceType<Asn1['OctetString']>).valueBlock.valueHexView
  }
  const key = certificate.subjectPublicKeyInfo.subjectPublicKey.valueBlock.valueHexView
  return createHash('sha256').update(key).digest().subarray(0, 20)
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

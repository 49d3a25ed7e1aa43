/** Files with credentials: certificates and keys as PEM, ticket keys, pre-shared keys, lines of text. */
import { X509Certificate } from 'node:crypto'
import { parseIssuer } from '../../../../src/identity/issuer.js'
import { parseCertificates, parsePrivateKey } from '../../../../src/identity/pem.js'
import { certificateIdentity } from '../../../../src/model/peer-identity.js'
import { parseSettings } from '../../../../src/model/settings.js'
import { ticketKeysInFile } from '../../../../src/model/ticket-keys.js'
import { fillIn, locateFiles } from '../../../../src/policy/settings-files.js'
import {
  certifiedBy,
  trustedAuthorities,
} from '../../../../src/providers/strongswan/plans/given-credentials.js'
import { testAuthority, testIdentity } from '../../../support/identities.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

const refused = withCode('EINVAL')
/** A certificate can be read whose key cannot. */
const ofOpenssl = (error: unknown) => /^ERR_OSSL_/.test(String(Object(error).code))
const url = new URL('file:///key')

export const pem: Parser = {
  name: 'pem',
  pace: 8,
  keeps: false,
  async seeds() {
    const { cert, key, ca } = await testIdentity(['a.example'])
    const authority = await testAuthority()
    const texts = [cert, key, `${cert}${ca}`, authority.cert, 'ab'.repeat(16), 'x\r\n']
    return [
      ...texts.map(text => Buffer.from(text)),
      Buffer.alloc(96, 5),
      Buffer.from(`${Buffer.alloc(48, 6).toString('base64')}\n`),
      Buffer.from(`${Buffer.alloc(48, 7).toString('hex')}\n${Buffer.alloc(48).toString('hex')}`),
      new X509Certificate(cert).raw,
    ]
  },
  words: [
    ...['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----'],
    ...['-----BEGIN X509 CERTIFICATE-----', '-----', '\n', '\r\n', '\0', 'ab', '=', '\ufeff', ' '],
    Buffer.from([0x30, 0x82]),
  ],
  check(input) {
    for (const given of [input, input.toString('latin1')]) {
      const certificates = resultOr(() => parseCertificates('cert', given), refused)
      must(certificates === undefined || certificates.length > 0, 'certificates, or an error')
      for (const each of certificates ?? []) resultOr(() => certificateIdentity(each), ofOpenssl)
      resultOr(() => parsePrivateKey('key', given), refused)
      resultOr(() => parseIssuer({ cert: given, key: given }), refused)
    }
    const keys = resultOr(
      () => ticketKeysInFile(input),
      error => error instanceof Error && /^it has \d+ bytes/.test(error.message),
    )
    must(keys === undefined || keys.every(each => each.length === 48), 'ticket keys have 48 bytes')
    inFiles(input)
    forDaemon(input)
  },
}

function inFiles(input: Buffer): void {
  const located = locateFiles({
    psk: { identity: 'me', key: url } as never,
    passphrase: url as never,
  })
  must(located?.files.length === 2, 'each file is found')
  const filled = resultOr(() => fillIn(located.settings, new Map([['/key', input]])), refused)
  if (filled === undefined) return
  const { key } = filled.psk as unknown as { key: Buffer }
  const digits = input.toString('latin1').replaceAll(/\s/g, '')
  must(key.length > 0 && key.toString('hex') === digits.toLowerCase(), 'a key is all its digits')
  must(
    !/[\r\n]$/.test(String(filled.passphrase)) || /[\r\n]\r?\n$/.test(input.toString()),
    'a line',
  )
}

function forDaemon(input: Buffer): void {
  const settings = resultOr(
    () => parseSettings({ protocol: 'ipsec', cert: input, key: input, ca: input }),
    refused,
  )
  if (settings === undefined) return
  const certified = resultOr(() => certifiedBy(settings), withCode('EINVAL', 'EOPNOTSUPP'))
  for (const name of certified?.names ?? [])
    must(
      /^fqdn:[\w.-]+$/.test(name) || !name.includes(':') || /^[\da-f:.]+$/.test(name),
      'a name of IKE',
      name,
    )
  resultOr(() => trustedAuthorities(settings), withCode('EINVAL', 'ENOCREDENTIAL'))
}

/** Target names: one name has one form, which is read as itself, and no form is that of two names. */
import { isIP } from 'node:net'
import { parseCertifiedName } from '../../../../src/identity/certified-name.js'
import { parseAddressRange } from '../../../../src/model/policy/address-range.js'
import { canonicalHost } from '../../../../src/model/policy/flow-rule.js'
import {
  parseHostTargetName,
  parseTargetName,
  parseTargetNameFor,
  type TargetName,
} from '../../../../src/model/target-name.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

const refused = withCode('EINVAL', 'EFAULT')

export const targetNames: Parser = {
  name: 'target-names',
  seeds: () =>
    [
      'a.example',
      'A.Example.',
      'host/db.example.com:5432/replica',
      'HTTP/[2001:db8::1]:443',
      'host/10.0.0.1',
      '::ffff:10.0.0.1',
      'fe80::1%eth0',
      '2001:DB8:0:0::1',
      'bücher.example',
      'xn--bcher-kva.example',
      '０x7f.1',
      '0x7f.0.0.1',
      '１２７.0.0.1',
      'a。example',
      'spiffe://example.org/db',
      'urn:uuid:1',
      'sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
      '*.example.com',
      'C=CH, CN=db',
    ].map(text => Buffer.from(text)),
  words: [
    ...['.', '/', ':', '%', '%25', '@', '*', '*.', '[', ']', '::', 'xn--', '0x', '0', '\0', ' '],
    ...['ß', 'ſ', 'K', 'İ', '。', '．', '｡', '\u00ad', '\u200d', '\ufeff', '\u2024', '①', 'ᵃ', '⒈'],
    ...[
      '\u0301',
      'ﬁ',
      '½',
      '／',
      '：',
      '％',
      '#',
      '?',
      '\\',
      'urn:',
      '://',
      'sha256/',
      '=',
      '_',
      '-',
    ],
  ],
  check(input) {
    const text = input.toString('utf8')
    const name = resultOr(() => parseTargetName(text), refused)
    if (name !== undefined) isOneName(text, name)
    const host = resultOr(() => parseHostTargetName(text), refused)
    must(host === undefined || host.text === name?.text, 'a host is the name of that text')
    const raw = resultOr(() => parseTargetNameFor({ ipsec: { rawPeerName: true } }, text), refused)
    must(raw === undefined || (raw.text === text && raw.kind === 'raw'), 'a raw name is as written')
    const certified = resultOr(() => parseCertifiedName(text), refused)
    if (certified !== undefined && !text.startsWith('*.'))
      must(certified.value === valueIn(name as TargetName), 'a certificate gets the same name')
    const once = canonicalHost(text)
    must(!once.endsWith('.') || once.endsWith('..') || text.endsWith('..'), 'one dot is cut')
    const range = parseAddressRange(text)
    must(
      range === undefined || [4, 16].includes(range.bytes.length),
      'an address has 4 or 16 bytes',
    )
  },
}

function isOneName(text: string, name: TargetName): void {
  must(/^[\x21-\x7e]+$/.test(name.text) || name.kind === 'spn', 'a name is printable ASCII')
  const again = parseTargetName(name.text)
  must(
    JSON.stringify(again) === JSON.stringify(name),
    'a name is read as itself',
    `${name.text} as ${again.text}`,
  )
  must(name.kind !== 'raw', 'raw is for others to ask for')
  if (name.kind !== 'dns' && name.kind !== 'spn' && name.kind !== 'ip') {
    must(name.text === text, 'what is compared exactly stays as it is')
    return
  }
  const host = name.kind === 'ip' ? name.address : name.host
  must(name.kind === 'spn' || name.text === host, 'the text is the host')
  if (isIP(host) !== 0) {
    must(!host.includes('%'), 'an address has no zone here')
    must(hostOf(host) === (isIP(host) === 6 ? `[${host}]` : host), 'an address has one form')
    return
  }
  // Who else reads names, such as a resolver or a URL, must not find an address in it.
  must(hostOf(host) === host, 'a host is the same to others', `${host} is ${hostOf(host)}`)
  must(/^[a-z0-9._-]+$/.test(host) && host.length <= 253, 'a DNS name is in its canonical form')
  if (name.kind === 'dns' && !text.endsWith('.')) {
    for (const other of [`${text}.`, text.toUpperCase().toLowerCase()]) {
      const same = resultOr(() => parseTargetName(other), refused)
      // Upper case takes some letters to others; what comes back is another name then.
      if (other.endsWith('.') || other === text.toLowerCase())
        must(same?.text === name.text, 'another way to write it', `${other} is ${same?.text}`)
    }
  }
}

/** As the URL parser has it. */
function hostOf(host: string): string | undefined {
  try {
    return new URL(`http://${host.includes(':') ? `[${host}]` : host}/`).hostname
  } catch {
    return undefined
  }
}

function valueIn(name: TargetName): string | undefined {
  if (name.kind === 'dns' || name.kind === 'spn') return name.host
  if (name.kind === 'ip') return name.address
  return name.kind === 'uri' ? name.uri : undefined
}

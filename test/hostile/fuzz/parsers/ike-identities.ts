/**
 * Identities of IKE: a name is what somebody else may have written, and the daemon gives a text its type
 * by how it looks. None may become another key of a message, anybody at all, or somebody else.
 */
import { isIP } from 'node:net'
import { parseSettings } from '../../../../src/model/settings.js'
import { parseTargetNameFor } from '../../../../src/model/target-name.js'
import {
  localIdentity,
  pskIdentity,
} from '../../../../src/providers/strongswan/plans/connection-plan.js'
import {
  identityOf,
  ikeIdentity,
  isIdentity,
  provesIdentity,
} from '../../../../src/providers/strongswan/plans/identities.js'
import { decodeMessage } from '../../../../src/providers/strongswan/vici/decode.js'
import { encodeMessage } from '../../../../src/providers/strongswan/vici/encode.js'
import { must, type Parser, resultOr, withCode } from '../parser.js'

const refused = withCode('EINVAL', 'EFAULT')
const named = parseSettings({ protocol: 'ipsec' })
const raw = parseSettings({ protocol: 'ipsec', ipsec: { rawPeerName: true } })

class Objection extends Error {}

export const ikeIdentities: Parser = {
  name: 'ike-identities',
  seeds: () =>
    [
      'a.example',
      'me@a.example',
      'C=CH, O=Example, CN=db.example',
      '/C=CH/CN=db',
      '10.0.0.1',
      'fe80::1',
      '::ffff:10.0.0.1',
      'keyid:#0a0b',
      '@#0a:0b',
      '@@me@a.example',
      'fqdn:A.Example',
      'email:me@a.example',
      '%any',
      '*.example',
      '10.0.0.0/24',
    ].map(text => Buffer.from(text)),
  words: [
    ...[
      '%',
      '%any',
      '*',
      '?',
      '@',
      '@@',
      '@#',
      '#',
      ':',
      'fqdn:',
      'dns:',
      'keyid:',
      'email:',
      'ip:',
    ],
    ...[
      'asn1dn:',
      '=',
      ', ',
      ',',
      '/',
      '{',
      '}',
      '{2}:',
      '0.0.0.0',
      '::',
      '-',
      ' ',
      '\n',
      '\0',
      '"',
    ],
    ...['%eth0', '\\', 'KEYID:#', '::ffff:', 'İ', 'K', 'id = x', '\x03\x02id\x00\x04%any'],
  ],
  check(input) {
    const text = input.toString('utf8')
    const identity = resultOr(
      () => identityOf(text, why => new Objection(why)),
      error => error instanceof Objection && error.message !== '',
    )
    if (identity !== undefined) isSomebody(identity)
    for (const read of [localIdentity, pskIdentity]) {
      const same = resultOr(() => read(text), refused)
      must(same === undefined || same === identity, 'one way to read it')
    }
    for (const settings of [named, raw]) {
      const asked = resultOr(
        () => ikeIdentity(parseTargetNameFor(settings, text), settings),
        refused,
      )
      if (asked === undefined) continue
      isSomebody(asked)
      must(settings !== raw || asked === identity, 'a raw name is read as an identity is')
    }
    if (!isIdentity(text)) must(!provesIdentity(text, identity ?? text), 'nobody proves nothing')
  },
}

function isSomebody(identity: string): void {
  must(/^[\x20-\x7e]+$/.test(identity), 'the daemon reads it')
  must(!identity.includes('*') && !identity.startsWith('%'), 'it stands for one')
  must(!['0.0.0.0', '::', '::/0', '0.0.0.0/0'].includes(identity), 'an address of somebody')
  const again = resultOr(
    () => identityOf(identity, why => new Objection(why)),
    error => error instanceof Objection,
  )
  must(again === identity, 'an identity is read as itself', `${identity} as ${again}`)
  if (isIP(identity) === 0 && !identity.includes('='))
    must(/^(fqdn|email|keyid):/.test(identity), 'it says of what type it is', identity)
  // As it stands in a message, between two other keys.
  const message = { before: 'x', remote: { id: identity, list: [identity] }, after: 'y' }
  const read = decodeMessage(encodeMessage(message), 'latin1')
  must(JSON.stringify(read) === JSON.stringify(message), 'it changes no other key')
  const printed = identity.replace(/^(fqdn|email|keyid):/, '')
  if (!identity.startsWith('keyid:#') && isIdentity(printed))
    must(provesIdentity(printed, identity), 'who prints it proves it')
  must(!provesIdentity(`${printed}x`, identity) || identity.startsWith('keyid:#'), 'and no other')
}

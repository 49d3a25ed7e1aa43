/**
 * Names and identities of IKE. strongSwan takes many texts for "anybody": a peer that must prove such
 * an identity proves nothing, so each of them is refused here.
 */
import t from 'tap'
import { parseSettings } from '../../../../src/model/settings.js'
import { parseTargetName, parseTargetNameFor } from '../../../../src/model/target-name.js'
import {
  identityOf,
  ikeIdentity,
  isIdentity,
  provesIdentity,
} from '../../../../src/providers/strongswan/plans/identities.js'

const plain = parseSettings({ protocol: 'ipsec' })
const raw = parseSettings({ protocol: 'ipsec', ipsec: { rawPeerName: true } })
const identity = (text: string) => ikeIdentity(parseTargetName(text), plain)
const rawIdentity = (text: string) => ikeIdentity(parseTargetNameFor(raw, text), raw)

t.test('host names, addresses and service principal names have an identity each', async t => {
  for (const [text, expected] of [
    ['db.example.com', 'fqdn:db.example.com'],
    ['DB.Example.COM.', 'fqdn:db.example.com'],
    // strongSwan takes service and port for a part of the host.
    ['HTTP/db.example.com', 'fqdn:db.example.com'],
    ['MSSQLSvc/db.example.com:1433', 'fqdn:db.example.com'],
    ['ldap/dc1.example.com/example.com', 'fqdn:dc1.example.com'],
    ['host/10.9.0.2', '10.9.0.2'],
    ['host/[2001:DB8::1]:80', '2001:db8::1'],
    ['10.9.0.2', '10.9.0.2'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['::ffff:10.9.0.2', '10.9.0.2'],
  ] as const)
    t.equal(identity(text), expected, text)
})

t.test('what IKE cannot prove is no name', async t => {
  for (const [text, message] of [
    ['spiffe://example.com/db', /no identities that are URIs/],
    ['urn:example:db', /no identities that are URIs/],
    [`sha256/${'A'.repeat(43)}=`, /not their digests.*security\.ca/],
    ['0.0.0.0', /nobody/],
    ['::', /nobody/],
    ['0:0:0:0:0:0:0:0', /nobody/],
    ['host/0.0.0.0', /nobody/],
    ['::ffff:0.0.0.0', /nobody/],
  ] as const)
    t.throws(
      () => identity(text),
      { code: 'EINVAL', syscall: 'WSASetSocketPeerTargetName', message },
      text,
    )
})

t.test('a raw name is what strongSwan makes of it, in one form', async t => {
  for (const [text, expected] of [
    ['C=CH, O=Example, CN=db 1', 'C=CH, O=Example, CN=db 1'],
    ['user@Example.com', 'email:user@example.com'],
    ['email:user@example.com', 'email:user@example.com'],
    ['rfc822:user@example.com', 'email:user@example.com'],
    ['@@user@example.com', 'email:user@example.com'],
    ['@Db.example.com', 'fqdn:db.example.com'],
    ['dns:db.example.com', 'fqdn:db.example.com'],
    ['FQDN:db.example.com', 'fqdn:db.example.com'],
    ['sensor-17', 'fqdn:sensor-17'],
    ['keyid:Sensor', 'keyid:Sensor'],
    ['keyid:#00ff', 'keyid:#00ff'],
    ['@#00:ff', 'keyid:#00:ff'],
    ['10.9.0.2', '10.9.0.2'],
    ['2001:DB8::1', '2001:db8::1'],
  ] as const)
    t.equal(rawIdentity(text), expected, text)
})

t.test('what stands for anybody, somebody else or nobody is refused', async t => {
  for (const text of [
    '%any',
    '%any6',
    '%db.example.com',
    '*',
    '*.example.com',
    '@*',
    'fqdn:*.example.com',
    'email:*',
    '*@example.com',
    'C=CH, CN=*',
    '0.0.0.0',
    '::',
    '0::0',
    '0:0:0:0:0:0:0:0',
    '10.0.0.0/8',
    '10.0.0.1-10.0.0.9',
    '2001:db8::/32',
    'ipv4:10.9.0.2',
    'ipv4net:10.0.0.0/8',
    'ipv6range:::1-::2',
    'asn1dn:#3000',
    'asn1gn:#3000',
    'xmppaddr:a@b',
    '{9}:#3000',
    '{0}:',
    // "*", written so that nobody sees it.
    'fqdn:#2a',
    'email:#2a',
    'keyid:',
    'keyid:#',
    'keyid:#0',
    'keyid:#zz',
    'fqdn:',
    'email:',
    '@',
    '@@',
    '@#',
    '@#zz',
    'foo:bar',
    ' db',
    'db ',
    'dé.example.com',
    'x'.repeat(512),
  ])
    t.throws(() => rawIdentity(text), { code: 'EINVAL', message: /cannot be used/ }, text)
  t.throws(() => identityOf('', why => new TypeError(why)), { message: /empty/ })
})

t.test('a name and the settings must be of one mind', async t => {
  t.throws(() => ikeIdentity(parseTargetName('db.example.com'), raw), {
    code: 'EINVAL',
    message: /set after the settings/,
  })
  t.throws(() => ikeIdentity(parseTargetNameFor(raw, 'db.example.com'), plain), {
    code: 'EINVAL',
    message: /rawPeerName before it/,
  })
})

t.test('what a peer has proved is compared as strongSwan prints it', async t => {
  for (const [printed, wanted] of [
    ['db.example.com', 'fqdn:db.example.com'],
    ['DB.example.COM', 'fqdn:db.example.com'],
    ['10.9.0.2', '10.9.0.2'],
    ['2001:db8:0:0::1', '2001:db8::1'],
    ['User@example.com', 'email:user@example.com'],
    ['C=CH, O=Example, CN=db 1', 'c=CH,O=Example,  CN=db 1'],
    ['C=CH, O=Example, CN=db', '/C=CH/O=Example/CN=db'],
    ['Sensor', 'keyid:Sensor'],
    ['00:ff', 'keyid:#00FF'],
    ['abc', 'keyid:#61:62:63'],
  ] as const)
    t.ok(provesIdentity(printed, wanted), `${printed} is ${wanted}`)
  for (const [printed, wanted] of [
    ['db.example.com.evil.example', 'fqdn:db.example.com'],
    ['a.example.com', 'fqdn:db.example.com'],
    ['10.9.0.2', '10.9.0.3'],
    ['fqdn:db.example.com', 'fqdn:db.example.com'],
    // The Kelvin sign is no k.
    ['\u212a', 'fqdn:k'],
    ['C=CH, CN=db', 'C=CH, CN=DB'],
    ['C=CH, CN=db, O=Example', 'C=CH, CN=db'],
    ['CN=db', 'C=CH, CN=db'],
    ['sensor', 'keyid:Sensor'],
    ['ff:00', 'keyid:#00ff'],
  ] as const)
    t.notOk(provesIdentity(printed, wanted), `${printed} is not ${wanted}`)
})

t.test('a peer that calls itself anybody is nobody', async t => {
  for (const printed of [
    '',
    '%any',
    '%any6',
    '*',
    '*.example.com',
    'CN=*',
    'a?',
    '(ASN.1 general name)',
  ]) {
    t.notOk(isIdentity(printed), printed)
    for (const wanted of ['fqdn:db.example.com', 'fqdn:a?', 'CN=*'])
      t.notOk(provesIdentity(printed, wanted))
  }
  t.ok(isIdentity('db.example.com'))
})

t.test('what follows our prefix is not read in hexadecimal: it could be a wildcard', async t => {
  // To strongSwan fqdn:#2a is "*", and email:#25616e79 is "%any".
  for (const text of ['#2a', '#', '@@#2a', '@@#', '#2a.example', '#2a@example'])
    t.throws(
      () => rawIdentity(text),
      { code: 'EINVAL', message: /it cannot be read in hexadecimal/ },
      text,
    )
})

t.test('an address with a zone is no identity, and says so', async t => {
  for (const text of ['fe80::1%eth0', '::%1', 'fe80::1%a.b'])
    t.throws(
      () => rawIdentity(text),
      { code: 'EINVAL', message: /an address has no zone here/ },
      text,
    )
})

t.test('a part of a distinguished name without "=" counts as it is', async t => {
  // strongSwan prints a comma inside of a value as it stands there.
  const wanted = 'C=CH, O=Example, Inc., CN=db'
  t.ok(provesIdentity('C=CH,  O=Example,Inc. , CN=db', wanted))
  t.notOk(provesIdentity('C=CH, O=Example, Evil, CN=db', wanted))
  t.notOk(provesIdentity('C=CH, O=Example, , CN=db', wanted))
  t.notOk(provesIdentity('C=CH, O=Example, =, CN=db', wanted))
})

t.test('a long name of spaces takes no longer than another', async t => {
  // What a peer has in its certificate is printed to us. It was cubic: hours for this one.
  const printed = `CN=${' '.repeat(60_000)}`
  t.notOk(provesIdentity(`${' '.repeat(60_000)}x`, 'CN=db'))
  t.notOk(provesIdentity(printed, 'CN=db'))
})

import t from 'tap'
import { parseCertifiedName, parseCertifiedNames } from '../../src/identity/certified-name.js'

for (const [text, type, value] of [
  ['db.example.com', 'dns', 'db.example.com'],
  ['DB.Example.COM.', 'dns', 'db.example.com'],
  ['localhost', 'dns', 'localhost'],
  ['bücher.example', 'dns', 'xn--bcher-kva.example'],
  ['host/db.example.com', 'dns', 'db.example.com'],
  ['ldap/db.example.com:389/example.com', 'dns', 'db.example.com'],
  ['host/10.0.0.5', 'ip', '10.0.0.5'],
  ['host/[2001:DB8::0:1]:443', 'ip', '2001:db8::1'],
  ['192.0.2.1', 'ip', '192.0.2.1'],
  ['0:0:0:0:0:0:0:1', 'ip', '::1'],
  ['spiffe://example.com/db', 'uri', 'spiffe://example.com/db'],
  [
    'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    'uri',
    'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
  ],
  ['*.example.com', 'dns', '*.example.com'],
  ['*.Example.COM', 'dns', '*.example.com'],
] as const) {
  t.test(`${text} is certified as ${type} ${value}`, async t => {
    t.same(parseCertifiedName(text), { type, value })
  })
}

for (const [text, why] of [
  ['', 'nothing'],
  ['a b', 'a blank'],
  ['*', 'a wildcard for everything'],
  ['*.com', 'a wildcard that OpenSSL never matches'],
  ['*.10.0.0.5', 'a wildcard of addresses'],
  ['w*.example.com', 'a wildcard for a part of a label'],
  ['db.*.example.com', 'a wildcard that is not the first label'],
  ['*.*.example.com', 'two wildcards'],
  ['host/*.example.com', 'a wildcard in a service principal name'],
  [`sha256/${'A'.repeat(43)}=`, 'a pin: it is made from the key'],
  [null, 'null'],
] as const) {
  t.test(`${text} is EINVAL (${why})`, async t => {
    t.throws(() => parseCertifiedName(text), { code: 'EINVAL', message: /^names/ })
  })
}

t.test('names that mean the same are certified once', async t => {
  t.same(parseCertifiedNames(['host/db', 'DB', 'http/db:80', '::1', '0::1']), [
    { type: 'dns', value: 'db' },
    { type: 'ip', value: '::1' },
  ])
})

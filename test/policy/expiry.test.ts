// A certificate that nobody renews ends a service. It is said while there is time, and once: a server
// asks at each handshake.

import { X509Certificate } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import { createIdentity } from '../../src/identity/identity.js'
import { noticeAt, warnOfExpiry } from '../../src/policy/expiry.js'
import { fileSource } from '../../src/policy/file-settings.js'
import { testAuthority } from '../support/identities.js'
import { warningsAreHeard, warningsOf } from '../support/warnings.js'
import { Folder } from './rotation.js'

const hour = 60 * 60 * 1000
const day = 24 * hour

async function certificateOf(days: number, notBefore = new Date()) {
  const authority = await testAuthority()
  return createIdentity({ names: ['localhost'], authority, days, notBefore })
}

const warnings = (t: Test) => warningsOf(t, 'SECURE_SOCKET_CERTIFICATE_EXPIRES')

t.test('the last tenth of its life, and at most 14 days', async t => {
  for (const [days, notice] of [
    [1 / 24, hour / 10],
    [1, 2.4 * hour],
    [90, 9 * day],
    [365, 14 * day],
  ] as const) {
    const certificate = new X509Certificate((await certificateOf(days)).cert)
    const end = Date.parse(certificate.validTo)
    t.ok(Math.abs(end - noticeAt(certificate) - notice) < 2000, `${days} days`)
  }
})

t.test('once of each certificate', async t => {
  const heard = warnings(t)
  const published: unknown[] = []
  const onPublished = (message: unknown) => published.push(message)
  subscribe('secure-socket:credentials:expiring', onPublished)
  t.teardown(() => unsubscribe('secure-socket:credentials:expiring', onPublished))
  const begin = new Date(Date.now() - (Date.now() % 1000))
  const first = new X509Certificate((await certificateOf(10, begin)).cert)
  const second = new X509Certificate((await certificateOf(10, begin)).cert)
  const now = begin.getTime()
  warnOfExpiry(first, '/etc/a.crt', now + 8.9 * day)
  await warningsAreHeard()
  t.same(heard, [], 'too early')
  for (const each of [first, first, second, first])
    warnOfExpiry(each, '/etc/a.crt', now + 9.5 * day)
  await warningsAreHeard()
  t.equal(heard.length, 2)
  t.match(heard[0], {
    message: /localhost.*\/etc\/a\.crt.*expires at .*, in 12 hours: put a new one/,
  })
  t.match(heard[0]?.message, first.serialNumber)
  t.match(published, [{ certificate: first, files: '/etc/a.crt' }, { certificate: second }])
})

t.test('a source tells it of what it reads', async t => {
  const identity = await certificateOf(1, new Date(Date.now() - 2 * day))
  const folder = new Folder(t)
  folder.writePair(identity)
  const heard = warnings(t)
  fileSource({ cert: folder.cert, key: folder.key }, 'stream')
  await warningsAreHeard()
  t.match(heard, [{ message: /has expired at .*peers refuse it/ }])
})

/**
 * What OpenSSL made of settings is given back with them, by the count at the binding: of settings in every form,
 * of associations that used them, and of those that cannot be used, at whatever point that was found out.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import {
  type DatagramSecuritySettings,
  forgetSettings,
  parseSettings,
} from '../../src/model/settings.js'
import { dtlsContext } from '../../src/providers/dtls/context.js'
import { hasServerCredentials } from '../../src/providers/dtls/credentials.js'
import { handshake, say } from '../providers/dtls/pair.js'
import { requireProgram } from '../support/foreign-program.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import { countOpenssl } from '../support/openssl-objects.js'
import { run } from '../support/program.js'
import { revocationList } from './authority.js'
import { ownDirectory } from './files.js'

// Not by OpenSSL itself: this process has other objects too.
const openssl = countOpenssl(false)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const skip = !requireProgram(t, 'openssl')
/** The two BIOs that all associations share, an address that nobody reads, and whom node:tls trusts. */
const kept = { BIO: 2, BIO_ADDR: 1, X509_STORE: 1 }

const { cert, key, ca } = await testIdentity()
const other = await strangerIdentity()
const psk = { identity: 'me', key: Buffer.alloc(16, 7) }
const own = { cert, key, ca } as const

t.test('settings that can be used', { skip }, async t => {
  const pfx = await archive(t)
  const crl = await revocationList(t)
  const usable: Record<string, DatagramSecuritySettings> = {
    nothing: {},
    certificates: own,
    'a chain': { ...own, cert: `${cert}\n${ca}` },
    'two authorities': { ...own, ca: [ca as string, other.ca as string] },
    'an archive': { pfx, passphrase: 'secret', ca },
    'two archives': { pfx: [{ buf: pfx, passphrase: 'secret' }, pfx], passphrase: 'secret' },
    'revocation lists': { ...own, crl },
    keys: { psk: [psk, { you: psk.key }], pskIdentityHint: 'hint' },
    all: { ...own, psk, alpn: ['a', 'b'], keylog: true, ticketKeys: Buffer.alloc(48, 1) },
  }
  for (const [name, settings] of Object.entries(usable)) {
    t.doesNotThrow(() => make(settings), name)
    // The collector takes what no stack refers to any more.
    await left(t, name)
  }
})

t.test('settings that cannot', { skip }, async t => {
  const pfx = await archive(t)
  const unusable: Record<string, DatagramSecuritySettings> = {
    'no certificate': { ...own, cert: 'none' },
    'a broken certificate': { ...own, cert: (cert as string).replace(/\n.{20}/, '\nAAAA') },
    'a broken one behind it': {
      ...own,
      cert: `${cert}\n${(ca as string).replace(/\n.{20}/, '\nAAAA')}`,
    },
    'a broken key': { ...own, key: (key as string).replace(/\n.{20}/, '\nAAAA') },
    'the key of another': { ...own, key: other.key },
    'an archive that is none': { pfx: Buffer.from('none'), ca },
    'an archive with a wrong passphrase': { pfx, passphrase: 'wrong', ca },
    'a good one, and a broken one': { pfx: [{ buf: pfx, passphrase: 'secret' }, Buffer.alloc(9)] },
    'an authority that is none': { ...own, ca: ['none'] },
    'a good authority and a broken one': {
      ...own,
      ca: [ca as string, (ca as string).replace(/\n.{20}/, '\nAAAA')],
    },
    'a revocation list that is none': { ...own, crl: 'none' },
    'a broken revocation list': {
      ...own,
      crl: '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----',
    },
    'no cipher suite': { ...own, ciphers: 'NULL' },
    'no group': { ...own, ecdhCurve: 'none' },
    'no algorithm': { ...own, sigalgs: 'none' },
    'a version that is not there': { ...own, minVersion: 'DTLSv1.3' },
    'an SRTP profile that is none': { ...own, srtp: ['none'] },
  }
  for (const [name, settings] of Object.entries(unusable)) {
    t.throws(() => make(settings), name)
    await left(t, name)
  }
})

t.test('associations that nobody ends', { skip }, async t => {
  const pfx = await archive(t)
  meet({ pfx, passphrase: 'secret', ca }, own)
  meet({ psk }, { psk: { me: psk.key } })
  await left(t, 'freed by the collector')
})

/** In a function of its own, so that nothing of it stays on the stack. */
function make(settings: DatagramSecuritySettings): void {
  const parsed = parseSettings(settings, 'datagram')
  forgetSettings(parsed)
  dtlsContext(parsed, 'client')
  if (hasServerCredentials(parsed)) dtlsContext(parsed, 'server')
}

function meet(client: DatagramSecuritySettings, server: DatagramSecuritySettings): void {
  const named = 'psk' in client ? {} : { targetName: 'localhost' }
  const pair = handshake({ client, server, ...named })
  if (say(pair.client, pair.server, 'x') !== 'x') throw new Error('not secured')
  for (const settings of [client, server]) forgetSettings(parseSettings(settings, 'datagram'))
}

async function left(t: Test, name: string): Promise<void> {
  for (let turn = 0; turn < 20 && !isOnlyKept(); turn++) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  const { held, faults } = openssl()
  t.ok(isOnlyKept(), `${name}: ${JSON.stringify(held)}`)
  t.same(faults, [])
}

function isOnlyKept(): boolean {
  const { held } = openssl()
  return Object.entries(held).every(([kind, count]) => count <= (kept[kind as 'BIO'] ?? 0))
}

async function archive(t: Test): Promise<Buffer> {
  const directory = ownDirectory(t, { cert, key, ca: ca as string })
  const names = ['-in', 'cert', '-inkey', 'key', '-certfile', 'ca', '-out', 'pfx']
  await run('openssl', ['pkcs12', '-export', ...names, '-passout', 'pass:secret'], {
    cwd: directory,
  })
  return readFileSync(join(directory, 'pfx'))
}

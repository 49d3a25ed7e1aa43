// Certificates are replaced while the program runs, by programs that know nothing of it. Whatever a
// handshake finds in the files, it must be a certificate with its own key, and the newest such pair.

import { randomBytes } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import fs, {
  mkdirSync,
  type PathLike,
  type StatSyncOptions,
  type statSync,
  unlinkSync,
} from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createIdentity } from '../../src/identity/identity.js'
import type { ParsedSettings, SecuritySettings } from '../../src/model/settings.js'
import { type FileClock, FileSettings, fileSource } from '../../src/policy/file-settings.js'
import { locateFiles } from '../../src/policy/settings-files.js'
import { testAuthority } from '../support/identities.js'
import { warningsAreHeard, warningsOf } from '../support/warnings.js'
import { Folder, newIdentity } from './rotation.js'

/** Files are as old as they are; only we can be later. */
class Later implements FileClock {
  #later = 0
  now = () => this.#later
  wallTime = () => Date.now() + this.#later
  pass(milliseconds: number): void {
    this.#later += milliseconds
  }
}

function follow(settings: SecuritySettings, clock: FileClock): FileSettings {
  const { settings: located, files } = locateFiles(settings) as NonNullable<
    ReturnType<typeof locateFiles>
  >
  return new FileSettings(located, files, 'stream', clock)
}

const warnings = (t: Test) => warningsOf(t, 'SECURE_SOCKET_CREDENTIALS_REFUSED')

const certOf = ({ cert }: ParsedSettings) => String(cert)

t.test('a pair that is written anew is used, once it is quiet', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  const before = source.current()
  t.equal(certOf(before), first.cert)

  clock.pass(5000)
  t.equal(source.current(), before, 'the same object while nothing changes')

  folder.writePair(second)
  t.equal(source.current(), before, 'nobody looks more often than once a second')
  clock.pass(2000)
  t.equal(certOf(source.current()), second.cert)
  t.equal(String(source.current().key), second.key)
  t.equal(before.cert?.toString(), first.cert, 'who has the old ones keeps them')
})

t.test('what was just written is left alone until it is quiet', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  // A clock by which the files are always new.
  const clock = { now: () => now, wallTime: () => Date.now() }
  let now = 0
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  folder.writePair(second)
  now += 1000
  t.equal(certOf(source.current()), first.cert)
  now += 1000
  t.equal(certOf(source.current()), second.cert, 'the same again a second later: it is complete')
})

t.test('files of a host whose clock is ahead are not new for ever', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  let now = 0
  const source = follow(
    { cert: folder.cert, key: folder.key },
    { now: () => now, wallTime: () => Date.now() - 60_000 },
  )
  folder.writePair(second)
  now += 1000
  t.equal(certOf(source.current()), second.cert)
})

t.test('a folder that is swapped by its link', async t => {
  const folder = new Folder(t)
  const identities = [await newIdentity(), await newIdentity(), await newIdentity()]
  folder.swap(identities[0] as never)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  for (const identity of identities.slice(1)) {
    folder.swap(identity)
    clock.pass(2000)
    t.equal(certOf(source.current()), identity.cert)
  }
})

t.test('two files that are renamed one after the other', async t => {
  const heard = warnings(t)
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  let now = 0
  const source = follow(
    { cert: folder.cert, key: folder.key },
    { now: () => now, wallTime: () => Date.now() },
  )
  folder.rename('tls.crt', second.cert)
  now += 1000
  t.equal(certOf(source.current()), first.cert, 'the new certificate has no key yet')
  folder.rename('tls.key', second.key)
  now += 1000
  source.current()
  now += 1000
  t.equal(certOf(source.current()), second.cert)
  await warningsAreHeard()
  t.same(heard, [], 'a moment between two files is nothing to be told')
})

t.test('what cannot be used leaves the old pair in place, and is said once', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const rsa = await createIdentity({
    names: ['localhost'],
    authority: await testAuthority(),
    algorithm: 'rsa-2048',
  })
  const half = second.cert.slice(0, second.cert.length / 2)
  const damaged = second.cert.replace(/\n[A-Za-z0-9+/]{8}/, '\nAAAAAAAA')
  const cases: [string, (folder: Folder) => void, RegExp][] = [
    ['the key of another', f => f.write('tls.key', second.key), /not the private key/],
    ['another kind of key', f => f.write('tls.key', rsa.key), /not the private key/],
    ['half a certificate', f => f.write('tls.crt', half), /security\.cert is cut off/],
    ['a damaged one', f => f.write('tls.crt', damaged), /cannot be read/],
    ['no certificate', f => f.write('tls.crt', 'nothing'), /contains no certificate/],
    ['an empty file', f => f.write('tls.crt', ''), /security\.cert/],
    [
      'half a key',
      f => f.write('tls.key', second.key.slice(0, 90)),
      /security\.key cannot be read/,
    ],
    ['no file', f => unlinkSync(join(f.path, 'tls.key')), /ENOENT/],
    [
      'a folder',
      f => {
        unlinkSync(join(f.path, 'tls.key'))
        mkdirSync(join(f.path, 'tls.key'))
      },
      /is no file/,
    ],
  ]
  for (const [what, spoil, reason] of cases) {
    await t.test(what, async t => {
      const heard = warnings(t)
      const refused: unknown[] = []
      const listener = (message: unknown) => refused.push(message)
      subscribe('secure-socket:credentials:refused', listener)
      t.teardown(() => unsubscribe('secure-socket:credentials:refused', listener))
      const folder = new Folder(t)
      folder.writePair(first)
      const clock = new Later()
      const source = follow({ cert: folder.cert, key: folder.key }, clock)
      const before = source.current()
      spoil(folder)
      for (let looks = 0; looks < 5; looks += 1) {
        clock.pass(2000)
        t.equal(source.current(), before)
      }
      await warningsAreHeard()
      t.equal(heard.length, 1)
      t.match(heard[0]?.message, reason)
      t.match(heard[0]?.message, folder.path, 'it says which files')
      t.notMatch(heard[0]?.message, /BEGIN|PRIVATE KEY-----/, 'and nothing of what is in them')
      t.match(refused, [{ error: { code: 'EINVAL' } }])

      if (what === 'a folder') return
      folder.writePair(second)
      clock.pass(2000)
      t.equal(certOf(source.current()), second.cert, 'until it is mended')
    })
  }
})

t.test('where several have the same files, one of them says it', async t => {
  const heard = warnings(t)
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const clock = new Later()
  const sources = [1, 2, 3].map(() => follow({ cert: folder.cert, key: folder.key }, clock))
  folder.write('tls.key', second.key)
  clock.pass(2000)
  for (const source of sources) source.current()
  await warningsAreHeard()
  t.equal(heard.length, 1)
})

t.test('each new reason is said', async t => {
  const heard = warnings(t)
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  const look = () => {
    clock.pass(2000)
    source.current()
  }
  folder.write('tls.key', second.key)
  look()
  folder.write('tls.key', 'nothing')
  look()
  folder.write('tls.key', first.key)
  look()
  t.equal(certOf(source.current()), first.cert, 'mended by the old key')
  folder.write('tls.key', second.key)
  look()
  await warningsAreHeard()
  t.match(
    heard.map(({ message }) => message),
    [/not the private key/, /cannot be read/, /not the private key/],
  )
})

t.test('a change that the times do not tell is found', async t => {
  // Times of files have a resolution; what is written twice within it has the same stamp.
  t.teardown(syncBuiltinESMExports)
  t.intercept(fs, 'statSync', { value: firstOfEach(fs.statSync) })
  syncBuiltinESMExports()
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  folder.writePair(second)
  clock.pass(2000)
  t.equal(certOf(source.current()), second.cert, 'it was read when it was just written: once more')
  folder.writePair(first)
  clock.pass(2000)
  t.equal(certOf(source.current()), second.cert, 'and not again, once it was quiet')
})

/** Tells of every file what it was when it was asked for first. */
function firstOfEach(stat: typeof statSync): typeof statSync {
  const told = new Map<unknown, unknown>()
  const first = (path: PathLike, options: StatSyncOptions) => {
    if (!told.has(path)) told.set(path, stat(path, options))
    return told.get(path)
  }
  return first as typeof statSync
}

t.test(
  'trust, revocations, passphrases and pre-shared keys follow their files as well',
  async t => {
    const { cert: ca } = await testAuthority()
    const folder = new Folder(t)
    const [oldKey, newKey] = [randomBytes(32), randomBytes(32)]
    folder.write('ca.crt', ca)
    folder.write('own.key', oldKey.toString('hex'))
    folder.write('sensor.key', `${oldKey.toString('hex').toUpperCase()}\n`)
    folder.write('passphrase', 'tränen\n')
    const clock = new Later()
    const source = follow(
      {
        ca: [folder.url('ca.crt')],
        passphrase: folder.url('passphrase'),
        psk: [
          { identity: 'us', key: folder.url('own.key') },
          { 'sensor-17': folder.url('sensor.key') },
        ],
      },
      clock,
    )
    t.equal(String(source.current().ca), ca)
    t.equal(source.current().passphrase, 'tränen')
    t.same(source.current().ownPsk, { identity: 'us', key: oldKey })
    t.same((source.current().acceptedPsk as Record<string, Buffer>)['sensor-17'], oldKey)

    folder.write('own.key', newKey.toString('hex'))
    folder.write('passphrase', 'freude')
    folder.write('ca.crt', `${ca}\n${ca}`)
    clock.pass(2000)
    const { ca: trusted, passphrase, ownPsk } = source.current()
    t.equal(String(trusted), `${ca}\n${ca}`)
    t.equal(passphrase, 'freude')
    t.same(ownPsk?.key, newKey)

    folder.write('own.key', 'no key')
    clock.pass(2000)
    t.same(source.current().ownPsk?.key, newKey)
  },
)

t.test('a private key with its own passphrase in a file', async t => {
  const { createPrivateKey } = await import('node:crypto')
  const identity = await newIdentity()
  const folder = new Folder(t)
  const encrypted = createPrivateKey(identity.key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'pass',
  })
  folder.writePair({ cert: identity.cert, key: String(encrypted) })
  folder.write('passphrase', 'pass\n')
  const source = follow(
    { cert: folder.cert, key: { pem: folder.key, passphrase: folder.url('passphrase') } },
    new Later(),
  )
  t.match(source.current().key, { passphrase: 'pass' })
})

t.test('settings that are wrong fail at once, and say what and where', async t => {
  const identity = await newIdentity()
  const folder = new Folder(t)
  folder.writePair(identity)
  const failing: [string, SecuritySettings, RegExp][] = [
    [
      'no such file',
      { cert: folder.url('none'), key: folder.key },
      /security\.cert .*none.*ENOENT/,
    ],
    ['no file: URL', { ca: new URL('https://example.com/ca') }, /security\.ca.*https:.*file:/],
    ['no key', { cert: folder.cert }, /without security\.key/],
    ['another setting', { cert: folder.cert, key: folder.key, alpn: 'h2' as never }, /alpn/],
    ['no hexadecimal', { psk: { a: folder.key } }, /psk\["a"\].*hexadecimal/],
    ['one for two', { cert: folder.key, key: folder.key }, /contains no certificate/],
  ]
  for (const [what, settings, reason] of failing) {
    t.throws(() => fileSource(settings, 'stream'), { code: 'EINVAL', message: reason }, what)
  }
})

t.test('what a URL of another scheme carries is not told: it can be the secret', async t => {
  const secret = 'a5'.repeat(16)
  const urls = [`data:,${secret}`, `https://user:${secret}@vault.example.com/key`]
  for (const url of urls) {
    const psk = { identity: 'x', key: new URL(url) }
    try {
      fileSource({ psk }, 'stream')
      t.fail('it is taken')
    } catch (error) {
      t.match(error, { code: 'EINVAL', message: new URL(url).protocol })
      t.notMatch((error as Error).message, secret)
    }
  }
})

t.test('whoever may not be trusted with a secret is asked about it', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const asked: string[] = []
  let allowed = true
  const check = (path: string) => {
    asked.push(path)
    if (!allowed) throw new Error('others can read it')
  }
  const clock = new Later()
  const located = locateFiles({ cert: folder.cert, key: folder.key })
  t.ok(located)
  if (located === null) return
  const { settings, files } = located
  const source = new FileSettings(settings, files, 'stream', { ...clock, checkSecret: check })
  t.same(asked, [join(folder.path, 'tls.key')], 'the key, not the certificate')

  allowed = false
  const heard = warnings(t)
  folder.writePair(second)
  for (let looks = 0; looks < 2; looks += 1) {
    clock.pass(2000)
    t.equal(certOf(source.current()), first.cert)
  }
  await warningsAreHeard()
  t.match(heard[0]?.message, /others can read it/)
  t.throws(() => fileSource({ cert: folder.cert, key: folder.key }, 'stream', check), {
    code: 'EINVAL',
    message: /others can read it/,
  })
})

t.test('settings without a file have no source of files', async t => {
  t.equal(fileSource(null, 'stream'), null)
  t.equal(fileSource({ ca: 'a', psk: { a: Buffer.of(1) } }, 'stream'), null)
  t.equal(fileSource(Promise.resolve({}) as never, 'stream'), null, 'the parser says what it is')
})

t.test('equal settings share a source, and so what was good before', async t => {
  const identity = await newIdentity()
  const folder = new Folder(t)
  folder.writePair(identity)
  const settings = () => ({ cert: new URL(folder.cert.href), key: folder.key, alpn: ['a'] })
  const source = fileSource(settings(), 'stream')
  t.equal(fileSource(settings(), 'stream'), source)
  t.not(fileSource({ ...settings(), alpn: ['b'] }, 'stream'), source)
  t.not(fileSource(settings(), 'datagram'), source)
  unlinkSync(join(folder.path, 'tls.key'))
  t.equal(certOf(fileSource(settings(), 'stream')?.current() as ParsedSettings), identity.cert)
})

t.test('what was given beside the files is kept as it was given', async t => {
  const identity = await newIdentity()
  const folder = new Folder(t)
  folder.writePair(identity)
  const key = Buffer.from(identity.key)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key }, clock)
  // A careful program wipes its copy.
  key.fill(0)
  folder.write('tls.crt', `${identity.cert}\n`)
  clock.pass(2000)
  t.equal(certOf(source.current()), `${identity.cert}\n`)
  t.equal(String(source.current().key), identity.key)
})

t.test('it is told when others take their place', async t => {
  const [first, second] = [await newIdentity(), await newIdentity()]
  const folder = new Folder(t)
  folder.writePair(first)
  const clock = new Later()
  const source = follow({ cert: folder.cert, key: folder.key }, clock)
  const replaced: unknown[] = []
  const listener = (message: unknown) => replaced.push(message)
  subscribe('secure-socket:credentials:replaced', listener)
  t.teardown(() => unsubscribe('secure-socket:credentials:replaced', listener))
  folder.writePair(second)
  clock.pass(2000)
  source.current()
  t.same(replaced, [], 'not in the middle of what asks for them')
  await setImmediate()
  t.match(replaced, [{ files: [join(folder.path, 'tls.crt'), join(folder.path, 'tls.key')] }])
})

t.test('what somebody puts on Object.prototype is no setting, beside files either', async t => {
  const pair = await newIdentity()
  const folder = new Folder(t)
  folder.writePair(pair)
  const given = { cert: folder.cert, key: folder.key }
  const clean = fileSource(given, 'stream')?.current()
  const polluted = <T>(name: string, value: unknown, run: () => T): T => {
    Object.defineProperty(Object.prototype, name, { value, configurable: true })
    try {
      return run()
    } finally {
      delete (Object.prototype as Record<string, unknown>)[name]
    }
  }
  const evil = { ca: pair.cert, crl: 'x', psk: { evil: Buffer.alloc(16) }, passphrase: 'x' }
  for (const [name, value] of Object.entries(evil)) {
    const settings = polluted(name, value, () => fileSource(given, 'stream')?.current())
    t.equal(settings, clean, name)
  }
  const none = polluted('ca', folder.cert, () => fileSource({ requestCert: false }, 'stream'))
  t.equal(none, null, 'nor is a file')
})

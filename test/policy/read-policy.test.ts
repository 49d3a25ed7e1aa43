import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { problemText } from '../../src/model/policy/problems.js'
import { checkSecretFile, checkUnchangeable, checkWay } from '../../src/policy/permissions.js'
import { inspectPolicyFile } from '../../src/policy/read-policy.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'

const own = BigInt(process.geteuid?.() ?? 0)
const faults = (file: string) => inspectPolicyFile(file).problems.map(problemText)
const onWindows = process.platform === 'win32' && 'Windows has access control lists instead'

t.test('a policy is used where nobody else can change it', { skip: onWindows }, async t => {
  const folder = newFolder(t, { 'policy.json': '{}', real: { 'policy.json': '{}' } })
  const file = join(folder, 'policy.json')
  chmodSync(folder, 0o755)
  chmodSync(file, 0o644)
  t.strictSame(faults(file), [])

  for (const mode of [0o664, 0o646, 0o666]) {
    chmodSync(file, mode)
    t.match(faults(file), [/^\$ is refused: .*others may change it \(mode 06\d\d\): chmod go-w \//])
  }
  chmodSync(file, 0o644)

  for (const mode of [0o775, 0o757, 0o777]) {
    chmodSync(folder, mode)
    t.match(faults(file), [/others may change what is in it \(mode 07\d\d\): chmod go-w /])
  }
  chmodSync(folder, 0o1777)
  t.strictSame(faults(file), [], 'in a sticky folder nobody else can replace it')
  chmodSync(folder, 0o755)

  // Through links, every folder on the way counts, in the form in which it is found.
  const link = join(folder, 'link.json')
  symlinkSync('real/../real/policy.json', link)
  t.strictSame(faults(link), [])
  chmodSync(join(folder, 'real'), 0o777)
  t.match(faults(link), [/real cannot be used, since others may change what is in it/])
  symlinkSync('circle', join(folder, 'circle'))
  t.match(faults(join(folder, 'circle')), [/links lead in a circle/])
  symlinkSync('nowhere', join(folder, 'broken'))
  t.match(faults(join(folder, 'broken')), [/nowhere|which does not exist/])
})

t.test('what belongs to somebody else is refused', { skip: onWindows }, async t => {
  const other = { uid: own + 4711n, mode: 0o100600n }
  t.throws(() => checkSecretFile('/x/key', other), {
    code: 'ERR_POLICY_INVALID',
    message: /^\/x\/key cannot be used, since it belongs to the user \d+, .*: chown root \/x\/key$/,
  })
  t.throws(() => checkUnchangeable('/x/policy', other), { message: /belongs to the user/ })
  checkUnchangeable('/x/policy', { uid: 0n, mode: 0o100644n })
  checkUnchangeable('/x/policy', { uid: own, mode: 0o100444n })
})

t.test("a key is for its owner; root's may be lent to a group", { skip: onWindows }, async t => {
  const mine = own === 0n ? undefined : own
  for (const mode of [0o100600n, 0o100400n, 0o100700n]) {
    checkSecretFile('/x/key', { uid: 0n, mode })
    if (mine) checkSecretFile('/x/key', { uid: mine, mode })
  }
  checkSecretFile('/x/key', { uid: 0n, mode: 0o100640n })
  for (const mode of [0o100644n, 0o100604n, 0o100660n, 0o100620n, 0o100610n, 0o100602n])
    t.throws(() => checkSecretFile('/x/key', { uid: 0n, mode }), { message: /: chmod 600, or 640/ })
  if (mine)
    t.throws(() => checkSecretFile('/x/key', { uid: mine, mode: 0o100640n }), {
      message: /chmod 600 /,
    })
})

t.test('what can be read must be a file of a sensible size', async t => {
  const folder = newFolder(t, { large: '{}' })
  t.match(faults(join(folder, 'none.json')), [/^\$ leads to .*none\.json, which does not exist$/])
  t.match(faults(join(folder, 'large', 'policy.json')), [/^\$ /])
  t.match(faults(folder), [/^\$ cannot be read: /])
  writeFileSync(join(folder, 'large'), ' '.repeat(1024 * 1024 + 1), { mode: 0o644 })
  t.match(faults(join(folder, 'large')), [/more than 1048576 bytes/])
  if (process.platform === 'win32') return
  // Nobody writes into it: who opened it as usual would wait for ever.
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', ['-m', '644', pipe])
  t.match(faults(pipe), [/it is no regular file/])
  t.match(faults('/dev/zero'), [/^\$ /])
})

t.test('every file that a policy names is looked at before it counts', async t => {
  const { cert, key, ca } = await testIdentity()
  const stranger = await strangerIdentity()
  const folder = newFolder(t, { 'host.crt': cert, 'ca.crt': ca, 'bad.key': stranger.key })
  const file = join(folder, 'policy.json')
  const secret = (name: string, contents: string | Uint8Array) =>
    writeFileSync(join(folder, name), contents, { mode: 0o600 })
  const policy = (identity: object) => {
    writeFileSync(file, JSON.stringify({ identity }), { mode: 0o644 })
    return faults(file)
  }
  chmodSync(folder, 0o755)
  secret('host.key', key)
  secret('psk', `${'ab'.repeat(32)}\n`)
  secret('tickets', Buffer.alloc(48, 7))
  const good = { cert: 'host.crt', key: 'host.key', ca: ['ca.crt'] }
  t.strictSame(policy(good), [])
  t.strictSame(policy({ ...good, psk: { identity: 'x', key: 'psk' }, ticketKeys: 'tickets' }), [])

  t.match(policy({ ...good, ca: ['ca.crt', 'none.crt'] }), [
    /^\$\.identity\.ca\[1\] leads to \/.*none\.crt, which does not exist$/,
  ])
  chmodSync(join(folder, 'bad.key'), 0o600)
  t.match(policy({ ...good, key: 'bad.key' }), [/^\$\.identity cannot be used: .*bad\.key/])
  secret('psk-short', 'not hexadecimal')
  t.match(policy({ psk: { identity: 'x', key: 'psk-short' } }), [/^\$\.identity cannot be used: /])
  t.notMatch(policy({ psk: { identity: 'x', key: 'psk-short' } }).join(), /not hexadecimal'/)
  if (process.platform === 'win32') return

  chmodSync(join(folder, 'host.key'), 0o644)
  chmodSync(join(folder, 'ca.crt'), 0o666)
  t.match(policy(good), [
    /^\$\.identity\.key is refused: .*host\.key cannot be used, since others may read or change it \(mode 0644\): chmod 600/,
    /^\$\.identity\.ca\[0\] is refused: .*others may change it \(mode 0666\): chmod go-w/,
  ])
  chmodSync(join(folder, 'host.key'), 0o600)
  chmodSync(join(folder, 'ca.crt'), 0o644)
  const trust = join(folder, 'trust')
  mkdirSync(trust, { mode: 0o755 })
  renameSync(join(folder, 'ca.crt'), join(trust, 'ca.crt'))
  chmodSync(trust, 0o777)
  t.match(policy({ ...good, ca: ['trust/ca.crt'] }), [
    /trust cannot be used, since others may change/,
  ])
  chmodSync(trust, 0o755)
  t.strictSame(policy({ ...good, ca: ['trust/ca.crt'] }), [])
  rmSync(trust, { recursive: true })
})

t.test('as Kubernetes mounts it', { skip: onWindows }, async t => {
  // Read-only, 0777, through two links: only the mounting of it keeps others from changing it.
  const folder = newFolder(t, { volume: { '..v1': { 'policy.json': '{}' } } })
  const volume = join(folder, 'volume')
  chmodSync(folder, 0o755)
  symlinkSync('..v1', join(volume, '..data'))
  symlinkSync('..data/policy.json', join(volume, 'policy.json'))
  t.strictSame(faults(join(volume, 'policy.json')), [])
  chmodSync(volume, 0o777)
  t.match(faults(join(volume, 'policy.json')), [/others may change what is in it/])
  t.throws(() => checkWay(join(volume, 'x', 'y')), { code: /ENOENT|ERR_POLICY_INVALID/ })
})

interface Files {
  readonly [name: string]: string | Files
}

/** Below a folder that nobody else can change; whom the sources belong to is nobody's affair here. */
function newFolder(t: Test, files: Files): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'secure-socket-policy-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const write = (at: string, contents: Files): void => {
    for (const [name, each] of Object.entries(contents)) {
      const path = join(at, name)
      if (typeof each === 'string') {
        writeFileSync(path, each, { mode: 0o644 })
      } else {
        mkdirSync(path, { mode: 0o755 })
        write(path, each)
      }
    }
  }
  write(folder, files)
  return folder
}

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { examineStrongswan } from '../../../src/cli/doctor/strongswan.js'
import { type Answer, fakeVici } from '../../providers/strongswan/fake-vici.js'

const elsewhere = process.platform !== 'linux' && 'for Linux'

/** A file system with a kernel that has what these lines of modules.builtin say. */
function root(t: Test, modules = 'kernel/net/ipv4/esp4.ko\n'): string {
  const folder = mkdtempSync(join(tmpdir(), 'doctor-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const ofKernel = join(folder, 'lib/modules', release())
  for (const each of [ofKernel, join(folder, 'sys/module/esp6'), join(folder, 'usr/sbin')])
    mkdirSync(each, { recursive: true })
  writeFileSync(join(ofKernel, 'modules.builtin'), modules)
  return folder
}

const works: Record<string, Answer> = {
  version: () => ({ daemon: 'charon-systemd', version: '5.9.8' }),
  stats: () => ({ plugins: ['random', 'kernel-netlink', 'vici'] }),
  'get-keys': () => ({ keys: ['aa'] }),
  'get-shared': () => ({ keys: ['one', 'two'] }),
  'list-certs': (_request, client) => {
    client.event('list-cert', { type: 'X509', flag: 'NONE', data: Buffer.from([0x30, 0xff]) })
    client.event('list-cert', { type: 'X509', flag: 'CA' })
    client.event('list-cert', { type: 'X509', flag: 'CA' })
    return {}
  },
}
const guard = async () => {}

t.test('a daemon that works', { skip: elsewhere }, async t => {
  const { path } = await fakeVici(t, works)
  const asked: string[] = []
  const finding = await examineStrongswan({
    root: root(t),
    path,
    guard: async path => void asked.push(path),
  })
  t.match(finding, { status: 'works', details: { vici: path, esp: { ipv4: 'built in' } } })
  t.match(finding.details, {
    esp: { ipv6: 'loaded' },
    daemon: {
      version: '5.9.8',
      credentials: { privateKeys: 1, sharedKeys: 2, certificates: 1, authorities: 2 },
    },
  })
  t.match(
    finding.summary,
    /5\.9\.8 at .*charon\.vici, ESP in the kernel: built in; it has 1 private/,
  )
  t.same(asked, [path], 'and a guard was tried')
})

t.test(
  'a daemon without keys works for programs that bring their own',
  { skip: elsewhere },
  async t => {
    const { path } = await fakeVici(t, {
      ...works,
      'get-keys': () => ({ keys: [] }),
      'get-shared': () => ({ keys: [] }),
    })
    const { status, summary } = await examineStrongswan({ root: root(t), path, guard })
    t.equal(status, 'works')
    t.match(summary, /no key of its own, so sockets need cert and key, or psk/)
    const old = await fakeVici(t, {
      version: works.version as Answer,
      stats: works.stats as Answer,
    })
    const { summary: ofOld } = await examineStrongswan({ root: root(t), path: old.path, guard })
    t.match(ofOld, /does not tell its credentials/)
  },
)

t.test('no daemon', { skip: elsewhere }, async t => {
  const folder = root(t)
  const path = join(folder, 'charon.vici')
  const absent = await examineStrongswan({ root: folder, path, guard })
  t.match(absent, { status: 'missing', details: { installed: false, vici: path, daemon: null } })
  t.match(absent.summary, /not installed.*'default' and 'tls' do not need it/)
  t.same(absent.remedies, [], 'which is nothing that has to be done')
  writeFileSync(join(folder, 'usr/sbin/charon-systemd'), '')
  const stopped = await examineStrongswan({ root: folder, path, guard })
  t.match(stopped, { status: 'missing', summary: /is installed, and does not listen/ })
  t.match(stopped.remedies, [/systemctl start strongswan/])
})

t.test('a daemon that this user may not ask', { skip: elsewhere || isRoot() }, async t => {
  const { path } = await fakeVici(t, works)
  chmodSync(path, 0)
  const finding = await examineStrongswan({ root: root(t), path, guard })
  t.match(finding, { status: 'missing', summary: /this user may not use it/ })
  t.match(finding.remedies, [/member of the group/])
})

t.test('a daemon that does not secure by the kernel', { skip: elsewhere }, async t => {
  const { path } = await fakeVici(t, {
    ...works,
    stats: () => ({ plugins: ['kernel-libipsec', 'vici'] }),
  })
  const finding = await examineStrongswan({ root: root(t), path, guard })
  t.match(finding, { status: 'missing', summary: /does not use the IPsec of the kernel/ })
  t.match(finding.remedies, [/kernel-netlink/])
})

t.test('a kernel without ESP, and one of which nothing is known', { skip: elsewhere }, async t => {
  const { path } = await fakeVici(t, works)
  const without = await examineStrongswan({ root: root(t, ''), path, guard })
  t.match(without, { status: 'missing', summary: /this kernel has no ESP/ })
  t.match(without.remedies, [/esp4 and esp6/])
  const unknown = await examineStrongswan({ root: t.testdir(), path, guard })
  t.match(unknown, { status: 'works', summary: /ESP in the kernel: unknown/ })
})

t.test('what the daemon is told does not reach the kernel', { skip: elsewhere }, async t => {
  const { path } = await fakeVici(t, works)
  const inTheWay = async () => {
    throw new Error('the policies are not in the kernel')
  }
  const finding = await examineStrongswan({ root: root(t), path, guard: inTheWay })
  t.match(finding, { status: 'missing', summary: /cannot guard a port: the policies are not/ })
})

t.test('a daemon that says nothing sensible', { skip: elsewhere }, async t => {
  const { path } = await fakeVici(t, { version: (_request, { raw }) => void raw(Buffer.alloc(4)) })
  t.match(await examineStrongswan({ root: root(t), path, guard }), {
    status: 'missing',
    summary: /does not speak strongSwan's VICI/,
  })
  const file = join(root(t), 'file')
  writeFileSync(file, '')
  t.match(await examineStrongswan({ root: root(t), path: file, guard }), { status: 'missing' })
})

/** Nothing is forbidden to root. */
function isRoot(): string | false {
  return process.getuid?.() === 0 && 'for a user who is not root'
}

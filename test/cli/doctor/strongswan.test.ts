import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { examineStrongswan } from '../../../src/cli/doctor/strongswan.js'
import { event } from '../../support/events.js'

const elsewhere = process.platform !== 'linux' && 'for Linux'

t.test('a machine without strongSwan', { skip: elsewhere }, async t => {
  const { status, summary, details } = examineStrongswan(t.testdir())
  t.equal(status, 'missing')
  t.match(summary, 'strongSwan is not installed')
  t.same(details, {
    installed: false,
    vici: null,
    mayUseVici: false,
    esp: { ipv4: 'unknown', ipv6: 'unknown' },
  })
})

t.test('a daemon that listens, and what the kernel has', { skip: elsewhere }, async t => {
  // The path of a socket has 107 bytes at most, and a test's own folder may be deeper.
  const root = mkdtempSync(join(tmpdir(), 'doctor-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  for (const folder of ['run', 'sys/module/esp6'])
    mkdirSync(join(root, folder), { recursive: true })
  const modules = join(root, 'lib/modules', release())
  mkdirSync(modules, { recursive: true })
  writeFileSync(
    join(modules, 'modules.builtin'),
    'kernel/net/ipv4/tcp.ko\nkernel/net/ipv4/esp4.ko\n',
  )
  const path = join(root, 'run/charon.vici')
  const daemon = createServer().listen(path)
  await event(daemon, 'listening')
  t.teardown(() => daemon.close())
  const { summary, details } = examineStrongswan(root)
  t.match(summary, `strongSwan listens at ${path}`)
  t.match(details, { vici: path, mayUseVici: true, esp: { ipv4: 'built in', ipv6: 'loaded' } })
})

t.test('a file in the place of the socket is none', { skip: elsewhere }, async t => {
  const root = t.testdir({ run: { 'charon.vici': '' } })
  t.match(examineStrongswan(root).details, { vici: null })
})

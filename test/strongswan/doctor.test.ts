/**
 * The doctor asks a real daemon and a real kernel: as root, as a user who may, as one who may not,
 * and where nothing runs.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Finding } from '../../src/cli/doctor/finding.js'
import { examineStrongswan } from '../../src/cli/doctor/strongswan.js'
import { until } from '../support/until.js'

const path = '/run/a/charon.vici'
const program = fileURLToPath(new URL('./doctor-program.ts', import.meta.url))

/** By a user without any privilege, who is in that group. */
function foundBy(group: number): Finding {
  const user = ['--reuid', '65534', '--regid', '65534', '--groups', String(group)]
  const nothing = ['--bounding-set', '-all', '--inh-caps', '-all']
  const args = [...user, ...nothing, process.execPath, program, path]
  return JSON.parse(execFileSync('setpriv', args, { encoding: 'utf8', timeout: 60_000 }))
}

t.test('root', async t => {
  const { status, summary, details } = await examineStrongswan({ path })
  t.equal(status, 'works', summary)
  t.match(details, { vici: path, esp: { ipv4: 'loaded' }, daemon: { version: /^\d/ } })
})

t.test('a user without any privilege, in the group of the socket', async t => {
  chownSync(path, 0, 12345)
  chmodSync(path, 0o770)
  const { status, summary } = foundBy(12345)
  t.equal(status, 'works', summary)
})

t.test('a user who is not in it', async t => {
  const { status, summary, remedies } = foundBy(12346)
  t.match({ status, summary }, { status: 'missing', summary: /this user may not use it/ })
  t.match(remedies, [/the group that owns the socket \(12345\)/])
})

t.test('nothing is left behind', async () => {
  await until('strongSwan has no connections', () => {
    const listed = execFileSync('on', ['a', 'swanctl', '--list-conns'], { encoding: 'utf8' })
    return !listed.includes('secure-socket')
  })
})

t.test('where nothing runs', async t => {
  execFileSync('charon', ['stop', 'a'])
  await until('its socket is dead', async () => {
    const { details } = await examineStrongswan({ path, guard: async () => {} })
    return details?.daemon === null
  })
  const { summary, details } = await examineStrongswan({ path })
  t.match(summary, /is installed, and does not listen/)
  t.match(details, { daemon: null })
})

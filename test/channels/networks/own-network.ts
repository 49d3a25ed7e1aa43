import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { requireProgram } from '../../support/foreign-program.js'

/**
 * Runs a file of tests as one test, in a network namespace of its own, where it may make links of its
 * own: no traffic of theirs leaves the machine, and nothing of it stays.
 *
 * Skipped, visibly, where the system lets this user make none (a container, a hardened kernel). With
 * CI=true the programs for it must be there.
 */
export async function inOwnNetwork(t: Test, file: URL): Promise<void> {
  const name = `in a network of its own: ${file.pathname.split('/').at(-1)}`
  const unshare = requireProgram(t, 'unshare')
  const ip = requireProgram(t, 'ip')
  if (unshare === undefined || ip === undefined) return
  const namespace = ['--user', '--map-root-user', '--net']
  const attempt = spawnSync(
    unshare,
    [...namespace, ip, 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far'],
    { encoding: 'utf8' },
  )
  if (attempt.status !== 0) {
    t.pass(name, { skip: `the system lets us make no network: ${attempt.stderr.trim()}` })
    return
  }
  const node = [process.execPath, ...process.execArgv, fileURLToPath(file)]
  await t.spawn(unshare, [...namespace, ...node], {}, name)
}

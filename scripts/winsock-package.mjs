// The package as a user has it: packed, and installed into an empty project with what it depends on
// for Windows.

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** @returns {string} the project's folder; whoever asked removes it */
export function installPackage() {
  if (isOutdated()) npm(root, 'run', '--silent', 'build')
  // Outside the repository, where Node would find what the package forgot to depend on.
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'secure-socket-winsock-'))
  npm(root, 'pack', '--silent', '--ignore-scripts', '--pack-destination', folder)
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))
  for (const consumer of ['test/package/consumer', 'test/winsock/consumer'])
    cpSync(join(root, consumer), folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const windows = ['--os=win32', '--cpu=x64', '--ignore-scripts']
  npm(folder, 'install', '--prefer-offline', '--no-audit', '--no-fund', ...windows, `./${tarball}`)
  return folder
}

/** Whether a source is newer than what was built, or nothing was. */
function isOutdated() {
  const built = times('dist')
  return built.length === 0 || Math.max(...times('src'), ...times('lib')) > Math.min(...built)
}

/** When each of the folder's files was last written. */
function times(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true })
    .map(name => statSync(join(root, folder, name)))
    .filter(entry => entry.isFile())
    .map(entry => entry.mtimeMs)
}

function npm(cwd, ...args) {
  const { status, error } = spawnSync('npm', args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  if (error || status !== 0) throw new Error(`npm ${args[0]} has failed in ${cwd}`)
}

import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'
import { isBelow } from './process.js'

/**
 * The path of a foreign program that the test needs, such as `gnutls-cli`.
 *
 * Where it is not installed, the test is skipped, visibly, and the answer is undefined: return at
 * once. With CI=true its absence fails the test, because there every peer is meant to be present.
 */
export function requireProgram(t: Test, name: string): string | undefined {
  const path = isBelow(name) ? name : findProgram(name)
  if (path) return path
  if (process.env.CI === 'true') t.fail(`${name} is not installed, and CI must not skip it`)
  else t.pass(name, { skip: `${name} is not installed` })
  return undefined
}

function findProgram(name: string): string | undefined {
  // Daemons live in sbin, which is not in every user's PATH; PostgreSQL's are in nobody's.
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...['/usr/sbin', '/usr/local/sbin'],
    ...versionFolders('/usr/lib/postgresql', 'bin'),
  ]
  const endings = process.platform === 'win32' ? ['.exe', '.cmd'] : ['']
  return folders
    .flatMap(folder => endings.map(ending => join(folder, name + ending)))
    .find(isExecutable)
}

/** Such as /usr/lib/postgresql/15/bin, the newest first. */
function versionFolders(above: string, below: string): string[] {
  try {
    return readdirSync(above)
      .sort((a, b) => Number(b) - Number(a))
      .map(version => join(above, version, below))
  } catch {
    return []
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { npm } from '../../scripts/npm.mjs'

const directory = fileURLToPath(new URL('..', import.meta.url))

/**
 * Installs the packages that we are compared with, where they are not. They are kept out of the
 * project's own package.json: one of them names packages that npm ci cannot find.
 */
export function ensurePackages(names) {
  const present = name =>
    existsSync(new URL(`../node_modules/${name}/package.json`, import.meta.url))
  if (names.every(present)) return
  const install = ['install', '--prefix', directory, '--no-package-lock', '--no-audit', '--no-fund']
  if (!npm(install)) throw new Error(`the packages to compare with cannot be installed: ${names}`)
}

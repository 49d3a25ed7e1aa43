import { existsSync, readFileSync } from 'node:fs'
import { npm } from './npm.mjs'

/** Runs `npm ci`, but only when node_modules is absent or older than the lockfile. */
export function ensureInstalled() {
  if (isInstalled()) return
  console.log('Installing what package-lock.json names …')
  if (!npm(['ci', '--no-audit', '--no-fund'])) {
    console.error('npm ci failed, so nothing else was tried.')
    process.exit(1)
  }
}

// Versions are compared, not times: a checkout changes times, and `npm install` leaves them alone
// when it finds nothing to do. npm keeps a copy of the lockfile of what it has installed.
function isInstalled() {
  const copy = 'node_modules/.package-lock.json'
  if (!existsSync(copy)) return false
  const wanted = readPackages('package-lock.json')
  const installed = readPackages(copy)
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || optional || installed[path]?.version === version,
  )
}

function readPackages(lockfile) {
  return JSON.parse(readFileSync(lockfile, 'utf8')).packages
}

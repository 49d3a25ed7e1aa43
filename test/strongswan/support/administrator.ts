/** A host whose administrator has configured strongSwan by hand, as its manual says. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HostName } from './hosts.js'

/** Loads `swanctl.conf`, with the host's certificate and key and the authority's; all else is unloaded. */
export function configure(host: HostName, conf: string): void {
  const folder = mkdtempSync(join(tmpdir(), `swanctl-${host}-`))
  for (const each of folders) mkdirSync(join(folder, each))
  copyFileSync(`/run/ca/${host}.pem`, join(folder, 'x509', 'host.pem'))
  copyFileSync(`/run/ca/${host}.key`, join(folder, 'private', 'host.key'))
  copyFileSync('/run/ca/ca.pem', join(folder, 'x509ca', 'ca.pem'))
  writeFileSync(join(folder, 'swanctl.conf'), conf)
  swanctl(host, ['--load-all', '--noprompt'], { SWANCTL_DIR: folder })
}

/** Runs swanctl with that host's daemon, and gives what it says. */
export function swanctl(
  host: HostName,
  args: readonly string[],
  env: Record<string, string> = {},
): string {
  const options = { encoding: 'utf8', env: { ...process.env, ...env }, stdio: 'pipe' } as const
  return execFileSync('on', [host, 'swanctl', ...args], options)
}

// All of them, because it complains of each that is missing.
const folders = [
  ...['x509', 'x509ca', 'x509ocsp', 'x509aa', 'x509ac', 'x509crl', 'pubkey'],
  ...['private', 'rsa', 'ecdsa', 'bliss', 'pkcs8', 'pkcs12'],
]

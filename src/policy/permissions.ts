/**
 * Who else could read a secret, or change what we trust: files are used only where nobody could but
 * ourselves and the administrator.
 *
 * On Windows the owner and the bits of a file say nothing, so nothing is checked: there the folder's
 * access control list is the administrator's.
 */
import type { BigIntStats } from 'node:fs'
import { SocketSecurityError } from '../model/errors.js'

const ROOT = 0n
const GROUP_MAY_READ = 0o040n
const OTHERS_MAY_WRITE = 0o022n
const ANYBODY_MAY = 0o077n

/**
 * A key, a passphrase, or anything else that lets its reader act as us. As PostgreSQL has it: our own
 * file is for nobody else; root's may be lent to a group.
 * @throws SocketSecurityError ERR_POLICY_INVALID, with what to do
 */
export function checkSecretFile(path: string, stats: Pick<BigIntStats, 'mode' | 'uid'>): void {
  if (process.platform === 'win32') return
  checkOwner(path, stats)
  const lent = stats.uid === ROOT ? GROUP_MAY_READ : 0n
  if ((stats.mode & ANYBODY_MAY & ~lent) !== 0n) {
    throw unsafe(
      path,
      `others may read or change it (mode ${modeText(stats.mode)})`,
      stats.uid === ROOT ? 'chmod 600, or 640 with a group' : 'chmod 600',
    )
  }
}

/**
 * A policy, or a directory on the way to one: nobody else may change it.
 * @throws SocketSecurityError ERR_POLICY_INVALID, with what to do
 */
export function checkUnchangeable(path: string, stats: Pick<BigIntStats, 'mode' | 'uid'>): void {
  if (process.platform === 'win32') return
  checkOwner(path, stats)
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0n) {
    throw unsafe(path, `others may change it (mode ${modeText(stats.mode)})`, 'chmod go-w')
  }
}

/** The administrator, or whoever runs this: they could do as they like anyway. */
function checkOwner(path: string, { uid }: Pick<BigIntStats, 'uid'>): void {
  const own = process.geteuid?.() ?? -1
  if (uid === ROOT || uid === BigInt(own)) return
  throw unsafe(
    path,
    `it belongs to the user ${uid}, neither to root nor to ${own}, who runs this`,
    'chown root',
  )
}

function unsafe(path: string, why: string, remedy: string): Error {
  return new SocketSecurityError(
    'ERR_POLICY_INVALID',
    `${path} cannot be used, since ${why}: ${remedy} ${path}`,
  )
}

function modeText(mode: bigint): string {
  return (mode & 0o7777n).toString(8).padStart(4, '0')
}

/**
 * Who else could read a secret, or change what is trusted: a file is used only where nobody could but
 * the administrator and the user who runs this.
 *
 * On Windows the owner and the mode of a file say nothing, so nothing is checked: there the access
 * control list of the folder is the administrator's.
 */
import { accessSync, type BigIntStats, constants, lstatSync, readlinkSync } from 'node:fs'
import { join, parse, sep } from 'node:path'
import { SocketSecurityError } from '../model/errors.js'

const ROOT = 0n
const STICKY = 0o1000n
const GROUP_MAY_READ = 0o040n
const OTHERS_MAY_WRITE = 0o022n
const OTHERS_MAY_ANYTHING = 0o077n
/** As many as Linux follows. */
const MAX_LINKS = 40

type Access = Pick<BigIntStats, 'mode' | 'uid'>

/**
 * A key, a passphrase, whatever lets its reader act as us. By PostgreSQL's rule: a file of our own is for
 * nobody else, and one of root's may be lent to a group.
 * @throws SocketSecurityError ERR_POLICY_INVALID, with what to do
 */
export function checkSecretFile(path: string, stats: Access): void {
  if (!isChecked) return
  checkOwner(path, stats)
  const lent = stats.uid === ROOT ? GROUP_MAY_READ : 0n
  if ((stats.mode & OTHERS_MAY_ANYTHING & ~lent) === 0n) return
  const remedy =
    stats.uid === ROOT ? 'chmod 600, or 640 and a group that may read it,' : 'chmod 600'
  throw unsafe(path, `others may read or change it (mode ${modeText(stats)})`, remedy)
}

/**
 * What nobody else may change: a policy, or what it trusts.
 * @throws SocketSecurityError ERR_POLICY_INVALID, with what to do
 */
export function checkUnchangeable(path: string, stats: Access): void {
  if (!isChecked) return
  checkOwner(path, stats)
  if ((stats.mode & OTHERS_MAY_WRITE) === 0n) return
  throw unsafe(path, `others may change it (mode ${modeText(stats)})`, 'chmod go-w')
}

/**
 * The folders on the way to a file, and the links: whoever may change one of them puts another file
 * there.
 * @throws SocketSecurityError ERR_POLICY_INVALID, with what to do; errors of the system
 */
export function checkWay(file: string): void {
  if (!isChecked) return
  let { root: at } = parse(file)
  let left = file.slice(at.length).split(sep)
  let links = 0
  checkFolder(at)
  while (left.length > 0) {
    const [name = '', ...rest] = left
    left = rest
    const path = join(at, name)
    if (name === '' || name === '.' || name === '..') {
      at = path
      continue
    }
    const stats = lstatSync(path, { bigint: true })
    if (stats.isSymbolicLink()) {
      checkOwner(path, stats)
      links += 1
      if (links > MAX_LINKS) throw unsafe(path, 'its links lead in a circle', 'correct')
      const target = readlinkSync(path)
      left = [...target.split(sep), ...left]
      if (target.startsWith(sep)) at = parse(target).root
    } else if (stats.isDirectory()) {
      checkFolder(path, stats)
      at = path
    } else if (left.length > 0) {
      throw unsafe(path, 'it is no folder', 'correct')
    }
  }
}

const isChecked = process.platform !== 'win32'

/**
 * In a sticky folder (/tmp) only the owner of a file can replace it. What nobody can write, since its
 * file system is mounted so, may have whatever mode: Kubernetes mounts its volumes with 0777.
 */
function checkFolder(path: string, stats: Access = lstatSync(path, { bigint: true })): void {
  checkOwner(path, stats)
  if ((stats.mode & OTHERS_MAY_WRITE) === 0n || (stats.mode & STICKY) !== 0n) return
  if (isReadOnly(path)) return
  throw unsafe(path, `others may change what is in it (mode ${modeText(stats)})`, 'chmod go-w')
}

function isReadOnly(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EROFS'
  }
}

/** The administrator, and whoever runs this: they could do as they like anyway. */
function checkOwner(path: string, { uid }: Access): void {
  const own = BigInt(process.geteuid?.() ?? 0)
  if (uid === ROOT || uid === own) return
  const why = `it belongs to the user ${uid}, and neither to root nor to ${own}, who runs this`
  throw unsafe(path, why, 'chown root')
}

function unsafe(path: string, why: string, remedy: string): Error {
  return new SocketSecurityError(
    'ERR_POLICY_INVALID',
    `${path} cannot be used, since ${why}: ${remedy} ${path}`,
  )
}

function modeText({ mode }: Access): string {
  return (mode & 0o7777n).toString(8).padStart(4, '0')
}

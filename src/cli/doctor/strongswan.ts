import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import type { Finding } from './finding.js'

/** Where strongSwan's daemon listens for its administration, on Debian and on others. */
const sockets = ['run/charon.vici', 'var/run/charon.vici']
const daemons = ['usr/sbin/charon-systemd', 'usr/lib/ipsec/charon', 'usr/libexec/ipsec/charon']

/**
 * IPsec on Linux: what a provider on top of strongSwan would find here.
 * @param root where the file system begins; a test gives its own
 */
export function examineStrongswan(root = '/'): Finding {
  const common = { name: 'strongswan', title: 'IPsec of Linux (strongSwan)' } as const
  if (process.platform !== 'linux') return { ...common, status: 'elsewhere', summary: 'for Linux' }
  const vici = viciSocket(root)
  const details = {
    installed: daemons.some(path => existsSync(join(root, path))),
    vici: vici?.path ?? null,
    mayUseVici: vici?.mayUse ?? false,
    esp: { ipv4: espModule(root, 'esp4', 'ipv4'), ipv6: espModule(root, 'esp6', 'ipv6') },
  }
  const daemon = vici
    ? `strongSwan listens at ${vici.path}${vici.mayUse ? '' : ', which this user may not use'}`
    : details.installed
      ? 'strongSwan is installed and not running'
      : 'strongSwan is not installed'
  return {
    ...common,
    status: 'missing',
    summary: `no provider in this version: use protocol 'default' or 'tls' (${daemon}; ESP in the kernel: ${details.esp.ipv4})`,
    details,
  }
}

function viciSocket(root: string): { path: string; mayUse: boolean } | undefined {
  for (const path of sockets.map(each => join(root, each))) {
    try {
      if (!statSync(path).isSocket()) continue
    } catch {
      continue
    }
    try {
      accessSync(path, constants.R_OK | constants.W_OK)
      return { path, mayUse: true }
    } catch {
      return { path, mayUse: false }
    }
  }
  return undefined
}

/** Does the kernel have ESP, or could it load it? */
function espModule(root: string, name: string, family: string): string {
  if (existsSync(join(root, 'sys/module', name))) return 'loaded'
  const modules = join(root, 'lib/modules', release())
  // A container has no modules of the kernel that it runs on.
  if (!existsSync(modules)) return 'unknown'
  const file = `kernel/net/${family}/${name}.ko`
  if (lists(join(modules, 'modules.builtin'), file)) return 'built in'
  if (lists(join(modules, 'modules.dep'), file)) return 'can be loaded'
  return 'not found'
}

/** Modules may be compressed: esp4.ko.xz. */
function lists(index: string, file: string): boolean {
  try {
    return readFileSync(index, 'utf8')
      .split('\n')
      .some(line => line.startsWith(file))
  } catch {
    return false
  }
}

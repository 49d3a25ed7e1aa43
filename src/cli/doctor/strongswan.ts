import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SocketSecurityError } from '../../model/errors.js'
import { connectVici } from '../../providers/strongswan/vici/connect.js'
import type { Vici } from '../../providers/strongswan/vici/vici.js'
import { espOf } from './esp.js'
import { type Finding, reason } from './finding.js'
import { askDaemon, type DaemonSelf, tryGuard } from './strongswan-daemon.js'
import { viciPath } from './vici-path.js'

const daemons = ['usr/sbin/charon-systemd', 'usr/lib/ipsec/charon', 'usr/libexec/ipsec/charon']
const common = { name: 'strongswan', title: 'IPsec of Linux (strongSwan)' } as const
const guide = 'docs/strongswan.md has it step by step'

export interface Place {
  /** Where the file system begins. */
  readonly root?: string
  /** Of the daemon's socket. */
  readonly path?: string
  /** Whether what the daemon is told reaches the kernel. */
  readonly guard?: (path: string) => Promise<void>
}

/**
 * IPsec on Linux, by trying: is there a daemon, may this process use it, does what it is told reach
 * the kernel, and has that ESP?
 * @param place where it looks; a test gives its own
 */
export async function examineStrongswan(place: Place = {}): Promise<Finding> {
  const { root = '/', path = viciPath(), guard = tryGuard } = place
  if (process.platform !== 'linux') return { ...common, status: 'elsewhere', summary: 'for Linux' }
  const installed = daemons.some(each => existsSync(join(root, each)))
  const details = { installed, vici: path, esp: espOf(root) }
  let vici: Vici
  try {
    vici = await connectVici(path, { timeout: 5000 })
  } catch (error) {
    return missing({ ...details, daemon: null }, ...unreachable(error, path, installed))
  }
  try {
    const daemon = await askDaemon(vici)
    return await examineDaemon({ ...details, daemon }, guard)
  } catch (error) {
    return missing({ ...details, daemon: null }, reason(error))
  } finally {
    vici.close()
  }
}

type Details = {
  readonly installed: boolean
  readonly vici: string
  readonly esp: ReturnType<typeof espOf>
  readonly daemon: DaemonSelf | null
}

async function examineDaemon(
  details: Details & { daemon: DaemonSelf },
  guard: (path: string) => Promise<void>,
): Promise<Finding> {
  const { daemon, esp, vici } = details
  const name = `strongSwan ${daemon.version} at ${vici}`
  if (!daemon.plugins.includes('kernel-netlink'))
    return missing(
      details,
      `${name} does not use the IPsec of the kernel`,
      'load its plugin kernel-netlink, and neither kernel-libipsec nor kernel-pfkey',
    )
  if (esp.ipv4 === 'not found')
    return missing(
      details,
      `${name} answers, but this kernel has no ESP`,
      'load the modules esp4 and esp6, or use a kernel that has them',
    )
  try {
    await guard(vici)
  } catch (error) {
    return missing(details, `${name} answers, but cannot guard a port: ${reason(error)}`)
  }
  const summary = `${name}, ESP in the kernel: ${esp.ipv4}; ${ownCredentials(daemon)}`
  return { ...common, status: 'works', summary, details }
}

/** A program can bring its own, so none is no fault. */
function ownCredentials({ credentials }: DaemonSelf): string {
  if (credentials === null) return 'it does not tell its credentials'
  const { privateKeys, sharedKeys, certificates, authorities } = credentials
  if (privateKeys + sharedKeys === 0)
    return 'it has no key of its own, so sockets need cert and key, or psk'
  return `it has ${privateKeys} private and ${sharedKeys} shared keys, ${certificates} certificates and ${authorities} authorities`
}

function unreachable(
  error: unknown,
  path: string,
  installed: boolean,
): [summary: string, ...remedies: string[]] {
  const code = error instanceof SocketSecurityError ? error.code : undefined
  if (code === 'EACCES')
    return [
      `strongSwan listens at ${path}, and this user may not use it`,
      `run as a member of the group that owns the socket (${groupOf(path)}); ${guide}`,
    ]
  if (code !== 'ERR_PROVIDER_UNAVAILABLE') return [reason(error)]
  // Nothing to be done about it unless somebody wants it.
  if (!installed) return [`strongSwan is not installed (${guide})`]
  return [
    `strongSwan is installed, and does not listen at ${path}`,
    `start it with its plugin vici (systemctl start strongswan); ${guide}`,
  ]
}

function groupOf(path: string): string {
  try {
    const id = String(statSync(path).gid)
    const lines = readFileSync('/etc/group', 'utf8').split('\n')
    return lines.find(line => line.split(':')[2] === id)?.split(':')[0] ?? id
  } catch {
    return 'unknown'
  }
}

function missing(details: Details, summary: string, ...remedies: string[]): Finding {
  const shown = `${summary}; protocol 'default' and 'tls' do not need it`
  return { ...common, status: 'missing', summary: shown, remedies, details }
}

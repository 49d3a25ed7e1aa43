/** What an IKE daemon tells of itself, and whether what it is told reaches the kernel. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { daemonAt } from '../../providers/strongswan/daemon/daemons.js'
import { listOf, textOf } from '../../providers/strongswan/vici/section.js'
import type { Vici } from '../../providers/strongswan/vici/vici.js'

export interface DaemonSelf {
  readonly version: string
  readonly plugins: readonly string[]
  /** What it has been given by its administrator, or by programs; null where it does not say. */
  readonly credentials: Readonly<Record<keyof typeof noCredentials, number>> | null
}

const noCredentials = { privateKeys: 0, sharedKeys: 0, certificates: 0, authorities: 0 }

export async function askDaemon(vici: Vici): Promise<DaemonSelf> {
  const version = await vici.request('version')
  const stats = await vici.request('stats')
  return {
    version: textOf(version, 'version') ?? 'of unknown version',
    plugins: listOf(stats, 'plugins'),
    credentials: await credentials(vici).catch(() => null),
  }
}

async function credentials(vici: Vici): Promise<typeof noCredentials> {
  const found = { ...noCredentials }
  found.privateKeys = listOf(await vici.request('get-keys'), 'keys').length
  found.sharedKeys = listOf(await vici.request('get-shared'), 'keys').length
  await vici.stream('list-certs', { type: 'X509' }, 'list-cert', certificate => {
    if (textOf(certificate, 'flag') === 'CA') found.authorities++
    else found.certificates++
  })
  return found
}

/**
 * Has the daemon guard a port for a moment, as every secured socket does, and looks whether the kernel
 * drops then what would go there. Nothing is sent.
 * @throws (rejects) SocketSecurityError that says what is in the way
 */
export async function tryGuard(path: string): Promise<void> {
  const socket = await portOfOurOwn()
  try {
    const guard = await daemonAt(path).guard('udp', socket.address().port)
    await guard.release()
  } finally {
    socket.close()
  }
}

/** Over IPv4 and IPv6, so that nobody else's packets are dropped meanwhile. */
async function portOfOurOwn(): Promise<Socket> {
  for (const type of ['udp6', 'udp4'] as const) {
    const socket = createSocket(type).bind(0)
    try {
      await once(socket, 'listening')
      return socket
    } catch (error) {
      socket.close()
      if (type === 'udp4') throw error
    }
  }
  throw new Error('not reached')
}

/** The daemons that this process speaks to, by the path of their socket. */
import type { Daemon } from './daemon.js'
import { StrongswanDaemon } from './strongswan-daemon.js'

/** The daemon that listens at this path; connected to at first use, left when nothing uses it. */
export function daemonAt(path: string): Daemon {
  let daemon = daemons.get(path)
  if (daemon === undefined) {
    daemon = new StrongswanDaemon(path)
    daemons.set(path, daemon)
  }
  return daemon
}

const daemons = new Map<string, Daemon>()

/**
 * Servers on Linux: a socket that is bound and guarded, and whose port whoever is trusted may
 * negotiate with, before it listens.
 */
import { SocketSecurityError } from '../../../model/errors.js'
import type { ParsedSettings } from '../../../model/settings.js'
import type { NativeDescriptor, NativeListenRequest } from '../../provider.js'
import type { Daemon, Guard, Listener } from '../daemon/daemon.js'
import { checkListenAddress, isUnspecified, plainAddress } from '../host/addresses.js'
import { bindSocket, type LinuxSocket, makeSocket } from '../host/linux-socket.js'
import { listenerConnections } from '../plans/connection-plan.js'
import type { FiveTuple, ListenerPlan } from '../plans/plans.js'
import { whenQuiet } from './quiet.js'

/**
 * What listens, and what it has accepted: the daemon answers for both until the last of them is
 * gone from the kernel.
 */
export interface ListeningPort {
  readonly plan: ListenerPlan
  readonly daemon: Daemon
  readonly guard: Guard
  /** One more uses it. @returns it does so no longer */
  hold(): () => void
}

/** Every port of this process, also one that has been closed and has connections left. */
const ports = new Set<ListeningPort & { readonly settings: ParsedSettings }>()

/**
 * The port that has accepted a connection to this plain address, for a server of these settings: one
 * with another trust has let in others.
 */
export function listeningPort(
  daemon: Daemon,
  { localAddress, localPort }: FiveTuple,
  settings: ParsedSettings,
): ListeningPort | undefined {
  const candidates = [...ports].filter(
    each =>
      each.daemon === daemon &&
      each.plan.localPort === localPort &&
      each.settings.fingerprint === settings.fingerprint,
  )
  const every = localAddress.includes(':') ? '::' : '0.0.0.0'
  return (
    candidates.find(({ plan }) => plan.localAddress === localAddress) ??
    candidates.find(({ plan }) => plan.localAddress === every) ??
    candidates.find(({ plan }) => plan.localAddress === '::' && !plan.ipv6Only)
  )
}

/**
 * A socket to listen on.
 * @throws (rejects) SocketSecurityError; where it cannot be bound an error as Node makes it
 */
export async function openListener(
  request: NativeListenRequest,
  daemon: Daemon,
): Promise<NativeDescriptor> {
  const { address, family, settings, ipv6Only, signal } = request
  const connections = listenerConnections(settings)
  checkListenAddress(address)
  const socket = makeSocket('stream', family)
  const undo: (() => unknown)[] = [() => socket.discard()]
  try {
    // As of net.Server: connections that linger from before do not keep the port.
    const options = { reuseAddress: true, ipv6Only }
    const { port: localPort } = bindSocket(socket, { address, port: request.port }, options)
    const localAddress = plainAddress(address)
    const plan = { transport: 'tcp', localAddress, localPort, ipv6Only, connections } as const
    const port = again(daemon, plan, settings) ?? (await secured(daemon, plan, settings))
    const release = port.hold()
    undo.push(release)
    if (signal.aborted)
      throw new SocketSecurityError('ECANCELED', 'the server was closed while it was being secured')
    return listeningSocket(socket, release)
  } catch (error) {
    for (const step of undo.reverse()) step()
    throw error
  }
}

function listeningSocket(socket: LinuxSocket, release: () => void): NativeDescriptor {
  const { descriptor, adopted } = socket
  return {
    descriptor,
    bound: true,
    adopted,
    discard() {
      socket.discard()
      release()
    },
    closing() {
      socket.closing()
      // Only then it listens no longer.
      setImmediate(release)
    },
  }
}

/** A server that listens again where it has listened, as before. */
function again(
  daemon: Daemon,
  plan: ListenerPlan,
  settings: ParsedSettings,
): ListeningPort | undefined {
  return [...ports].find(
    each =>
      each.daemon === daemon &&
      each.settings.fingerprint === settings.fingerprint &&
      each.plan.localPort === plan.localPort &&
      each.plan.localAddress === plan.localAddress &&
      each.plan.ipv6Only === plan.ipv6Only,
  )
}

async function secured(
  daemon: Daemon,
  plan: ListenerPlan,
  settings: ParsedSettings,
): Promise<ListeningPort> {
  const { localAddress, localPort } = plan
  const only = isUnspecified(localAddress) ? undefined : localAddress
  const guard = await daemon.guard('tcp', localPort, only)
  try {
    return keptPort(daemon, plan, settings, guard, await daemon.addListener(plan))
  } catch (error) {
    await guard.release()
    throw error
  }
}

function keptPort(
  daemon: Daemon,
  plan: ListenerPlan,
  settings: ParsedSettings,
  guard: Guard,
  listener: Listener,
): ListeningPort {
  let users = 0
  const port = { plan, daemon, guard, settings, hold }
  ports.add(port)
  return port

  function hold(): () => void {
    users += 1
    let held = true
    return () => {
      if (!held) return
      held = false
      users -= 1
      if (users === 0) whenQuiet({ look: table => table.port(plan.localPort), settled, gone })
    }
  }

  /**
   * Nobody negotiates with it any more, although its guard has to stay: a server that proves the same
   * name by another certificate would lose its callers to this one.
   */
  async function settled(): Promise<void> {
    // It listens again.
    if (users > 0) return
    ports.delete(port)
    await listener.remove()
  }

  async function gone(): Promise<void> {
    if (users > 0) return
    await settled()
    await guard.release()
  }
}

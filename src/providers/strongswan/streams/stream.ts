/**
 * Streams on Linux: a socket that is bound and guarded, whose flow the IKE daemon has secured
 * before a handle of Node's opens it and connects.
 */
import { isIP } from 'node:net'
import { systemError } from '../../../channels/batch/system-error.js'
import { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import type { SecurityInfo } from '../../../model/security-info.js'
import type { NativeRequest, NativeSocket } from '../../provider.js'
import type { Daemon, Flow, Guard } from '../daemon/daemon.js'
import { checkNotLinkLocal, checkNotOwn, isUnspecified, plainAddress } from '../host/addresses.js'
import { bindSocket, type LinuxSocket, makeSocket } from '../host/linux-socket.js'
import { sourceAddress } from '../host/source-address.js'
import { flowConnection } from '../plans/connection-plan.js'
import { exchangedPeer, peerIdentity, wrongPeer } from '../plans/peer.js'
import type { FlowPlan } from '../plans/plans.js'
import { notSecured, securityInfo } from '../plans/security-info.js'
import { watchFlow } from './flow-watch.js'
import { whenQuiet } from './quiet.js'

/** What of the time for all is left to negotiate in: its error says more than that time is over. */
const NEGOTIATION_SHARE = 0.9

/**
 * A socket that may connect to one peer.
 * @throws (rejects) SocketSecurityError; system errors as Node makes them for what it is bound to
 */
export async function openStream(request: NativeRequest, daemon: Daemon): Promise<NativeSocket> {
  const { address, port, family, settings, targetName, targetNameSet, signal } = request
  const begun = performance.now()
  const connection = flowConnection(settings, targetName, targetNameSet)
  const remoteAddress = plainAddress(address)
  const local = localAddressOf(request)
  checkNotLinkLocal(remoteAddress, port)
  checkNotOwn(remoteAddress, plainAddress(local), port)
  const socket = makeSocket('stream', family)
  const undo: (() => unknown)[] = [() => socket.discard()]
  try {
    const bound = bindSocket(
      socket,
      { address: local, port: request.localPort ?? 0 },
      // As of net.Socket, which a program that asks for a port relies on.
      { reuseAddress: Boolean(request.localPort) },
    )
    const plan: FlowPlan = {
      transport: 'tcp',
      localAddress: plainAddress(local),
      localPort: bound.port,
      remoteAddress,
      remotePort: port,
      connection,
    }
    const guard = await daemon.guard('tcp', bound.port, plan.localAddress)
    undo.push(() => guard.release())
    checkWanted(signal)
    const flow = await daemon.addFlow(plan)
    undo.push(() => flow.remove())
    checkWanted(signal)
    const share = settings.handshakeTimeout * NEGOTIATION_SHARE
    await flow.initiate({ timeout: Math.max(1, share - (performance.now() - begun)), signal })
    checkWanted(signal)
    return securedStream({ request, daemon, socket, plan, guard, flow })
  } catch (error) {
    await undone(undo)
    throw error
  }
}

interface Parts {
  readonly request: NativeRequest
  readonly daemon: Daemon
  readonly socket: LinuxSocket
  readonly plan: FlowPlan
  readonly guard: Guard
  readonly flow: Flow
}

/** From the time that the kernel has the keys until it needs them no longer. */
function securedStream({ request, daemon, socket, plan, guard, flow }: Parts): NativeSocket {
  const { settings, targetName } = request
  const { remoteId, credential } = plan.connection
  const peer = peerText(request.address, request.port)
  const watch = watchFlow({
    daemon,
    tuple: plan,
    guard,
    admitted: [plan.connection],
    descriptor: () => (socket.alive() ? socket.descriptor : undefined),
    objection: other => wrongPeer(other, remoteId, peer) && exchangedPeer(other, remoteId, peer),
    forgotten: () => void renew(),
  })
  const ignore = flow.onDown(() => void renew())
  const release = async () => {
    watch.stop()
    ignore()
    await undone([() => guard.release(), () => flow.remove()])
  }
  return {
    descriptor: socket.descriptor,
    adopted: socket.adopted,
    onLost: watch.onLost,
    holds: watch.holds,
    query,
    discard() {
      socket.discard()
      void release()
    },
    closing() {
      watch.closing()
      socket.closing()
      ignore()
      whenQuiet({
        look(table) {
          watch.look()
          return table.connection(plan)
        },
        settled: () => flow.remove(),
        gone: release,
      })
    },
  }

  async function query(): Promise<SecurityInfo> {
    const association = watch.failure ? null : await daemon.find(plan, [plan.connection])
    if (watch.failure) throw watch.failure
    if (!association) return notSecured
    const wrong = wrongPeer(association.remoteId, remoteId, peer)
    if (wrong) throw wrong
    return securityInfo(association, peerIdentity(association.remoteId, credential, targetName))
  }

  /**
   * The peer's daemon has thrown the keys away. What this host sends would bring new ones, but the
   * peer may be the one that has something to say. Where that fails the connection waits as for a
   * peer that is out of reach: each packet of it makes the daemon try again.
   */
  async function renew(): Promise<void> {
    if (!socket.alive() || watch.failure) return
    await flow.initiate({ timeout: settings.handshakeTimeout }).catch(() => {})
  }
}

/** The address that the socket is to be bound to: the one asked for, else the one of the route. */
function localAddressOf({ address, port, family, localAddress = '' }: NativeRequest): string {
  const remote = family === 6 && isIP(plainAddress(address)) === 4 ? plainAddress(address) : address
  if (!isUnspecified(localAddress)) return localAddress
  const source = routeTo(remote, port)
  // The kernel binds to an address of one link by its link.
  const [, zone] = address.split('%')
  return zone === undefined ? source : `${source}%${zone}`
}

function routeTo(address: string, port: number): string {
  try {
    return sourceAddress(address)
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException
    throw typeof errno === 'number' ? systemError(errno, 'connect', { address, port }) : error
  }
}

function checkWanted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new SocketSecurityError('ECANCELED', 'the socket was closed while it was being secured')
}

/** The other way round, one after the other. */
async function undone(steps: readonly (() => unknown)[]): Promise<void> {
  for (const step of [...steps].reverse()) await step()
}

/** What secures a connection that a listening socket has accepted, and with whom. */
import type { Socket } from 'node:net'
import { SocketSecurityError } from '../../../model/errors.js'
import { peerText } from '../../../model/peer-text.js'
import type { SecurityInfo } from '../../../model/security-info.js'
import type { ParsedSettings } from '../../../model/settings.js'
import type { NativeConnection } from '../../provider.js'
import type { Daemon } from '../daemon/daemon.js'
import { checkNotOwn, plainAddress } from '../host/addresses.js'
import { provesIdentity } from '../plans/identities.js'
import { exchangedPeer, peerIdentity, wrongPeer } from '../plans/peer.js'
import type { Credential, FiveTuple, ListenerPlan } from '../plans/plans.js'
import { notSecured, securityInfo } from '../plans/security-info.js'
import { watchFlow } from './flow-watch.js'
import { listeningPort } from './listener.js'
import { whenQuiet } from './quiet.js'

/**
 * @throws SocketSecurityError EOPNOTSUPP for a connection from this host itself, ENOTCONN for one
 * that has ended, EPROTO for one that no listening socket of ours has accepted
 */
export function acceptedStream(
  connection: Socket,
  settings: ParsedSettings,
  daemon: Daemon,
): NativeConnection {
  const tuple = addressesOf(connection)
  const peer = peerText(tuple.remoteAddress, tuple.remotePort)
  checkNotOwn(tuple.remoteAddress, tuple.localAddress, tuple.remotePort)
  const port = listeningPort(daemon, tuple, settings) ?? notOurs(peer)
  const letGo = port.hold()
  const handle = handleOf(connection)
  let madeWith: string | undefined
  const watch = watchFlow({
    daemon,
    tuple,
    guard: port.guard,
    admitted: port.plan.connections,
    descriptor() {
      const now = handleOf(connection)
      return now !== null && now === handle && Number(now.fd) >= 0 ? now.fd : undefined
    },
    objection,
  })
  return {
    query,
    onLost: watch.onLost,
    holds: watch.holds,
    closing() {
      if (!watch.closing()) {
        setImmediate(end)
        return
      }
      whenQuiet({
        look(table) {
          watch.look()
          return table.connection(tuple)
        },
        gone: async () => end(),
      })
    },
  }

  async function query(): Promise<SecurityInfo> {
    const association = watch.failure ? null : await daemon.find(tuple, port.plan.connections)
    if (watch.failure) throw watch.failure
    if (!association) return notSecured
    const { remoteId } = association
    const error = wrongPeer(remoteId, '%any', peer) ?? objection(remoteId)
    if (error) {
      watch.fail(error)
      throw error
    }
    madeWith = remoteId
    return securityInfo(association, peerIdentity(remoteId, credentialOf(port.plan, remoteId)))
  }

  /** Another peer may be trusted as well, but the connection is not its own. */
  function objection(remoteId: string): Error | undefined {
    return madeWith === undefined || remoteId === madeWith
      ? undefined
      : exchangedPeer(remoteId, madeWith, peer)
  }

  function end(): void {
    watch.stop()
    letGo()
  }
}

/** Node's handles tell their descriptor, but on Windows. */
function handleOf(connection: Socket): { readonly fd?: number } | null {
  return (connection as unknown as { _handle?: { fd?: number } | null })._handle ?? null
}

/** How that peer has authenticated itself: each pre-shared key has a connection of its own. */
function credentialOf({ connections }: ListenerPlan, remoteId: string): Credential {
  const named = connections.find(each => provesIdentity(remoteId, each.remoteId))
  const found = named ?? connections.find(each => each.remoteId === '%any')
  return found?.credential ?? { kind: 'daemon', auth: 'pubkey' }
}

function addressesOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): FiveTuple {
  if (!localAddress || !localPort || !remoteAddress || !remotePort)
    throw new SocketSecurityError('ENOTCONN', 'the connection has ended before it was looked at')
  return {
    transport: 'tcp',
    localAddress: plainAddress(localAddress),
    localPort,
    remoteAddress: plainAddress(remoteAddress),
    remotePort,
  }
}

function notOurs(peer: string): never {
  throw new SocketSecurityError(
    'EPROTO',
    `the connection of ${peer} was not accepted by a server with protocol 'ipsec' of this process, so nothing has secured it`,
    { peer },
  )
}

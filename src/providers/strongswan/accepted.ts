/** What secures a connection that a listening socket has accepted, and with whom. */
import type { Socket } from 'node:net'
import * as linux from '../../../lib/linux-sockets.js'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { NativeConnection } from '../provider.js'
import { checkNotOwn, covers, plainAddress } from './addresses.js'
import type { Daemon } from './daemon.js'
import { provesIdentity } from './identities.js'
import { keepLastBytes, type LastBytes } from './last-bytes.js'
import { listeningPort } from './listener.js'
import { exchangedPeer, peerIdentity, wrongPeer } from './peer.js'
import type { Credential, FiveTuple, ListenerPlan } from './plans.js'
import { whenQuiet } from './quiet.js'
import { notSecured, securityInfo } from './security-info.js'

/**
 * @throws SocketSecurityError EOPNOTSUPP for a connection from this host itself, ENOTCONN for one
 * that has ended, EPROTO for one that no listening socket of ours has accepted
 */
export function acceptedStream(connection: Socket, daemon: Daemon): NativeConnection {
  const tuple = addressesOf(connection)
  const peer = peerText(tuple.remoteAddress, tuple.remotePort)
  checkNotOwn(tuple.remoteAddress, tuple.localAddress, tuple.remotePort)
  const port = listeningPort(daemon, tuple.localAddress, tuple.localPort) ?? notOurs(peer)
  const letGo = port.hold()
  const handle = handleOf(connection)
  const listeners: ((error: Error) => void)[] = []
  let madeWith: string | undefined
  let failure: Error | undefined
  let lastBytes: LastBytes | undefined
  const unwatch = daemon.watch({
    interrupted: lost,
    lost,
    changed({ flow, remoteId, up }) {
      if (up && madeWith !== undefined && remoteId !== madeWith && covers(flow, tuple))
        lost(exchangedPeer(remoteId, madeWith, peer))
    },
  })
  return {
    query,
    onLost(listener) {
      listeners.push(listener)
    },
    closing() {
      const descriptor = descriptorNow()
      if (descriptor !== undefined) lastBytes = keepLastBytes(descriptor)
      if (!lastBytes) {
        setImmediate(end)
        return
      }
      whenQuiet({
        look(table) {
          lastBytes?.look()
          return table.connection(tuple)
        },
        gone: async () => end(),
      })
    },
  }

  async function query(): Promise<SecurityInfo> {
    const association = failure ? null : await daemon.find(tuple)
    if (failure) throw failure
    if (!association) return notSecured
    const { remoteId } = association
    const wrong =
      madeWith !== undefined && remoteId !== madeWith
        ? exchangedPeer(remoteId, madeWith, peer)
        : wrongPeer(remoteId, '%any', peer)
    if (wrong) {
      lost(wrong)
      throw wrong
    }
    madeWith = remoteId
    return securityInfo(association, peerIdentity(remoteId, credentialOf(port.plan, remoteId)))
  }

  /** What has not left must not leave any more: the connection is reset, not closed. */
  function lost(error: Error): void {
    lastBytes?.abandon()
    if (failure) return
    failure = error
    const descriptor = descriptorNow()
    if (descriptor !== undefined) linux.setLinger(descriptor, 0)
    for (const each of listeners.splice(0)) each(error)
  }

  function descriptorNow(): number | undefined {
    const now = handleOf(connection)
    return now !== null && now === handle && Number(now.fd) >= 0 ? now.fd : undefined
  }

  function end(): void {
    unwatch()
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

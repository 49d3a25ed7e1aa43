/**
 * What happens to each stream, for whoever wants to know: `NODE_DEBUG=secure-socket` prints it, and
 * diagnostics_channel gives it to programs. Both cost a comparison where nobody listens.
 */
import { channel } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { debuglog } from 'node:util'
import { securityText } from '../model/at-a-glance.js'
import { peerText } from '../model/peer-text.js'
import { publishLater } from '../model/publish-later.js'
import type { PeerAddress } from '../providers/datagram-provider.js'
import type { Connection } from '../providers/provider.js'
import type { StreamState } from './stream-state.js'

export type Role = 'client' | 'server'
type Protocol = 'tls' | 'ipsec'

const debug = debuglog('secure-socket')
const channels = { tls: channelsOf('tls'), ipsec: channelsOf('ipsec') }

function channelsOf(protocol: Protocol) {
  return {
    secured: channel(`secure-socket:${protocol}:secured`),
    insecure: channel(`secure-socket:${protocol}:insecure`),
    failed: channel(`secure-socket:${protocol}:failed`),
    closed: channel(`secure-socket:${protocol}:closed`),
  }
}

export function tellBegun(role: Role, protocol: Protocol, peer: PeerAddress): void {
  if (debug.enabled) debug('%s %s: handshakes as %s', protocol, textOf(peer), role)
}

/** Before the application hears of it. */
export function tellSecured(socket: Socket, state: StreamState, connection: Connection): void {
  const { secured, insecure } = channels[protocolOf(state)]
  const told = connection.secured ? secured : insecure
  if (!debug.enabled && !told.hasSubscribers && !channels[protocolOf(state)].closed.hasSubscribers)
    return
  // Asked now, net.Socket knows it at the end too.
  const peer = peerOf(socket, state)
  const info = connection.query()
  if (debug.enabled) {
    const text = connection.secured ? `secured, ${securityText(info)}` : 'stays in clear'
    debug('%s %s: %s', protocolOf(state), textOf(peer), text)
  }
  if (told.hasSubscribers) told.publish({ peer, role: roleOf(state), info, socket })
}

/** A client's socket, before it was secured. */
export function tellFailed(state: StreamState, error: Error): void {
  failed('client', protocolOf(state), state.dialled ?? nobody, error)
}

/** A server's client. */
export function tellRefused(protocol: Protocol, raw: Socket, error: Error): void {
  failed('server', protocol, addressOf(raw), error)
}

/** It was secured, and is destroyed now; with an error or without. */
export function tellClosed(socket: Socket, state: StreamState, error: Error | null): void {
  const { closed } = channels[protocolOf(state)]
  if (!debug.enabled && !closed.hasSubscribers) return
  const peer = peerOf(socket, state)
  if (debug.enabled) {
    debug(
      '%s %s: %s',
      protocolOf(state),
      textOf(peer),
      error ? `closed: ${error.message}` : 'closed',
    )
  }
  if (closed.hasSubscribers)
    publishLater(closed, { peer, role: roleOf(state), socket, ...(error ? { error } : {}) })
}

/** Of a server's raw connection; TLS has taken the handle of what is under it. */
export function addressOf(raw: Socket & { _parent?: Socket | null }): PeerAddress {
  const { remoteAddress = '', remotePort = 0 } = raw._parent ?? raw
  return { address: remoteAddress, port: remotePort }
}

function failed(role: Role, protocol: Protocol, peer: PeerAddress, error: Error): void {
  if (debug.enabled) debug('%s %s: failed: %s', protocol, textOf(peer), error.message)
  const { failed } = channels[protocol]
  if (failed.hasSubscribers) publishLater(failed, { peer, role, error })
}

function peerOf({ remoteAddress, remotePort }: Socket, { dialled }: StreamState): PeerAddress {
  if (remoteAddress !== undefined) return { address: remoteAddress, port: remotePort as number }
  return dialled ?? nobody
}

const nobody: PeerAddress = Object.freeze({ address: '', port: 0 })

function textOf({ address, port }: PeerAddress): string {
  return peerText(address, port)
}

function roleOf({ accepted }: StreamState): Role {
  return accepted ? 'server' : 'client'
}

function protocolOf({ connection, settings }: StreamState): Protocol {
  // In native mode there is no channel that could be clear.
  if (settings) return settings.protocol
  return connection?.refresh ? 'ipsec' : 'tls'
}

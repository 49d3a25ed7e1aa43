/**
 * What happens to each peer, for whoever wants to know: `NODE_DEBUG=secure-socket` prints it, and
 * diagnostics_channel gives it to programs. Both cost a comparison where nobody listens.
 */
import { channel } from 'node:diagnostics_channel'
import { debuglog } from 'node:util'
import { publishLater } from '../../model/publish-later.js'
import type { SecurityInfo } from '../../model/security-info.js'
import type { DropReason, PeerAddress } from '../datagram-provider.js'

const debug = debuglog('secure-socket')
const channels = {
  secured: channel('secure-socket:dtls:secured'),
  failed: channel('secure-socket:dtls:failed'),
  closed: channel('secure-socket:dtls:closed'),
  dropped: channel('secure-socket:dtls:dropped'),
}

/** A line of the story, as a format and what goes into it: put together only where it is printed. */
export function tell(peer: string, what: string, ...more: unknown[]): void {
  if (debug.enabled) debug(`dtls %s: ${what}`, peer, ...more)
}

export function tellSecured(peer: PeerAddress, text: string, info: SecurityInfo): void {
  if (debug.enabled) {
    const how = info.resumed ? 'resumed' : 'full handshake'
    const who = info.peer?.targetName ?? info.peer?.pskIdentity ?? info.peer?.names.join(', ')
    debug('dtls %s: secured, %s, %s %s, peer %s', text, how, info.version, info.cipher, who)
  }
  if (channels.secured.hasSubscribers) publishLater(channels.secured, { peer, info })
}

export function tellFailed(peer: PeerAddress, text: string, error: Error): void {
  if (debug.enabled) debug('dtls %s: failed: %s', text, error.message)
  if (channels.failed.hasSubscribers) publishLater(channels.failed, { peer, error })
}

export function tellClosed(peer: PeerAddress, text: string): void {
  if (debug.enabled) debug('dtls %s: closed', text)
  if (channels.closed.hasSubscribers) publishLater(channels.closed, { peer })
}

export function tellDropped(address: string, port: number, reason: DropReason): void {
  if (debug.enabled) debug('dtls %s %d: dropped what came: %s', address, port, reason)
  if (channels.dropped.hasSubscribers)
    publishLater(channels.dropped, { peer: { address, port }, reason })
}

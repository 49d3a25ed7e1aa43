/** Counters of an endpoint and of each of its peers: plain numbers, added to in place. */
import type { DropReason, PeerStats } from './datagram-provider.js'

export class Counters {
  datagramsSent = 0
  datagramsReceived = 0
  bytesSent = 0
  bytesReceived = 0
  handshakes = 0
  handshakesResumed = 0
  handshakesFailed = 0
  retransmissions = 0
  readonly dropped: Record<DropReason, number> = {
    malformed: 0,
    unknownPeer: 0,
    screened: 0,
    unauthenticated: 0,
    limit: 0,
    reflected: 0,
    icmp: 0,
  }

  /** As they are now: what is given away does not change, nor can it be changed. */
  snapshot(): PeerStats {
    return { ...this, dropped: { ...this.dropped } }
  }
}

/** The counters of a socket: those of its endpoint, and what the socket alone has seen. */
import type { EndpointStats } from '../../providers/datagram-provider.js'

const none: EndpointStats = {
  datagramsSent: 0,
  datagramsReceived: 0,
  bytesSent: 0,
  bytesReceived: 0,
  dropped: {
    malformed: 0,
    unknownPeer: 0,
    screened: 0,
    unauthenticated: 0,
    limit: 0,
    reflected: 0,
    icmp: 0,
  },
  handshakes: 0,
  handshakesResumed: 0,
  handshakesFailed: 0,
  retransmissions: 0,
  cookiesSent: 0,
  peers: 0,
  handshaking: 0,
}

export function withIcmpErrors(stats: EndpointStats = none, icmpErrors: number): EndpointStats {
  const { dropped } = stats
  return { ...stats, dropped: { ...dropped, icmp: dropped.icmp + icmpErrors } }
}

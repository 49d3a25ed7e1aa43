/** The counters of a socket: those of its endpoint, and what the socket alone has seen. */
import { Counters } from '../../providers/datagram-counters.js'
import type { EndpointStats } from '../../providers/datagram-provider.js'

const none: EndpointStats = {
  ...new Counters().snapshot(),
  cookiesSent: 0,
  peers: 0,
  handshaking: 0,
}

export function withIcmpErrors(stats: EndpointStats = none, icmpErrors: number): EndpointStats {
  const { dropped } = stats
  return { ...stats, dropped: { ...dropped, icmp: dropped.icmp + icmpErrors } }
}

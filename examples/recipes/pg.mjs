// node-postgres over secured sockets: it takes an unconnected socket and connects it. PostgreSQL 17 and
// later answer TLS from the first byte, if the client names their protocol; before an older one, or
// one without TLS, put a hop (hop.mjs).
//
// const client = new pg.Client({ host: 'db.example.com', stream: secureStream({ security }) })
//
// Leave `ssl` away: the socket is secured already, and pg would ask for TLS inside it.

import { SecureSocket } from 'secure-socket'

/**
 * For pg's option `stream`. Without peerTargetName the server must prove to be the host that pg
 * connects to.
 */
export function secureStream({ peerTargetName, security }) {
  return () => new SecureSocket({ peerTargetName, security: { alpn: ['postgresql'], ...security } })
}
